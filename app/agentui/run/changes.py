"""The workspace's part in a run: what changed, applied and undone, told as events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, assert_never

from agentui.control import Apply, Discard, Redo, Undo
from agentui.errors import AgentuiError, ApplyConflict, WorkspaceError
from agentui.events import Change, Event, Warned, WorkspaceChanged, WorkspaceConflicted
from agentui.run.ports import WorkspacePort
from agentui.sandbox.base import Sandbox

ApplyPolicy = Literal["ask", "auto", "never", "accept"]


class Changes:
    """Serialises all work on the workspace and emits its events.

    `lock` is held meanwhile; whoever runs commands takes it too, as none may run while the copy is worked on.
    """

    def __init__(
        self,
        workspace: WorkspacePort,
        emit: Callable[[Event], None],
        flush: Callable[[], None],
        notice: Callable[[str], None],
    ) -> None:
        self._workspace = workspace
        self._emit = emit
        self._flush = flush
        self._notice = notice
        self.lock = asyncio.Lock()
        self.current: tuple[Change, ...] = ()

    @property
    def workspace_id(self) -> str:
        """Names the copy in commands."""
        return self._workspace.workspace_id

    @property
    def pending(self) -> int:
        """How many changes wait in the copy that could be applied."""
        return sum(change.rule != "never" for change in self.current)

    async def recover(self) -> None:
        """Take the project for this process and finish what a crash left; the sandbox need not be started.

        Raises:
            ProjectBusy: If another process works on the project.
        """
        async with self.lock:
            if recovered := await self._workspace.recover():
                self._emit(Warned("recovered", recovered))

    async def prepare(self) -> None:
        """Seed the copy, or bring a kept one up to date.

        Raises:
            WorkspaceError: If the copy cannot be made.
        """
        async with self.lock:
            await self._workspace.prepare(self._emit)
        await self.refresh()

    async def refresh(self) -> None:
        """Look again; an event follows only if something differs."""
        async with self.lock:
            await self._look()

    async def diff_text(self, path: str) -> str:
        """The unified diff of one path; waits while a command runs, or the copy would be read in between.

        Raises:
            WorkspaceError: If it cannot be read.
        """
        async with self.lock:
            return await self._workspace.diff_text(path)

    async def undo_conflicts(self) -> tuple[str, ...]:
        """Paths for which an undo would be refused now: the user changed them since the apply.

        Waits for no command: only the host is read, not the copy.

        Raises:
            WorkspaceError: If that cannot be read.
        """
        outlook = await self._workspace.undo_preview()
        return () if outlook is None else outlook.conflicts

    async def aclose(self) -> None:
        """Let others work on the project; the copy stays."""
        await self._workspace.aclose()

    async def _look(self) -> None:
        try:
            changes = await self._workspace.changes()
        except AgentuiError as error:
            self._emit(Warned("changes_unknown", error.message, error.hint))
            return
        if changes != self.current:
            self.current = changes
            self._emit(WorkspaceChanged(changes))

    async def host_edits_in(self) -> Event | None:
        """Bring the user's own edits into the copy; returns the event that was emitted."""
        async with self.lock:
            try:
                event = await self._workspace.host_edits_in()
            except AgentuiError as error:
                event = None
                self._emit(Warned("host_edits", error.message, error.hint))
            if event is not None:
                self._emit(event)
                await self._look()
        return event

    async def settle(self, policy: ApplyPolicy) -> None:
        """The agent has settled: apply by itself where the policy says so and nothing stands against it."""
        await self.refresh()
        if policy in ("ask", "never") or not self.pending:
            return
        blocker = self._workspace.auto_blocker(self.current) if policy == "auto" else None
        if blocker:
            self._emit(Warned("apply_asks", f"not applied by itself: {blocker}", "/apply applies, r reviews"))
            return
        await self._apply(None, include_ask=policy == "accept", by="auto")

    async def handle(self, control: Apply | Discard | Undo | Redo) -> None:
        """Do what the user asked of the changes; failures become warnings, never exceptions."""
        try:
            match control:
                case Apply(paths, include_ask, _):
                    await self._apply(paths, include_ask, "user")
                case Discard(paths):
                    await self._discard(paths)
                case Undo() | Redo():
                    await self._undo(redo=isinstance(control, Redo))
                case _:
                    assert_never(control)
        except WorkspaceError as error:
            self._emit(Warned("workspace", error.message, error.hint))

    async def take_commits(self, sandbox: Sandbox) -> None:
        """Bring the agent's commits to the project's repository.

        Raises:
            WorkspaceError: If there are none, or a git refused.
        """
        async with self.lock:
            self._emit(await self._workspace.take_commits(sandbox))

    async def _apply(
        self, paths: tuple[str, ...] | None, include_ask: bool, by: Literal["user", "auto"]
    ) -> None:
        async with self.lock:
            self._flush()
            try:
                applied = await self._workspace.apply(paths, include_ask, by)
            except ApplyConflict as conflict:
                self._emit(WorkspaceConflicted(conflict.paths))
                self._emit(Warned("conflict", conflict.message, conflict.hint))
                return
            except WorkspaceError as error:
                self._emit(Warned("apply_failed", error.message, error.hint))
                return
            self._emit(applied)
            self._flush()
            await self._look()

    async def _discard(self, paths: tuple[str, ...] | None) -> None:
        async with self.lock:
            event = await self._workspace.discard(paths)
            if event.paths:
                self._emit(event)
                self._notice(f"The user discarded your changes to: {', '.join(event.paths)}.")
            else:
                self._emit(Warned("workspace", "there is nothing to discard"))
            await self._look()

    async def _undo(self, redo: bool) -> None:
        async with self.lock:
            self._flush()
            event = await (self._workspace.redo() if redo else self._workspace.undo())
            self._emit(event)
            self._flush()
            word = "applied again" if redo else "undid"
            self._notice(f"The user {word} earlier changes to: {', '.join(event.paths)}.")
            await self._look()
