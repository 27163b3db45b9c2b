"""The only owner of run state: takes controls, prepares the parts, runs the harness, tells the events."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
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
    Undo,
)
from agentui.errors import BackendError, SandboxError
from agentui.events import (
    Event,
    ModelFacts,
    ModelSeen,
    RunEnded,
    RunStarted,
    SandboxEnded,
    SteerId,
    SteerMode,
    SteerQueued,
    SteerWithdrawn,
    TurnStarted,
    Usage,
    Warned,
)
from agentui.harness.base import HarnessEnd, Interrupted
from agentui.run.approvals import Approvals
from agentui.run.aside import Aside, SlowControl, Stage
from agentui.run.execute import Executor
from agentui.run.gate import RunGate, Talk
from agentui.run.hold import Holder
from agentui.run.machine import Machine
from agentui.run.ports import RunParts, RunPolicy
from agentui.run.prepare import Preparation, Prepared

log = logging.getLogger(__name__)

APPLY_HINT = "the changes wait in the workspace: apply them with /apply, or review them one by one"


_Work = Coroutine[None, None, None]


@dataclass(slots=True)
class _Run:
    """What exists only while a run works."""

    gate: RunGate
    holder: Holder


class _TurnCounter:
    """Counts turns on their way to the recorder."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self.turns = 0

    def emit(self, event: Event) -> None:
        self.turns += isinstance(event, TurnStarted)
        self._emit(event)


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
        self._preparing: asyncio.Task[Prepared] | None = None
        self._run: _Run | None = None
        self._slow: deque[SlowControl] = deque()
        self._tasks: deque[str] = deque()
        self._wake = asyncio.Event()
        self._helpers: set[asyncio.Task[None]] = set()
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
        changed = self._machine.observe(event)
        if changed is not None:
            self._parts.emit(changed)

    def _model_seen(self, model: ModelFacts) -> None:
        if self._stage.executor is not None:
            self._stage.executor.context_tokens = model.loaded_context_tokens

    # --- the life of a session ---------------------------------------------------------------

    async def serve(self) -> None:
        """Work on tasks as they are submitted, until `Quit`. For the screen.

        Raises:
            WorkspaceError: If the private copy cannot be made at all.
        """
        try:
            try:
                await self._prepare()
            except asyncio.CancelledError:
                if not self._is_quitting:
                    raise
            while not self._is_quitting:
                self._wake.clear()
                if self._tasks:
                    await self._run_task(self._tasks.popleft())
                elif self._slow:
                    await self._idle_work(self._slow.popleft())
                else:
                    await self._wake.wait()
        finally:
            await self.aclose()

    async def run_once(self, task: str) -> RunEnded:
        """Prepare, work on one task, and close. For the command line; nothing asks.

        Failures to prepare end the run as unavailable; they do not raise.
        """
        try:
            await self._prepare()
        except (BackendError, SandboxError) as error:
            facts = ModelFacts(self._policy.model or "unknown")
            self._emit(RunStarted(task, facts, "none", self._parts.workdir, self._policy.harness, None))
            ended = RunEnded("unavailable", error.message, error.hint)
            self._emit(ended)
            await self.aclose()
            return ended
        try:
            return await self._run_task(task)
        finally:
            await self.aclose()

    async def _prepare(self) -> None:
        parts = self._parts
        notice = self._talk.notices.append
        preparation = Preparation(parts, self._policy, notice, self._approvals, self._emit)
        self._preparing = asyncio.create_task(preparation.prepare())
        try:
            prepared = await self._preparing
        finally:
            if not self._preparing.done():
                self._preparing.cancel()
            self._preparing = None
        self._stage.prepared = prepared
        if prepared.workshop is not None:
            self._stage.executor = Executor(
                prepared.workshop.sandbox,
                parts.make_sink,
                self._emit,
                parts.clock,
                self._policy.command_timeout_s,
            )
            self._model_seen(prepared.model)
        self._stage.harness = parts.make_harness(prepared.backend, prepared.model, prepared.sandbox)

    async def aclose(self) -> None:
        """End everything that this session started; may be called twice."""
        for task in list(self._helpers):
            task.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        prepared, self._stage.prepared = self._stage.prepared, None
        if prepared is None:
            return
        await prepared.backend.aclose()
        if prepared.workshop is not None:
            await prepared.workshop.sandbox.aclose()
            self._emit(SandboxEnded("closed"))

    # --- one run -----------------------------------------------------------------------------

    async def _run_task(self, task: str) -> RunEnded:
        prepared, harness = self._stage.prepared, self._stage.harness
        if prepared is None or harness is None:
            raise RuntimeError("a run needs a prepared session")
        parts = self._parts
        began_s = parts.clock()
        changes = self._stage.changes
        run = self._run = self._new_run()
        gate = run.gate
        self._emit(
            RunStarted(
                task,
                prepared.model,
                prepared.backend.facts.base_url,
                parts.workdir,
                self._policy.harness,
                prepared.sandbox,
                self._policy.profile,
            )
        )
        turns = _TurnCounter(self._emit)
        end = HarnessEnd("interrupted", Usage())
        try:
            end = await harness.run(task, gate, turns.emit)
            if changes is not None and end.reason != "interrupted":
                await changes.settle(self._policy.apply)
            elif changes is not None:
                await changes.refresh()
        finally:
            self._run = None
            ended = self._ended(end, turns.turns, gate.commands, parts.clock() - began_s)
            self._emit(ended)
            parts.flush()
        return ended

    def _new_run(self) -> _Run:
        parts, stage = self._parts, self._stage
        holder = Holder(self._emit, parts.clock)
        gate = RunGate(
            self._talk,
            holder,
            stage.executor,
            stage.changes,
            self._approvals,
            self._policy,
            self._emit,
            parts.ids,
        )
        return _Run(gate, holder)

    def _ended(self, end: HarnessEnd, turns: int, commands: int, wall_s: float) -> RunEnded:
        pending = self._stage.changes.pending if self._stage.changes is not None else 0
        hint = end.hint or (APPLY_HINT if pending else "")
        return RunEnded(end.reason, end.error, hint, end.usage, turns, commands, wall_s, pending)

    # --- controls ----------------------------------------------------------------------------

    def send(self, control: Control) -> None:
        """Take a control; answers come as events. Never blocks."""
        match control:
            case Submit(text, queue):
                self._submit(text, "follow_up" if queue else "steer")
            case SendNow():
                self._send_now()
            case TakeBack(steer_id):
                self._take_back(steer_id)
            case Pause(freeze):
                self._pause(freeze)
            case Resume():
                self._resume(step=False)
            case Step():
                self._step()
            case Interrupt():
                self._interrupt()
            case Answer(ask_id, verdict):
                self._approvals.answer(ask_id, verdict)
            case Quit():
                self._quit()
            case Apply() | Discard() | Undo() | Redo() | RunCommand() | SwitchModel() | Compact():
                if isinstance(control, Apply) and control.always:
                    self._policy = replace(self._policy, apply="auto")
                self._take_slow(control)
            case _:
                assert_never(control)

    def _submit(self, text: str, mode: SteerMode) -> None:
        if not text.strip():
            return
        if self._run is None:
            self._tasks.append(text)
            self._wake.set()
            return
        steer_id = SteerId(self._parts.ids("s"))
        self._talk.queue.add(steer_id, text, mode)
        self._emit(SteerQueued(steer_id, text, mode))

    def _send_now(self) -> None:
        if self._run is not None and self._talk.queue.has_steer:
            self._run.gate.cut(freeze=False)

    def _take_back(self, steer_id: SteerId | None) -> None:
        item = self._talk.queue.take_back(steer_id)
        if item is not None:
            self._emit(SteerWithdrawn(item.steer_id))

    def _pause(self, freeze: bool) -> None:
        run = self._run
        if run is None or run.holder.is_reached:
            return
        is_second = run.holder.is_asked
        if not is_second or freeze:
            run.holder.ask("user", freeze)
        if is_second or freeze:
            self._freeze(run)

    def _freeze(self, run: _Run) -> None:
        if run.gate.cut(freeze=True) or self._stage.executor is None or not self._stage.executor.is_running:
            return
        self._help(self._freeze_command(run, self._stage.executor))

    async def _freeze_command(self, run: _Run, executor: Executor) -> None:
        if await executor.freeze():
            run.holder.reached("during_command")
        else:
            self._emit(Warned("cannot_freeze", "this sandbox cannot freeze a command; it holds after it ends"))

    def _resume(self, step: bool) -> None:
        if self._run is None:
            return
        if self._stage.executor is not None:
            self._help(self._stage.executor.thaw())
        self._run.holder.release(step)

    def _step(self) -> None:
        if self._run is not None and self._run.holder.is_reached:
            self._resume(step=True)
        else:
            self._pause(freeze=False)

    def _interrupt(self) -> None:
        if self._run is not None:
            self._run.gate.interrupt()

    def _quit(self) -> None:
        self._is_quitting = True
        self._interrupt()
        self._approvals.drop_all()
        if self._preparing is not None:
            self._preparing.cancel()
        self._wake.set()

    def _help(self, work: _Work) -> None:
        """Run a short piece of work beside the run; it is awaited or cancelled at the end."""
        task = asyncio.get_running_loop().create_task(work)
        self._helpers.add(task)
        task.add_done_callback(self._helped)

    def _helped(self, task: asyncio.Task[None]) -> None:
        self._helpers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a control failed", exc_info=error)
            self._emit(Warned("internal", f"this could not be done: {error}", "see the log file"))

    # --- slow controls: only while nothing runs, or while the run stands still ----------------

    def _take_slow(self, control: SlowControl) -> None:
        run = self._run
        if isinstance(control, Compact) and run is not None:
            run.gate.ask_compaction("the user asked")
        elif run is None:
            self._slow.append(control)
            self._wake.set()
        elif isinstance(control, RunCommand) or run.holder.is_reached:
            self._help(self._aside.do(control, run.gate))
        else:
            self._emit(Warned("busy", "not while the agent works", "pause first (space), then try again"))

    async def _idle_work(self, control: SlowControl) -> None:
        """Do a slow control while no run works; a compaction can be interrupted like a run."""
        run = self._new_run()
        if isinstance(control, Compact):
            self._run = run
        try:
            await self._aside.do(control, run.gate)
        except Interrupted:
            log.info("stopped by the user: %s", control)
        finally:
            self._run = None
