"""A supervisor that serves over the stand-ins, what must hold of its events, and a copy without files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from agentui.backends.base import LoadProgress, ServerFacts
from agentui.control import Quit
from agentui.events import (
    Change,
    CommitsTaken,
    CompactionEnded,
    CompactionStarted,
    Event,
    HostEditsCopied,
    MessageEnded,
    MessageStarted,
    ModelFacts,
    ModelLoadEnded,
    ModelLoadStarted,
    RequestEnded,
    RequestStarted,
    RunEnded,
    RunStarted,
    StateChanged,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    WorkspaceApplied,
    WorkspaceConflicted,
    WorkspaceDiscarded,
    WorkspaceUndone,
)
from agentui.history import fold_history, open_call_ids
from agentui.run.ports import RunParts, RunPolicy
from agentui.run.supervisor import Supervisor
from agentui.sandbox.base import Sandbox
from tests.fakes import ATTENDED, FunctionSandbox, Hang, Log, Played, PlayedBackend, run_parts


@asynccontextmanager
async def serving(
    backend: PlayedBackend,
    log: Log,
    sandbox: FunctionSandbox | None = None,
    policy: RunPolicy = ATTENDED,
    workspace: StubWorkspace | None = None,
    change: Callable[[RunParts], RunParts] = lambda parts: parts,
    *,
    ready: bool = True,
) -> AsyncIterator[Supervisor]:
    """A session that serves, prepared if `ready`; `change` may replace parts. It is quit at the end."""
    supervisor = Supervisor(change(run_parts(backend, log, sandbox, workspace)), policy)
    task = asyncio.create_task(supervisor.serve())
    try:
        if ready:
            await log.wait_for(StateChanged, lambda e: e.phase == "idle")
        yield supervisor
    finally:
        supervisor.send(Quit())
        await asyncio.wait_for(task, 10)


def assert_balanced(log: Log) -> None:
    """Every started thing has ended once, and the history is one that a server accepts."""
    assert sorted(e.call_id for e in log.of(ToolStarted)) == sorted(e.call_id for e in log.of(ToolEnded))
    started = sorted(e.request_id for e in log.of(RequestStarted))
    assert started == sorted(e.request_id for e in log.of(RequestEnded))
    messages = sorted(e.message_id for e in log.of(MessageStarted))
    assert messages == sorted(e.message_id for e in log.of(MessageEnded))
    assert len(log.of(TurnStarted)) == len(log.of(TurnEnded))
    assert len(log.of(RunStarted)) == len(log.of(RunEnded))
    assert len(log.of(CompactionStarted)) == len(log.of(CompactionEnded))
    assert len(log.of(ModelLoadStarted)) == len(log.of(ModelLoadEnded))
    assert open_call_ids(fold_history(log.events)) == []


@dataclass
class StubWorkspace:
    """A private copy without files: answers what it is told to; `hangs` and `fails` name methods.

    `busy_with` is set by a test to what runs in the sandbox; `overlaps` names the methods that were called
    while something did.
    """

    waiting: tuple[Change, ...] = ()
    edits: list[HostEditsCopied | WorkspaceConflicted] = field(default_factory=list)
    hangs: dict[str, Hang] = field(default_factory=dict)
    fails: dict[str, Exception] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    is_busy: Callable[[], bool] = lambda: False
    is_closed: bool = False

    workspace_id = "stub"

    async def _call(self, name: str) -> None:
        self.called.append(name)
        if self.is_busy():
            self.overlaps.append(name)
        hang = self.hangs.get(name)
        if hang:
            hang.reached.set()
            await hang.open.wait()
        if name in self.fails:
            raise self.fails[name]

    async def recover(self) -> str | None:
        await self._call("recover")
        return None

    async def prepare(self, emit: Callable[[Event], None]) -> None:
        await self._call("prepare")

    async def host_edits_in(self) -> HostEditsCopied | WorkspaceConflicted | None:
        await self._call("host_edits_in")
        return self.edits.pop(0) if self.edits else None

    async def changes(self) -> tuple[Change, ...]:
        await self._call("changes")
        return self.waiting

    async def diff_text(self, path: str) -> str:
        await self._call("diff_text")
        return ""

    def auto_blocker(self, changes: tuple[Change, ...]) -> str | None:
        return None

    async def apply(
        self, paths: tuple[str, ...] | None, include_ask: bool, by: Literal["user", "auto"]
    ) -> WorkspaceApplied:
        await self._call("apply")
        applied, self.waiting = self.waiting, ()
        return WorkspaceApplied("1", applied, 0, by)

    async def undo(self) -> WorkspaceUndone:
        await self._call("undo")
        return WorkspaceUndone("1", ())

    async def undo_preview(self) -> None:
        await self._call("undo_preview")

    async def redo(self) -> WorkspaceUndone:
        await self._call("redo")
        return WorkspaceUndone("1", (), redo=True)

    async def discard(self, paths: tuple[str, ...] | None) -> WorkspaceDiscarded:
        await self._call("discard")
        return WorkspaceDiscarded(())

    async def take_commits(self, sandbox: Sandbox) -> CommitsTaken:
        await self._call("take_commits")
        return CommitsTaken("refs/agentui/1", ("abc one",))

    def agree_to_size(self) -> None:
        self.called.append("agree_to_size")
        self.fails.pop("prepare", None)

    async def aclose(self) -> None:
        self.is_closed = True


class SlowLoading(PlayedBackend):
    """A server that takes its time to load a model."""

    def __init__(self, *answers: Played) -> None:
        super().__init__(answers)
        self.loading = Hang()

    @property
    def facts(self) -> ServerFacts:
        return replace(super().facts, can_load=True)

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        self.loading.reached.set()
        await self.loading.open.wait()
        return await super().load(model, context_tokens, progress)
