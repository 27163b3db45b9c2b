"""The state of a run: phase x hold, derived from what happens and what was asked. Pure; no waiting here."""

from __future__ import annotations

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    BackendRetried,
    CompactionEnded,
    CompactionStarted,
    Event,
    Hold,
    ModelLoadEnded,
    ModelLoadProgressed,
    ModelLoadStarted,
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


class Machine:
    """Follows the events of a run and says when the state changed.

    The phase is what is being done; the hold is none, pausing (asked, not reached), paused or frozen. An
    approval and a compaction lie on top of the phase they interrupt and give it back when they end.
    """

    def __init__(self) -> None:
        self.phase: Phase = "idle"
        self.hold: Hold = "none"
        self.detail = ""
        self._retry_in_s: float | None = None
        self._under_approval: tuple[Phase, str] | None = None
        self._is_compacting = False

    def observe(self, event: Event) -> StateChanged | None:
        """The new state if `event` changed it."""
        before = (self.phase, self.hold, self.detail, self._retry_in_s)
        self._take_hold(event)
        self._take_phase(event)
        after = (self.phase, self.hold, self.detail, self._retry_in_s)
        return StateChanged(*after) if after != before else None

    def _take_hold(self, event: Event) -> None:
        match event:
            case PauseAsked() if self.hold == "none":
                self.hold = "pausing"
            case Paused(at):
                self.hold = "frozen" if at.startswith("during") else "paused"
            case Resumed():
                self.hold = "none"
            case RunStarted() | RunEnded():
                self.hold = "none"
            case _:
                pass

    def _take_phase(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._go("starting")
            case RunEnded(reason):
                self._under_approval = None
                self._is_compacting = False
                self._go("done" if reason == "done" else "failed", reason)
            case WorkspaceSeedProgressed(files, total):
                self._go("seeding", f"{files} of {total} files" if total else f"{files} files")
            case WorkspaceSeeded() if self.phase == "seeding":
                self._go("starting")
            case ModelLoadStarted(model):
                self._go("loading_model", model)
            case ModelLoadProgressed(model, ratio):
                self._go("loading_model", f"{model} {ratio:.0%}" if ratio is not None else model)
            case ModelLoadEnded():
                self._go("starting")
            case _:
                self._take_work(event)

    def _take_work(self, event: Event) -> None:
        match event:
            case RequestStarted():
                self._go("compacting" if self._is_compacting else "reading_prompt")
            case TextDelta() | ThinkingDelta() | ToolCallDelta() if self.phase == "reading_prompt":
                self._go("generating")
            case RequestEnded() if self.phase in ("reading_prompt", "generating"):
                self._go("starting")
            case BackendRetried(_, delay_s, error):
                self._go("retrying", error, delay_s)
            case ToolStarted(_, _, command, _, label):
                self._go("checking" if label == "check" else "running_command", command.split("\n", 1)[0])
            case ToolEnded() if self.phase in ("running_command", "checking"):
                self._go("starting")
            case ApprovalAsked(_, question):
                self._under_approval = self._under_approval or (self.phase, self.detail)
                self._go("waiting_for_user", question)
            case ApprovalGiven() if self._under_approval:
                self._go(*self._under_approval)
                self._under_approval = None
            case CompactionStarted(why):
                self._is_compacting = True
                self._go("compacting", why)
            case CompactionEnded():
                self._is_compacting = False
                self._go("starting")
            case _:
                pass

    def _go(self, phase: Phase, detail: str = "", retry_in_s: float | None = None) -> None:
        self.phase = phase
        self.detail = detail
        self._retry_in_s = retry_in_s
