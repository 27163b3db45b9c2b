"""The control socket as scripts meet it, and what it does with nonsense."""

from __future__ import annotations

import asyncio
import json
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.control import Control, Interrupt, Pause, Resume, Step, Submit
from agentui.events import ModelFacts, RunStarted, SteerApplied, SteerId, SteerQueued
from agentui.run.socket import MAX_REQUEST_BYTES, MAX_STEER_CHARS, ControlSocket, Refused, asked
from agentui.run.standing import Standing


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="au") as folder:
        yield Path(folder) / "run" / "s.sock"


class Served:
    def __init__(self, path: Path) -> None:
        self.sent: list[Control] = []
        self.socket = ControlSocket(path, self.sent.append, lambda: {"state": "idle"})

    async def ask(self, content: bytes) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self.socket.path))
        writer.write(content)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return dict(json.loads(answer))


@pytest.fixture
async def served(short_path: Path) -> AsyncIterator[Served]:
    served = Served(short_path)
    await served.socket.open()
    yield served
    await served.socket.aclose()
    await served.socket.aclose()
    assert not short_path.exists()


async def test_the_socket_is_for_its_user_only(served: Served) -> None:
    path = served.socket.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_folder_that_is_no_folder_of_ours_is_refused(short_path: Path) -> None:
    short_path.parent.symlink_to(short_path.parent.parent)
    with pytest.raises(OSError, match=r"not a folder of yours|exists"):
        await Served(short_path).socket.open()


async def test_controls_reach_the_session_and_are_answered_with_its_status(served: Served) -> None:
    for doing in ("pause", "resume", "step", "interrupt", "status"):
        answer = await served.ask(json.dumps({"do": doing}).encode() + b"\n")
        assert answer == {"ok": True, "state": "idle"}
    assert (await served.ask(b'{"do": "steer", "text": "keep it"}\n'))["ok"]
    assert served.sent == [Pause(), Resume(), Step(), Interrupt(), Submit("keep it")]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"hello\n", "one JSON object"),
        (b"[1]\n", '"do"'),
        (b'{"do": "format"}\n', "unknown"),
        (b'{"do": "pause", "by": "me"}\n', "takes no"),
        (b'{"do": "steer"}\n', "needs a text"),
        (b'{"do": "steer", "text": "  "}\n', "needs a text"),
        (json.dumps({"do": "steer", "text": "x" * (MAX_STEER_CHARS + 1)}).encode() + b"\n", "longer than"),
        (b'{"do": "status"', "no whole request"),
        (b"", "no whole request"),
        (b"[" * 50_000 + b"\n", "one JSON object"),
        (b"x" * (MAX_REQUEST_BYTES + 10) + b"\n", "at most"),
    ],
)
async def test_what_is_no_request_is_refused_and_reaches_nothing(
    served: Served, request_: bytes, said: str
) -> None:
    answer = await served.ask(request_)
    assert not answer["ok"]
    assert said in answer["error"]
    assert served.sent == []
    assert (await served.ask(b'{"do": "status"}\n'))["ok"]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(line: bytes) -> None:
    try:
        control = asked(line)
    except Refused:
        return
    assert control is None or isinstance(control, Submit | Pause | Resume | Step | Interrupt)


def test_a_standing_bounds_what_it_tells() -> None:
    standing = Standing("s", "/p")
    standing.take(RunStarted("t" * 9000, ModelFacts("m"), "b", "/p", "loop", None))
    for n in range(50):
        standing.take(SteerQueued(SteerId(f"s{n}"), "x" * 9000, "steer"))
    standing.take(SteerApplied(SteerId("s0"), "m"))  # type: ignore[arg-type]
    told = standing.as_object()
    assert len(told["task"]) == 2000
    assert len(told["queued"]) == 20
    assert all(len(text) == 2000 for text in told["queued"])
    assert len(json.dumps(told)) < 60_000
