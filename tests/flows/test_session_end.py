from __future__ import annotations

import asyncio
import resource
import subprocess
from pathlib import Path

import pytest

from agentui.config.settings import Settings
from agentui.control import Control, Pause
from agentui.errors import UsageError, WorkspaceError
from agentui.events import StateChanged, Warned
from agentui.paths import places
from agentui.wire import open_session
from tests.fakes import Log
from tests.flows.test_headless import AGENTUI, environment
from tests.unit.session.fakes import files_end_at


@pytest.mark.parametrize("error", [WorkspaceError("no room"), RuntimeError("no room")])
async def test_a_session_that_breaks_says_so_on_the_screen(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise error

    session = open_session(Settings(), project=tmp_path, interactive=True)
    monkeypatch.setattr(session.supervisor, "serve", broken)
    log = Log()
    session.recorder.subscribe(lambda recorded: log.emit(recorded.event))
    session.start()
    try:
        assert "no room" in (await log.wait_for(Warned)).text
        assert (await log.wait_for(StateChanged)).phase == "failed"
    finally:
        await asyncio.wait_for(session.aclose(), 20)


@pytest.mark.parametrize(("interactive", "sent"), [(True, [Pause()]), (False, [])])
async def test_a_full_disk_pauses_the_run_where_somebody_can_make_room_and_nothing_is_lost(
    interactive: bool, sent: list[Control], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(Settings(), project=tmp_path, interactive=interactive)
    asked: list[Control] = []
    monkeypatch.setattr(session.supervisor, "send", asked.append)
    with files_end_at(session.journal.stat().st_size + 10):
        session.recorder.emit(Warned("x", "while there is no room"))
        assert session.recorder.unwritten > 0
    assert asked == sent
    session.recorder.emit(Warned("x", "there is room again"))
    assert session.recorder.unwritten == 0
    codes = [r.event.code for r in session.recorder.past if isinstance(r.event, Warned)]
    assert codes == ["x", "journal-not-written", "x", "journal-written-again"]
    await asyncio.wait_for(session.aclose(), 20)


@pytest.mark.parametrize("demo", [False, True])
def test_a_system_prompt_that_cannot_be_read_leaves_nothing_behind(demo: bool, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        open_session(Settings(system_file=tmp_path / "nowhere.txt"), project=tmp_path, demo=demo)
    assert not places().sessions.exists()
    assert not places().demo.exists()


def test_a_disk_that_takes_nothing_is_told_in_words_and_holds_no_empty_session(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AGENTUI, "-p", "x", "--url", "http://127.0.0.1:9"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode == 75
    assert "Traceback" not in done.stderr
    assert "the disk did not take" in done.stderr
    assert list(places().sessions.iterdir()) == []
