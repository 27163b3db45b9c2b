"""The only owner of run state: takes controls, prepares the parts, runs the harness, tells the events."""

from __future__ import annotations

import asyncio
import logging

from agentui import __version__
from agentui.control import Compact, Control
from agentui.errors import AgentuiError, BackendError, HarnessUnavailable, ProjectBusy, SandboxError, UsageError
from agentui.events import (
    Event,
    ModelFacts,
    ModelSeen,
    RunEnded,
    RunStarted,
    SessionResumed,
    StateChanged,
    Usage,
)
from agentui.harness.base import HarnessEnd
from agentui.run.approvals import Approvals
from agentui.run.aside import Aside, SlowControl
from agentui.run.controls import Controls
from agentui.run.desk import Desk
from agentui.run.gate import RunGate, Talk
from agentui.run.grip import Grip
from agentui.run.helpers import Helpers
from agentui.run.hold import Holder
from agentui.run.machine import Machine
from agentui.run.ports import RunParts, RunPolicy
from agentui.run.prepare import Preparation
from agentui.run.queue import TaskQueue
from agentui.run.resumed import ResumedState, balanced
from agentui.run.task_run import TaskRun
from agentui.run.watches import Watches
from agentui.workspace.settings import SeedTooLarge

log = logging.getLogger(__name__)

_MISSING = (BackendError, SandboxError, HarnessUnavailable, ProjectBusy, SeedTooLarge)
"""What ends a run as unavailable when nobody can be asked."""


class Supervisor:
    """One session's runs. `send` may be called at any time from the event loop; everything else is awaited."""

    def __init__(self, parts: RunParts, policy: RunPolicy) -> None:
        self._parts = parts
        self._machine = Machine()
        self._helpers = Helpers(self._emit)
        self._desk = desk = Desk(
            policy, Talk(self._emit), TaskQueue(self._emit), Approvals(self._emit, parts.ids)
        )
        desk.unfinished = parts.resumed.unfinished if parts.resumed is not None else None
        aside = Aside(desk.stage, parts, desk.talk, self._emit)
        self._watches = Watches(desk, aside, self._helpers, parts, self._emit)
        self._controls = Controls(desk, aside, self._helpers, self._emit, parts.ids)

    def send(self, control: Control) -> None:
        """Take a control; answers come as events. Never blocks."""
        self._controls.send(control)

    async def diff_text(self, path: str) -> str:
        """The unified diff of one path of the private copy; empty where there is none.

        Raises:
            WorkspaceError: If it cannot be read.
        """
        changes = self._desk.stage.changes
        return "" if changes is None else await changes.diff_text(path)

    async def undo_conflicts(self) -> tuple[str, ...]:
        """Paths for which an undo would be refused now.

        Raises:
            WorkspaceError: If that cannot be read.
        """
        changes = self._desk.stage.changes
        return () if changes is None else await changes.undo_conflicts()

    @property
    def is_running(self) -> bool:
        """Whether a run works or is held now."""
        return self._desk.run is not None

    def _emit(self, event: Event) -> None:
        """Everything passes here, so that the state follows from what happened."""
        self._parts.emit(event)
        if isinstance(event, ModelSeen):
            self._desk.stage.model_seen(event.model)
        self._tell(self._machine.observe(event))
        self._watches.happened(event)

    def observe(self, event: Event) -> None:
        """Take in a sample of the machine: into the one stream, past the watches."""
        self._emit(event)
        self._watches.sampled(event)

    def _tell(self, state: StateChanged | None) -> None:
        if state is not None:
            self._parts.emit(state)

    # --- the life of a session ---------------------------------------------------------------

    async def serve(self) -> None:
        """Work on tasks as they are submitted, until `Quit`. For the screen. A failed task ends only itself."""
        self._desk.is_serving = True
        try:
            try:
                await self._prepare()
            except asyncio.CancelledError:
                if not self._desk.is_quitting:
                    raise
            while self._desk.slow or not self._desk.is_quitting:
                self._desk.wake.clear()
                await self._work_next()
        finally:
            await self.aclose()

    async def _work_next(self) -> None:
        unfinished, self._desk.unfinished = self._desk.unfinished, None
        if self._desk.slow:
            self._desk.unfinished = unfinished
            await self._work_aside(self._desk.slow.popleft())
        elif self._desk.tasks:
            self._go_on_after(await self._run_task(self._desk.tasks.begin(self._desk.talk.queue)))
        elif unfinished is not None:
            self._controls.begin_held(unfinished.is_held)
            self._go_on_after(await self._run_task(unfinished.task, goes_on=unfinished.is_said))
        else:
            await self._desk.wake.wait()

    def _go_on_after(self, ended: RunEnded) -> None:
        """Text that came too late for the run is the next one's task; after any other end it waits."""
        if ended.reason != "done" or self._desk.is_quitting:
            return
        item = self._desk.talk.queue.take_next()
        if item is not None:
            self._desk.tasks.add_told(item)

    async def run_once(self, task: str | None) -> RunEnded:
        """Prepare, work on one task, and close. For the command line; nothing asks.

        Without a task the run goes on that was stopped with the resumed session; of one that was done the end
        is returned. Failures to prepare end the run; they do not raise.

        Raises:
            UsageError: If there is no task and nothing to go on with.
        """
        unfinished, self._desk.unfinished = self._desk.unfinished, None
        if task is None and unfinished is None:
            resumed = self._parts.resumed
            if resumed is not None and resumed.ended is not None and resumed.ended.reason == "done":
                return resumed.ended
            raise UsageError("there is no run to go on with", hint="give a task")
        goes_on = task is None and unfinished is not None and unfinished.is_said
        text = task if task is not None or unfinished is None else unfinished.task
        try:
            end = await self._not_prepared()
            if end is None:
                self._desk.tasks.move(self._desk.talk.queue)
                return await self._run_task(text or "", goes_on=goes_on)
            facts = ModelFacts(self._desk.policy.model or "unknown")
            parts = self._parts
            self._emit(RunStarted(text or "", facts, "none", parts.workdir, self._desk.policy.harness, None))
            ended = RunEnded(end.reason, end.error, end.hint, is_saved=task is None)
            self._emit(ended)
            return ended
        finally:
            await self.aclose()

    async def _not_prepared(self) -> HarnessEnd | None:
        """Prepare; the end of a run for which that did not work."""
        try:
            await self._prepare()
        except AgentuiError as error:
            is_missing = isinstance(error, _MISSING)
            return HarnessEnd("unavailable" if is_missing else "failed", Usage(), error.message, error.hint)
        except asyncio.CancelledError:
            if not self._desk.is_quitting:
                raise
            return HarnessEnd("interrupted", Usage())
        return None

    async def _prepare(self) -> None:
        parts = self._parts
        resumed = self._resume(parts.resumed) if parts.resumed is not None else None
        preparation = Preparation(
            parts, self._desk.policy, self._desk.talk.notice, self._desk.approvals, self._emit, resumed
        )
        self._desk.preparation = preparation
        self._tell(self._machine.preparing())
        self._desk.preparing = asyncio.create_task(preparation.prepare())
        try:
            prepared = await self._desk.preparing
        finally:
            self._desk.preparing = self._desk.preparation = None
        self._desk.stage.take(prepared, parts, self._desk.policy, self._emit)
        if prepared.workshop is not None:
            self._desk.talk.hints.set_up = prepared.workshop.set_up_hint
        self._tell(self._machine.prepared())

    def _resume(self, state: ResumedState) -> ResumedState:
        """Go on where the session stood. What ends its record is told past the state machine: it is over."""
        emit = self._parts.emit
        emit(SessionResumed(state.after_seq, __version__))
        for item in state.queue:
            self._desk.talk.queue.add(item)
        self._desk.talk.notices.extend(state.notices)
        self._desk.talk.call_ids.update(state.call_ids)
        return balanced(state, emit)

    async def aclose(self) -> None:
        """End everything that this session started; may be called twice."""
        await self._helpers.aclose()
        await self._desk.stage.aclose(self._emit)

    # --- one run -----------------------------------------------------------------------------

    async def _run_task(self, task: str, *, goes_on: bool = False) -> RunEnded:
        prepared = self._desk.stage.prepared
        if prepared is None:
            raise RuntimeError("a run needs a prepared session")
        grip = self._desk.run = self._new_grip(self._desk.talk)
        run = TaskRun(task, prepared, grip.gate, self._parts, goes_on=goes_on)
        self._emit(run.started(self._desk.policy))
        if self._desk.begins_held:
            self._desk.begins_held = False
            grip.pause(freeze=False)
        try:
            async with self._parts.keep_awake():
                await run.work(self._emit)
            await run.settle(self._desk.policy.apply, self._emit)
        finally:
            self._desk.run = None
            is_over = self._desk.is_quitting or run.end.reason == "interrupted"
            if grip.gate.wants_compaction() and not is_over:
                self._desk.slow.append(Compact())
            ended = run.ended(self._desk.policy)
            self._emit(ended)
            self._parts.flush()
        return ended

    def _new_grip(self, talk: Talk) -> Grip:
        parts, stage = self._parts, self._desk.stage
        holder = Holder(self._emit, parts.clock)
        gate = RunGate(
            talk,
            holder,
            stage.executor,
            stage.changes,
            self._desk.approvals,
            self._desk.policy,
            self._emit,
            parts.ids,
        )
        return Grip(gate, holder, stage.executor, self._helpers, self._emit)

    async def _work_aside(self, control: SlowControl) -> None:
        """Do a slow control while no run works; an interrupt ends it, but for work on the changes."""
        desk = self._desk
        grip = desk.idle_work = self._new_grip(Talk(self._emit))
        desk.idle_control = control
        try:
            await asyncio.wait({self._controls.begin_aside(control, grip.gate)})
        finally:
            desk.idle_work = desk.idle_control = None
            if grip.is_pausing and desk.tasks:
                desk.begins_held = True
            else:
                grip.end()
