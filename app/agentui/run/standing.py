"""Where a session stands, as scripts are told it: a fold of events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskId,
    ContextMeasured,
    Event,
    MemorySample,
    ModelSeen,
    RateSample,
    RunEnded,
    RunStarted,
    SessionStarted,
    StateChanged,
    SteerApplied,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    ToolEnded,
    TurnStarted,
    WorkspaceChanged,
)


@dataclass(slots=True)
class Standing:
    """What `agentui status` says of a session. Texts are exact: whoever prints them cleans them."""

    session_id: str = ""
    project: str = ""
    model: str = ""
    task: str = ""
    phase: str = "starting"
    hold: str = "none"
    detail: str = ""
    ended: str | None = None
    turns: int = 0
    commands: int = 0
    changes: int = 0
    context_tokens: int | None = None
    context_limit_tokens: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    decode_tok_per_s: float | None = None
    queued: dict[SteerId, str] = field(default_factory=dict)
    questions: dict[AskId, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Fold one event; constant cost."""
        match event:
            case SessionStarted(session_id, project):
                self.session_id, self.project = session_id, project
            case StateChanged(phase, hold, detail):
                self.phase, self.hold, self.detail = phase, hold, detail
            case RunStarted(task, model):
                self.task, self.model = task, model.display_name or model.model
                self.turns = self.commands = 0
                self.ended = None
            case ModelSeen(model):
                self.model = model.display_name or model.model
            case RunEnded(reason):
                self.ended = reason
            case TurnStarted(turn):
                self.turns = turn
            case ToolEnded():
                self.commands += 1
            case WorkspaceChanged(changes):
                self.changes = len(changes)
            case _:
                self._take_rest(event)

    def _take_rest(self, event: Event) -> None:
        match event:
            case SteerQueued(steer_id, text):
                self.queued[steer_id] = text
            case SteerApplied(steer_id) | SteerWithdrawn(steer_id):
                self.queued.pop(steer_id, None)
            case ApprovalAsked(ask_id, question):
                self.questions[ask_id] = question
            case ApprovalGiven(ask_id):
                self.questions.pop(ask_id, None)
            case ContextMeasured(used, limit):
                self.context_tokens, self.context_limit_tokens = used, limit
            case MemorySample(total_bytes, used_bytes):
                self.memory_total_bytes, self.memory_used_bytes = total_bytes, used_bytes
            case RateSample(decode_tok_per_s):
                self.decode_tok_per_s = decode_tok_per_s
            case _:
                pass

    def as_object(self) -> dict[str, Any]:
        """The JSON object for scripts; what is unknown is null. Long texts are cut to 2,000 characters."""
        return {
            "session_id": self.session_id,
            "project": self.project,
            "model": self.model,
            "task": self.task[:2000],
            "state": self.phase,
            "hold": self.hold,
            "detail": self.detail[:2000],
            "ended": self.ended,
            "turn": self.turns,
            "commands": self.commands,
            "pending_changes": self.changes,
            "queued": [text[:2000] for text in list(self.queued.values())[:20]],
            "questions": [text[:2000] for text in list(self.questions.values())[:20]],
            "context_tokens": self.context_tokens,
            "context_limit_tokens": self.context_limit_tokens,
            "memory_used_bytes": self.memory_used_bytes,
            "memory_total_bytes": self.memory_total_bytes,
            "decode_tok_per_s": self.decode_tok_per_s,
        }
