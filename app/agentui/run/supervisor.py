"""The only owner of run state: takes controls, prepares the parts, runs the harness, tells the events."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from typing import assert_never

from agentui.control import (
    Answer,
    Apply,
    Compact,
    Control,
    Discard,
    Interrupt,
    Pause,
    Quit,
    Redo,
    Resume,
    RunCommand,
    SendNow,
    Step,
    Submit,
    SwitchModel,
    TakeBack,
    TakeCommits,
    Undo,
)
from agentui.errors import AgentuiError, BackendError, SandboxError
from agentui.events import (
    Event,
    ModelFacts,
    ModelSeen,
    PauseAsked,
    Resumed,
    RunEnded,
    RunStarted,
    SandboxEnded,
    StateChanged,
    SteerId,
    SteerMode,
    SteerQueued,
    SteerWithdrawn,
    Usage,
    Warned,
)
from agentui.harness.base import HarnessEnd
from agentui.run.approvals import Approvals
from agentui.run.aside import Aside, OfChanges, SlowControl, Stage
from agentui.run.execute import Executor
from agentui.run.gate import RunGate, Talk
from agentui.run.grip import Grip
from agentui.run.helpers import Helpers
from agentui.run.hold import Holder
from agentui.run.machine import Machine
from agentui.run.ports import RunParts, RunPolicy
from agentui.run.prepare import Preparation, Prepared
from agentui.run.queue import Queued, TaskQueue
from agentui.run.task_run import TaskRun
from agentui.workspace.settings import SeedTooLarge

log = logging.getLogger(__name__)


class Supervisor:
    """One session's runs. `send` may be called at any time from the event loop; everything else is awaited."""

    def __init__(self, parts: RunParts, policy: RunPolicy) -> None:
        self._parts = parts
        self._policy = policy
        self._machine = Machine()
        self._talk = Talk()
        self._approvals = Approvals(self._emit, parts.ids)
        self._stage = Stage()
        self._aside = Aside(self._stage, parts, self._talk, self._emit)
        self._helpers = Helpers(self._emit)
        self._preparing: asyncio.Task[Prepared] | None = None
        self._run: Grip | None = None
        self._idle_work: Grip | None = None
        self._switching: set[asyncio.Task[None]] = set()
        self._slow: deque[SlowControl] = deque()
        self._tasks = TaskQueue(self._emit)
        self._begins_held = False
        self._wake = asyncio.Event()
        self._is_serving = False
        self._is_quitting = False

    @property
    def is_running(self) -> bool:
        """Whether a run works or is held now."""
        return self._run is not None

    def _emit(self, event: Event) -> None:
        """Everything passes here, so that the state follows from what happened."""
        self._parts.emit(event)
        if isinstance(event, ModelSeen):
            self._model_seen(event.model)
        self._tell(self._machine.observe(event))

    def _tell(self, state: StateChanged | None) -> None:
        if state is not None:
            self._parts.emit(state)

    def _model_seen(self, model: ModelFacts) -> None:
        if self._stage.executor is not None:
            self._stage.executor.context_tokens = model.loaded_context_tokens

    # --- the life of a session ---------------------------------------------------------------

    async def serve(self) -> None:
        """Work on tasks as they are submitted, until `Quit`. For the screen. A failed task ends only itself."""
        self._is_serving = True
        try:
            try:
                await self._prepare()
            except asyncio.CancelledError:
                if not self._is_quitting:
                    raise
            while self._slow or not self._is_quitting:
                self._wake.clear()
                if self._slow:
                    await self._work_aside(self._slow.popleft())
                elif self._tasks:
                    ended = await self._run_task(self._tasks.begin(self._talk.queue))
                    self._go_on_after(ended)
                else:
                    await self._wake.wait()
        finally:
            await self.aclose()

    def _go_on_after(self, ended: RunEnded) -> None:
        """Text that came too late for the run is the next one's task; after any other end it waits."""
        item = self._talk.queue.take_next() if ended.reason == "done" and not self._is_quitting else None
        if item is not None:
            self._tasks.add_told(item)

    async def run_once(self, task: str) -> RunEnded:
        """Prepare, work on one task, and close. For the command line; nothing asks.

        Failures to prepare end the run; they do not raise.
        """
        try:
            end = await self._not_prepared()
            if end is None:
                return await self._run_task(task)
            facts = ModelFacts(self._policy.model or "unknown")
            self._emit(RunStarted(task, facts, "none", self._parts.workdir, self._policy.harness, None))
            ended = RunEnded(end.reason, end.error, end.hint)
            self._emit(ended)
            return ended
        finally:
            await self.aclose()

    async def _not_prepared(self) -> HarnessEnd | None:
        """Prepare; the end of a run for which that did not work."""
        try:
            await self._prepare()
        except AgentuiError as error:
            is_missing = isinstance(error, BackendError | SandboxError | SeedTooLarge)
            return HarnessEnd("unavailable" if is_missing else "failed", Usage(), error.message, error.hint)
        except asyncio.CancelledError:
            if not self._is_quitting:
                raise
            return HarnessEnd("interrupted", Usage())
        return None

    async def _prepare(self) -> None:
        parts = self._parts
        notice = self._talk.notices.append
        preparation = Preparation(parts, self._policy, notice, self._approvals, self._emit)
        self._tell(self._machine.preparing())
        self._preparing = asyncio.create_task(preparation.prepare())
        try:
            prepared = await self._preparing
        finally:
            self._preparing = None
        self._stage.prepared = prepared
        if prepared.workshop is not None:
            self._stage.executor = Executor(
                prepared.workshop.sandbox,
                parts.make_sink,
                self._emit,
                parts.clock,
                self._policy.command_timeout_s,
                prepared.changes.lock if prepared.changes is not None else asyncio.Lock(),
            )
            self._model_seen(prepared.model)
        self._stage.harness = parts.make_harness(prepared.backend, prepared.model, prepared.sandbox)
        self._tell(self._machine.prepared())

    async def aclose(self) -> None:
        """End everything that this session started; may be called twice."""
        await self._helpers.aclose()
        prepared, self._stage.prepared = self._stage.prepared, None
        if prepared is None:
            return
        sandbox = prepared.workshop.sandbox if prepared.workshop is not None else None
        for part in (prepared.backend, sandbox, prepared.changes):
            try:
                if part is not None:
                    await part.aclose()
            except Exception:
                log.exception("not closed: %s", type(part).__name__)
        if sandbox is not None:
            self._emit(SandboxEnded("closed"))

    # --- one run -----------------------------------------------------------------------------

    async def _run_task(self, task: str) -> RunEnded:
        prepared, harness = self._stage.prepared, self._stage.harness
        if prepared is None or harness is None:
            raise RuntimeError("a run needs a prepared session")
        grip = self._run = self._new_grip(self._talk)
        run = TaskRun(task, prepared, grip.gate, self._parts)
        self._emit(run.started(self._policy))
        if self._begins_held:
            self._begins_held = False
            grip.pause(freeze=False)
        try:
            await run.work(harness, self._emit)
            await run.settle(self._policy.apply, self._emit)
        finally:
            self._run = None
            is_over = self._is_quitting or run.end.reason == "interrupted"
            if grip.gate.wants_compaction() and not is_over:
                self._slow.append(Compact())
            ended = run.ended()
            self._emit(ended)
            self._parts.flush()
        return ended

    def _new_grip(self, talk: Talk) -> Grip:
        parts, stage = self._parts, self._stage
        holder = Holder(self._emit, parts.clock)
        gate = RunGate(
            talk,
            holder,
            stage.executor,
            stage.changes,
            self._approvals,
            self._policy,
            self._emit,
            parts.ids,
        )
        return Grip(gate, holder, stage.executor, self._helpers, self._emit)

    # --- controls ----------------------------------------------------------------------------

    def send(self, control: Control) -> None:
        """Take a control; answers come as events. Never blocks."""
        match control:
            case Submit(text, queue):
                self._submit(text, "follow_up" if queue else "steer")
            case SendNow():
                if self._run is not None and self._talk.queue.has_steer:
                    self._run.gate.send_now()
            case TakeBack(steer_id):
                self._take_back(steer_id)
            case Pause(freeze):
                self._pause(freeze)
            case Resume():
                self._resume()
            case Step():
                self._step()
            case Interrupt():
                self._interrupt()
            case Answer(ask_id, verdict):
                self._approvals.answer(ask_id, verdict)
            case Quit():
                self._quit()
            case Apply() | Discard() | Undo() | Redo() | TakeCommits():
                if isinstance(control, Apply) and control.always:
                    self._policy = replace(self._policy, apply="auto")
                self._take_slow(control)
            case RunCommand() | SwitchModel() | Compact():
                self._take_slow(control)
            case _:
                assert_never(control)

    def _submit(self, text: str, mode: SteerMode) -> None:
        if not text.strip():
            return
        steer_id = SteerId(self._parts.ids("s"))
        if self._run is None:
            is_ready = self._stage.harness is not None and self._idle_work is None
            begins_now = is_ready and not (self._slow or self._tasks)
            self._tasks.add(Queued(steer_id, text, "follow_up"), begins_now=begins_now)
            self._wake.set()
            return
        self._talk.queue.add(Queued(steer_id, text, mode))
        self._emit(SteerQueued(steer_id, text, mode))

    def _take_back(self, steer_id: SteerId | None) -> bool:
        if self._tasks.take_back(steer_id):
            if not self._tasks:
                self._let_begin()
            return True
        item = self._talk.queue.take_back(steer_id)
        if item is not None:
            self._emit(SteerWithdrawn(item.steer_id))
        return item is not None

    def _pause(self, freeze: bool) -> None:
        if self._run is not None:
            self._run.pause(freeze)
        elif self._tasks and not self._begins_held:
            self._begins_held = True
            self._emit(PauseAsked("user"))

    def _resume(self) -> None:
        if self._run is not None:
            self._run.resume()
        else:
            self._let_begin()

    def _step(self) -> None:
        if self._run is not None:
            self._run.step()
        else:
            self._pause(freeze=False)

    def _let_begin(self) -> None:
        """The next run does not begin held any more."""
        if self._begins_held:
            self._begins_held = False
            self._emit(Resumed(0.0))

    def _interrupt(self) -> None:
        working = self._run or self._idle_work
        if working is not None:
            working.gate.interrupt()
            for task in self._switching:
                task.cancel()
        elif self._preparing is not None and not self._is_serving:
            self._is_quitting = True
            self._preparing.cancel()
        else:
            while self._tasks:
                self._take_back(None)

    def _quit(self) -> None:
        self._is_quitting = True
        if self._run is not None or self._idle_work is not None:
            self._interrupt()
        self._approvals.drop_all()
        if self._preparing is not None:
            self._preparing.cancel()
        self._slow = deque(control for control in self._slow if isinstance(control, OfChanges))
        self._wake.set()

    # --- slow controls: only while nothing runs, or while the run stands still ----------------

    def _take_slow(self, control: SlowControl) -> None:
        run = self._run
        if run is None:
            self._slow.append(control)
            self._wake.set()
        elif isinstance(control, Compact):
            run.gate.ask_compaction("the user asked")
        elif isinstance(control, RunCommand):
            self._begin_aside(control, run.gate)
        elif not run.is_held:
            self._emit(Warned("busy", "not while the agent works", "pause first (space), then try again"))
        elif isinstance(control, OfChanges) and run.is_busy:
            hint = "let it end (space), pause before the next command, then try again"
            self._emit(Warned("busy", "not while a command is in the middle of its work", hint))
        else:
            self._begin_aside(control, run.gate)

    def _begin_aside(self, control: SlowControl, gate: RunGate) -> asyncio.Task[None]:
        is_unit = isinstance(control, OfChanges)
        task = self._helpers.start(self._aside.do(control, gate), must_finish=is_unit)
        if isinstance(control, SwitchModel):
            self._switching.add(task)
            task.add_done_callback(self._switching.discard)
        return task

    async def _work_aside(self, control: SlowControl) -> None:
        """Do a slow control while no run works; an interrupt ends it, but for work on the changes."""
        self._idle_work = self._new_grip(Talk())
        try:
            await asyncio.wait({self._begin_aside(control, self._idle_work.gate)})
        finally:
            self._idle_work = None
