"""The part of the fold that says where things stand: state, header facts, queue and the end of a run."""

from __future__ import annotations

from dataclasses import field, replace

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    Event,
    HarnessStarted,
    Hold,
    ModelFacts,
    ModelLoadEnded,
    ModelLoadProgressed,
    ModelLoadStarted,
    ModelSeen,
    Phase,
    PrefillProgressed,
    RateSample,
    Recorded,
    RequestEnded,
    RunEnded,
    RunStarted,
    SandboxEnded,
    SandboxFacts,
    SandboxStarted,
    SessionStarted,
    Stalled,
    StateChanged,
    SteerApplied,
    SteerId,
    SteerMode,
    SteerQueued,
    SteerWithdrawn,
    TurnStarted,
    WorkspaceSeeded,
    WorkspaceSeedProgressed,
)
from agentui.frozen import frozen, mutable
from agentui.text import clean, clean_line, human_duration
from agentui.view.blocks import BlockId
from agentui.view.words import RESTING, state_words

HEADER = BlockId("@header")
STATE = BlockId("@state")
QUEUE = BlockId("@queue")
QUESTION = BlockId("@question")


@frozen
class QueuedText:
    """Text of the user's that has not reached the model; cleaned."""

    steer_id: SteerId
    text: str
    mode: SteerMode


@mutable
class Status:
    """Where things stand. `hold` pausing means asked for, paused and frozen mean reached."""

    session_id: str = ""
    project: str = ""
    branch: str | None = None
    version: str = ""
    model: ModelFacts | None = None
    backend: str = ""
    harness: str = ""
    harness_place: str = ""
    harness_commands: tuple[str, ...] = ()
    sandbox: SandboxFacts | None = None
    profile: str = "default"
    began_as_talk: bool = False
    phase: Phase = "idle"
    hold: Hold = "none"
    detail: str = ""
    retry_in_s: float | None = None
    progress_ratio: float | None = None
    eta_s: float | None = None
    turn: int = 0
    runs: int = 0
    is_running: bool = False
    queue: list[QueuedText] = field(default_factory=list)
    questions: list[ApprovalAsked] = field(default_factory=list)
    end: RunEnded | None = None

    @property
    def words(self) -> str:
        """The state in words."""
        return "".join(self.words_and_detail)

    @property
    def words_and_detail(self) -> tuple[str, str]:
        """The state in words, and what of it can be left out where room is scarce."""
        return state_words(
            self.phase,
            self.hold,
            self.detail,
            progress_ratio=self.progress_ratio,
            eta_s=self.eta_s,
            retry_in_s=self.retry_in_s,
        )

    @property
    def is_talk_only(self) -> bool:
        """True while runs have no sandbox, and so no commands."""
        return self.sandbox is None and self.runs > 0

    @property
    def wants_text(self) -> bool:
        """True while the oldest open question is answered by what the user types, and not by a choice."""
        return bool(self.questions) and self.questions[0].kind in ("input", "editor")

    @property
    def can_freeze(self) -> bool:
        """Whether something goes on that a second pause stops at once; where not, it takes the pause back."""
        if self.phase == "waiting_for_user":
            return False
        working = ("reading_prompt", "generating", "compacting", "running_command", "checking")
        return self.is_running or self.phase in working

    @property
    def needs_user(self) -> bool:
        """True while nothing goes on before the user says something."""
        return self.phase == "waiting_for_user" or bool(self.questions)

    def copy(self) -> Status:
        """An independent state."""
        return replace(self, queue=list(self.queue), questions=list(self.questions))

    def apply(self, recorded: Recorded) -> frozenset[BlockId]:
        """Fold one event; constant cost, but for the length of the queue."""
        event = recorded.event
        changed = self._apply_facts(event) or self._apply_progress(event) or self._apply_queue(event)
        if changed is not None:
            return frozenset((changed,))
        match event:
            case StateChanged(phase, hold, detail, retry_in_s):
                if phase != self.phase:
                    self.progress_ratio = self.eta_s = None
                if phase == "loading_model" and detail.endswith("%"):
                    detail = detail.rpartition(" ")[0]  # the share is said with the state's name
                self.phase, self.hold, self.detail, self.retry_in_s = phase, hold, detail, retry_in_s
                return frozenset((STATE,))
            case RunEnded():
                self.end = event
                self.is_running = False
                self.hold = "none"
                if self.phase not in RESTING:
                    self.phase = event.reason if event.reason in ("done", "interrupted") else "failed"
                self.questions.clear()
                return frozenset((STATE, QUESTION))
            case _:
                return frozenset()

    def _apply_facts(self, event: Event) -> BlockId | None:
        match event:
            case SessionStarted():
                self.session_id, self.project = event.session_id, event.project
                self.branch, self.version = event.branch, event.version
            case RunStarted():
                self.model, self.backend, self.harness = event.model, event.backend, event.harness
                self.sandbox, self.profile = event.sandbox, event.profile
                self.began_as_talk = event.sandbox is None
                self.runs += 1
                self.turn, self.end, self.is_running = 0, None, True
            case HarnessStarted():
                self.harness, self.harness_place = event.kind, event.place
                self.harness_commands = tuple(clean_line(name) for name in event.commands)
            case ModelSeen(model):
                self.model = model
            case SandboxStarted(sandbox):
                self.sandbox = sandbox
            case SandboxEnded(why) if why != "closed":
                self.sandbox = None
            case TurnStarted(turn):
                self.turn = turn
                return STATE
            case _:
                return None
        return HEADER

    def _apply_progress(self, event: Event) -> BlockId | None:
        match event:
            case ModelLoadStarted() | ModelLoadEnded():
                self.progress_ratio = self.eta_s = None
            case ModelLoadProgressed():
                self.progress_ratio = event.progress_ratio
            case PrefillProgressed() if event.total_tokens > 0:
                self.progress_ratio = min(1.0, event.processed_tokens / event.total_tokens)
                self.eta_s = event.eta_s
            case RequestEnded():
                self.progress_ratio = self.eta_s = None
            case Stalled(_, silent_s):
                self.detail = f"nothing for {human_duration(silent_s)}"
            case RateSample(decode_tok_per_s=float()) if self.detail and self.phase == "generating":
                self.detail = ""
            case WorkspaceSeedProgressed() if event.total_files:
                self.progress_ratio = min(1.0, event.files / event.total_files)
            case WorkspaceSeeded():
                self.progress_ratio = None
            case _:
                return None
        return STATE

    def _apply_queue(self, event: Event) -> BlockId | None:
        match event:
            case SteerQueued(steer_id, text, mode):
                self.queue.append(QueuedText(steer_id, clean(text), mode))
            case SteerApplied(steer_id) | SteerWithdrawn(steer_id):
                self.queue = [waiting for waiting in self.queue if waiting.steer_id != steer_id]
            case ApprovalAsked():
                self.questions.append(event)
                return QUESTION
            case ApprovalGiven(ask_id):
                self.questions = [asked for asked in self.questions if asked.ask_id != ask_id]
                return QUESTION
            case _:
                return None
        return QUEUE
