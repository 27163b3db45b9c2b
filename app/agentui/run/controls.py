"""What the user asks of a session: taken at once, done at once or put where the session works it off."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
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
from agentui.events import PauseAsked, Resumed, SteerId, SteerMode, SteerQueued, SteerWithdrawn, Warned
from agentui.harness.base import Interrupter
from agentui.run.aside import Aside, OfChanges, SlowControl
from agentui.run.desk import Desk
from agentui.run.gate import RunGate
from agentui.run.helpers import Helpers
from agentui.run.ports import Emit
from agentui.run.queue import Queued


class Controls:
    """Takes controls. None blocks; what takes long runs in helpers, or waits on the desk."""

    def __init__(
        self, desk: Desk, aside: Aside, helpers: Helpers, emit: Emit, ids: Callable[[str], str]
    ) -> None:
        self._desk = desk
        self._aside = aside
        self._helpers = helpers
        self._emit = emit
        self._ids = ids
        self._switching: set[asyncio.Task[None]] = set()

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
                self._resume()
            case Step():
                self._step()
            case Interrupt():
                self._interrupt()
            case Answer(ask_id, verdict, is_cancelled):
                self._desk.approvals.answer(ask_id, verdict, is_cancelled=is_cancelled)
            case Quit():
                self._quit()
            case (
                Apply() | Discard() | Undo() | Redo() | TakeCommits() | RunCommand() | SwitchModel() | Compact()
            ):
                if isinstance(control, Apply) and control.always:
                    self._desk.policy = replace(self._desk.policy, apply="auto")
                self._take_slow(control)
            case _:
                assert_never(control)

    def _submit(self, text: str, mode: SteerMode) -> None:
        if not text.strip():
            return
        steer_id = SteerId(self._ids("s"))
        if self._desk.run is None:
            self._submit_task(Queued(steer_id, text, "follow_up" if self._desk.is_serving else mode))
            return
        self._desk.talk.queue.add(Queued(steer_id, text, mode))
        self._emit(SteerQueued(steer_id, text, mode))

    def _submit_task(self, item: Queued) -> None:
        """A text while no run works. Where nobody serves, it waits for the run that comes or a later one."""
        desk = self._desk
        is_ready = desk.is_serving and desk.stage.prepared is not None and desk.idle_work is None
        desk.tasks.add(item, begins_now=is_ready and not (desk.slow or desk.tasks))
        desk.wake.set()

    def _send_now(self) -> None:
        """Cut what is being asked for a steer that waits; without a run what waits begins one."""
        desk = self._desk
        if desk.run is not None:
            if desk.talk.queue.has_steer:
                desk.run.gate.send_now()
        elif not desk.tasks and (item := desk.talk.queue.take_next()) is not None:
            desk.tasks.add_told(item)
            desk.wake.set()

    def _take_back(self, steer_id: SteerId | None) -> bool:
        if self._desk.tasks.take_back(steer_id):
            if not self._desk.tasks:
                self._let_begin()
            return True
        item = self._desk.talk.queue.take_back(steer_id)
        if item is not None:
            self._emit(SteerWithdrawn(item.steer_id))
        return item is not None

    def _pause(self, freeze: bool) -> None:
        desk = self._desk
        if desk.run is not None:
            desk.run.pause(freeze)
        elif desk.idle_work is not None and isinstance(desk.idle_control, Compact):
            desk.idle_work.pause(freeze)
        elif desk.idle_work is not None and isinstance(desk.idle_control, RunCommand):
            desk.idle_work.pause(freeze=True)  # no safe point follows that could be waited for
        elif desk.tasks or desk.is_run_coming:
            if not desk.begins_held:
                desk.begins_held = True
                self._emit(PauseAsked("user"))
        elif desk.idle_work is not None:
            self._emit(Warned("cannot_pause", "this cannot be paused, it ends by itself", "esc stops a load"))

    def begin_held(self, is_held: bool) -> None:
        """The run that begins now holds before its first request."""
        self._desk.begins_held = self._desk.begins_held or is_held

    def _resume(self) -> None:
        working = self._desk.run or self._desk.idle_work
        if working is not None:
            working.resume()
        if self._desk.run is None:
            self._let_begin()

    def _step(self) -> None:
        working = self._desk.run or self._desk.idle_work
        if working is not None:
            working.step()
        else:
            self._pause(freeze=False)

    def _let_begin(self) -> None:
        """The next run does not begin held any more."""
        if self._desk.begins_held:
            self._desk.begins_held = False
            self._emit(Resumed(0.0))

    def _interrupt(self) -> None:
        if self._interrupt_work("user"):
            return
        if self._desk.preparing is not None and not self._desk.is_serving:
            self._desk.is_quitting = True
            self._desk.preparing.cancel()
        elif self._desk.tasks:
            while self._desk.tasks:
                self._take_back(None)
        elif self._desk.preparation is not None:
            self._desk.preparation.stop_loading()

    def _interrupt_work(self, by: Interrupter) -> bool:
        """End what works now; False if nothing does."""
        working = self._desk.run or self._desk.idle_work
        if working is None:
            return False
        working.gate.interrupt(by)
        for task in self._switching:
            task.cancel()
        return True

    def _quit(self) -> None:
        self._desk.is_quitting = True
        self._interrupt_work("quit")
        self._desk.approvals.drop_all()
        if self._desk.preparing is not None:
            self._desk.preparing.cancel()
        self._desk.slow = deque(control for control in self._desk.slow if isinstance(control, OfChanges))
        self._desk.wake.set()

    # --- slow controls: only while nothing runs, or while the run stands still ----------------

    def _take_slow(self, control: SlowControl) -> None:
        run = self._desk.run
        if run is None:
            self._desk.slow.append(control)
            self._desk.wake.set()
        elif isinstance(control, Compact):
            run.gate.ask_compaction("the user asked")
        elif isinstance(control, RunCommand):
            self.begin_aside(control, run.gate)
        elif not run.is_held:
            self._emit(Warned("busy", "not while the agent works", "pause first (space), then try again"))
        elif isinstance(control, OfChanges) and run.is_busy:
            hint = "let it end (space), pause before the next command, then try again"
            self._emit(Warned("busy", "not while a command is in the middle of its work", hint))
        else:
            self.begin_aside(control, run.gate)

    def begin_aside(self, control: SlowControl, gate: RunGate) -> asyncio.Task[None]:
        """Do a slow control in a helper; one that touches the host's files is not cut at the end."""
        is_unit = isinstance(control, OfChanges)
        task = self._helpers.start(self._aside.do(control, gate), must_finish=is_unit)
        if isinstance(control, SwitchModel):
            self._switching.add(task)
            task.add_done_callback(self._switching.discard)
        return task
