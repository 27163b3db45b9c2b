from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentui.config.settings import Settings
from agentui.errors import WorkspaceError
from agentui.events import StateChanged, Warned
from agentui.wire import open_session
from tests.fakes import Log


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
