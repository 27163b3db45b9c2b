"""An engine that stops under a command and comes back: the real engine behind a door that we shut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agentui.errors import EngineUnavailable
from agentui.sandbox.base import Command
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.engine import Engine, find_engine
from agentui.sandbox.image import ToolsImage
from tests.contracts.sandboxes import Collector, play

pytestmark = pytest.mark.docker


class Door:
    """A socket that leads to the engine's while it is open; shut, it breaks every connection."""

    def __init__(self, engine_socket: str, path: Path) -> None:
        self._engine_socket = engine_socket
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._enter, self.path)

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        self.path.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._engine_socket)
        both = {writer, inner_writer}
        self._writers |= both
        with contextlib.suppress(OSError):
            await asyncio.gather(self._move(reader, inner_writer), self._move(inner_reader, writer))
        self._writers -= both
        for end in both:
            end.close()

    async def _move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


@pytest_asyncio.fixture
async def door(engine: Engine, tmp_path: Path) -> AsyncIterator[Door]:
    if not engine.address.url.startswith("unix://"):
        pytest.skip("the engine is not behind a socket of this machine")
    door = Door(engine.address.url.removeprefix("unix://"), Path(f"/tmp/agentui-door-{uuid.uuid4().hex[:8]}"))
    await door.open()
    yield door
    await door.shut()


@pytest.mark.case("engine-stops-mid")
async def test_an_engine_that_stops_under_a_command_loses_it_and_the_copy_stays(
    door: Door, tools_image: ToolsImage
) -> None:
    behind = await asyncio.to_thread(find_engine, {"DOCKER_HOST": f"unix://{door.path}"}, Path(os.devnull))
    image = ToolsImage(behind, tools_image.base)
    sandbox = DockerSandbox(behind, image, f"test-{uuid.uuid4().hex[:12]}", is_throwaway=True, may_build=True)
    await sandbox.start(lambda _: None)
    try:
        await play(sandbox, "echo kept >kept")
        begun = asyncio.Event()
        running = asyncio.create_task(
            sandbox.run(Command("echo go; sleep 30; echo done"), Collector(begun.set))
        )
        await begun.wait()
        await door.shut()
        result = await asyncio.wait_for(running, 60)
        assert (result.outcome, result.exit_code) == ("lost", None)
        refused = await play(sandbox, "echo never")
        assert (refused.result.outcome, refused.stdout) == ("refused", b"")
        with pytest.raises(EngineUnavailable):
            await asyncio.to_thread(find_engine, {"DOCKER_HOST": f"unix://{door.path}"}, Path(os.devnull))
        await door.open()
        assert (await play(sandbox, "cat kept")).stdout == b"kept\n"
    finally:
        await sandbox.aclose()
