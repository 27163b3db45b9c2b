"""The state of a run: phase x hold, derived from what happens and what was asked. Pure; no waiting here."""

from __future__ import annotations

from typing import TypeAlias

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskId,
    BackendLost,
    BackendRetried,
    CallId,
    CompactionEnded,
    CompactionStarted,
    EndReason,
    Event,
    Hold,
    ModelLoadEnded,
    ModelLoadProgressed,
    ModelLoadStarted,
    ModelSeen,
    PauseAsked,
    Paused,
    Phase,
    RequestEnded,
    RequestStarted,
    Resumed,
    RunEnded,
    RunStarted,
    StateChanged,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolEnded,
    ToolStarted,
    WorkspaceSeeded,
    WorkspaceSeedProgressed,
)

_Words: TypeAlias = tuple[Phase, str]

_HELD_AT = {
    "before_request": "before the next request",
    "before_command": "before the next command",
    "during_request": "in the middle of an answer",
    "during_command": "in the middle of a command",
}
_ENDS: dict[EndReason, _Words] = {
    "done": ("done", ""),
    "interrupted": ("interrupted", ""),
    "failed": ("failed", ""),
    "limit": ("failed", "a limit was reached"),
    "guard": ("failed", "the memory guard ended it"),
    "unavailable": ("failed", "something it needs is not there"),
}


_DELTAS = (TextDelta, ThinkingDelta, ToolCallDelta)


class Machine:
    """Follows the events of a session and says when the state changed.

    The phase is what is being done; the hold is none, pausing (asked, not reached), paused or frozen; while
    held, the detail says where. What lies on top of a phase gives it back when it ends: a question, then a
    load, a compaction, the making of the copy, and a command of the user's outside a run.
    """

    def __init__(self) -> None:
        self.hold: Hold = "none"
        self._ground: _Words = ("idle", "")
        self._aside: _Words | None = None
        self._questions: dict[AskId, str] = {}
        self._users_command: CallId | None = None
        self._held_at = ""
        self._retry_in_s: float | None = None
        self._is_in_run = False
        self._is_compacting = False
        self._told = self._state()

    @property
    def phase(self) -> Phase:
        """What is being done."""
        return self._told.phase

    def observe(self, event: Event) -> StateChanged | None:
        """The new state if `event` changed it."""
        if isinstance(event, _DELTAS) and self._ground[0] != "reading_prompt":
            return None  # a hundred a second: only the first of an answer means something
        self._take_hold(event)
        self._take_phase(event)
        return self._changed()

    def preparing(self) -> StateChanged | None:
        """What runs need is being looked for and started."""
        self._ground = ("starting", "")
        return self._changed()

    def prepared(self) -> StateChanged | None:
        """Everything is there, or nothing is tried any more."""
        self._ground, self._aside = ("idle", ""), None
        return self._changed()

    def _changed(self) -> StateChanged | None:
        state = self._state()
        if state == self._told:
            return None
        self._told = state
        return state

    def _state(self) -> StateChanged:
        if self._questions:
            phase, detail = "waiting_for_user", next(iter(self._questions.values()))
            return StateChanged("waiting_for_user", self.hold, detail)
        phase, detail = self._aside or self._ground
        if self.hold in ("paused", "frozen"):
            detail = self._held_at
        return StateChanged(phase, self.hold, detail, self._retry_in_s if phase == "retrying" else None)

    def _take_hold(self, event: Event) -> None:
        match event:
            case PauseAsked() if self.hold == "none":
                self.hold = "pausing"
            case Paused(at):
                self.hold = "frozen" if at.startswith("during") else "paused"
                self._held_at = _HELD_AT.get(at, at)
            case Resumed():
                self.hold = "none"
            case RunStarted() | RunEnded():
                self.hold = "none"
            case _:
                pass

    def _take_phase(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._is_in_run = True
                self._ground = ("starting", "")
            case RunEnded(reason):
                self._is_in_run = self._is_compacting = False
                self._questions.clear()
                self._ground, self._aside = _ENDS[reason], None
            case WorkspaceSeedProgressed(files, total):
                self._aside = ("seeding", f"{files} of {total} files" if total else f"{files} files")
            case ModelLoadStarted(model):
                self._aside = ("loading_model", model)
            case ModelLoadProgressed(model, ratio):
                self._aside = ("loading_model", f"{model} {ratio:.0%}" if ratio is not None else model)
            case ModelLoadEnded() | WorkspaceSeeded():
                self._aside = None
            case BackendLost(error) if not self._is_in_run and self._ground[0] == "starting":
                self._ground = ("starting", error)
            case ModelSeen() if self._ground[0] == "starting":
                self._ground = ("starting", "")
            case ApprovalAsked(ask_id, question):
                self._questions[ask_id] = question
            case ApprovalGiven(ask_id):
                self._questions.pop(ask_id, None)
            case CompactionStarted(why):
                self._is_compacting = True
                self._aside = ("compacting", why)
            case CompactionEnded():
                self._is_compacting = False
                self._aside = None
                self._between()
            case _:
                self._take_work(event)

    def _take_work(self, event: Event) -> None:
        match event:
            case RequestStarted() if self._is_compacting:
                self._aside = ("compacting", "")
            case RequestStarted():
                self._ground = ("reading_prompt", "")
            case TextDelta() | ThinkingDelta() | ToolCallDelta():
                self._ground = ("generating", "")
            case RequestEnded():
                self._between()
            case BackendRetried(_, delay_s, error):
                self._retry_in_s = delay_s
                if self._is_compacting:
                    self._aside = ("retrying", error)
                else:
                    self._ground = ("retrying", error)
            case ToolStarted(label="user") if self._is_in_run:
                pass  # it runs beside the agent, whose state this is
            case ToolStarted(call_id, _, command, _, label, check):
                phase: Phase = "checking" if check is not None else "running_command"
                words = (phase, command.split("\n", 1)[0])
                if label == "user":
                    self._users_command, self._aside = call_id, words
                else:
                    self._ground = words
            case ToolEnded(call_id) if call_id == self._users_command:
                self._users_command = self._aside = None
            case ToolEnded() if self._ground[0] in ("running_command", "checking"):
                self._between()
            case _:
                pass

    def _between(self) -> None:
        """Between a request and a command, or back: the run goes on, and nothing of it runs at this moment."""
        if self._is_in_run and not self._is_compacting:
            self._ground = ("working", "")
