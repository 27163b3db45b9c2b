"""What a crash left open: every `*Started` of a journal has its end before the session goes on. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskId,
    CallId,
    CompactionEnded,
    CompactionStarted,
    Event,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelLoadEnded,
    ModelLoadStarted,
    RequestEnded,
    RequestId,
    RequestStarted,
    RunEnded,
    RunStarted,
    SandboxEnded,
    SandboxStarted,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
)

CRASHED = "agentui ended before it did"


@dataclass(slots=True)
class Unclosed:
    """A fold of events; `ends` are the missing ends, inner ones first."""

    tools: dict[CallId, ToolStarted] = field(default_factory=dict)
    messages: dict[MessageId, None] = field(default_factory=dict)
    requests: dict[RequestId, None] = field(default_factory=dict)
    asked: dict[AskId, None] = field(default_factory=dict)
    load: str | None = None
    is_compacting: bool = False
    turn: int | None = None
    turns: int = 0
    commands: int = 0
    is_running: bool = False
    has_sandbox: bool = False

    def take(self, event: Event) -> None:
        """Fold one event."""
        match event:
            case ToolStarted(call_id):
                self.tools[call_id] = event
            case ToolEnded(call_id):
                self.tools.pop(call_id, None)
                self.commands += event.outcome not in ("skipped", "denied", "refused")
            case MessageStarted(message_id):
                self.messages[message_id] = None
            case MessageEnded(message_id):
                self.messages.pop(message_id, None)
            case RequestStarted(request_id):
                self.requests[request_id] = None
            case RequestEnded(request_id):
                self.requests.pop(request_id, None)
            case ApprovalAsked(ask_id):
                self.asked[ask_id] = None
            case ApprovalGiven(ask_id):
                self.asked.pop(ask_id, None)
            case _:
                self._take_stage(event)

    def _take_stage(self, event: Event) -> None:
        match event:
            case ModelLoadStarted(model):
                self.load = model
            case ModelLoadEnded():
                self.load = None
            case CompactionStarted() | CompactionEnded():
                self.is_compacting = isinstance(event, CompactionStarted)
            case TurnStarted(turn):
                self.turn, self.turns = turn, self.turns + 1
            case TurnEnded():
                self.turn = None
            case RunStarted() | RunEnded():
                self.is_running = isinstance(event, RunStarted)
                self.turns = self.commands = 0
            case SandboxStarted() | SandboxEnded():
                self.has_sandbox = isinstance(event, SandboxStarted)
            case _:
                pass

    def ends(self) -> tuple[Event, ...]:
        """The events that close what is open, in the order in which they would have come."""
        ends: list[Event] = [ApprovalGiven(ask_id, "", "run") for ask_id in self.asked]
        for call_id, started in self.tools.items():
            ends.append(ToolEnded(call_id, "lost", None, 0.0, cwd=started.cwd, message=CRASHED))
        ends.extend(MessageEnded(message_id, "cut") for message_id in self.messages)
        for request_id in self.requests:
            ends.append(RequestEnded(request_id, "cut", None, Usage(), None, None, 0.0, error=CRASHED))
        if self.is_compacting:
            ends.append(CompactionEnded(None, None, None, None, "", error=CRASHED))
        if self.turn is not None:
            ends.append(TurnEnded(self.turn, Usage()))
        if self.load is not None:
            ends.append(ModelLoadEnded(self.load, None, 0.0, error=CRASHED))
        if self.is_running:
            ended = RunEnded("interrupted", CRASHED, turns=self.turns, commands=self.commands, is_saved=True)
            ends.append(ended)
        if self.has_sandbox:
            ends.append(SandboxEnded(CRASHED))
        return tuple(ends)


def missing_ends(events: Iterable[Event]) -> tuple[Event, ...]:
    """What must be added to `events` so that everything that started has ended. O(events)."""
    unclosed = Unclosed()
    for event in events:
        unclosed.take(event)
    return unclosed.ends()
