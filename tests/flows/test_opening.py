from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentui.config.settings import Settings
from agentui.control import Submit
from agentui.errors import BackendUnavailable, SessionError
from agentui.events import Recorded, RunEnded, RunStarted, SessionStarted
from agentui.simulator.server import RunningSimulator
from agentui.tui.services import Services
from agentui.wire import LiveSession, OpeningServices, open_session
from tests.fakes import Log

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def opening(project: Path, url: str = NOBODY) -> OpeningServices:
    def opened() -> LiveSession:
        return open_session(Settings(url=url, sandbox="none"), project=project, interactive=True)

    return OpeningServices(opened)


async def test_who_subscribed_before_gets_everything_from_the_first_record(project: Path) -> None:
    services: Services = opening(project)
    seen: list[Recorded] = []
    end = services.subscribe(seen.append)
    assert services.past() == ()
    await services.start()
    await asyncio.sleep(0)
    assert isinstance(seen[0].event, SessionStarted)
    assert [recorded.seq for recorded in seen] == list(range(1, len(seen) + 1))
    assert [recorded.event for recorded in services.past()][: len(seen)] == [r.event for r in seen]
    end()
    count = len(seen)
    await services.stop()
    assert len(seen) == count


async def test_what_was_sent_before_reaches_the_session(project: Path, simulator: RunningSimulator) -> None:
    services = opening(project, simulator.url)
    log = Log()
    services.subscribe(lambda recorded: log.emit(recorded.event))
    services.send(Submit("stream 20 tokens"))
    await services.start()
    assert (await log.wait_for(RunStarted)).task == "stream 20 tokens"
    assert (await log.wait_for(RunEnded)).reason == "done"
    await services.stop()


async def test_a_session_that_cannot_be_kept_is_an_error_of_the_start(project: Path, home: Path) -> None:
    home.write_text("in the way")
    services = opening(project)
    with pytest.raises(SessionError):
        await services.start()
    await services.stop()


async def test_before_the_session_there_is_nothing_to_ask(project: Path, home: Path) -> None:
    services = opening(project)
    assert services.complete_paths("") == ()
    assert await services.diff_text("a") == ""
    with pytest.raises(BackendUnavailable):
        await services.models()
    await services.stop()
    await services.start()
    assert not home.exists()
