"""What a crash left without an end, and the events that end it: every `*Started` gets its `*Ended`. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    CompactionEnded,
    CompactionStarted,
    Event,
    MessageEnded,
    MessageStarted,
    ModelLoadEnded,
    ModelLoadStarted,
    Recorded,
    RequestEnded,
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
    WorkspaceChanged,
)
from agentui.harness.figures import sum_usage

WHY = "agentui ended before it did"


class Closings:
    """Follows the records of a session; `events` ends what is open, the last begun first."""

    def __init__(self) -> None:
        self._open: dict[Hashable, Recorded] = {}
        self._last_s = 0.0
        self._run = RunEnded("interrupted", WHY, is_saved=True)

    def take(self, recorded: Recorded) -> None:
        """Follow one record. Constant cost."""
        self._last_s = recorded.t_s
        self._run = _counted(self._run, recorded.event)
        begun, ended = _begun(recorded.event), _ended(recorded.event)
        if begun is not None:
            self._open[begun] = recorded
        elif ended is not None:
            self._open.pop(ended, None)

    def events(self) -> tuple[Event, ...]:
        """The missing ends. Durations run to the last record."""
        return tuple(
            _end_of(recorded.event, self._last_s - recorded.t_s, self._run)
            for recorded in reversed(self._open.values())
        )


def _counted(run: RunEnded, event: Event) -> RunEnded:
    """How the open run would end, one event later."""
    match event:
        case RunStarted():
            return RunEnded("interrupted", WHY, pending_changes=run.pending_changes, is_saved=True)
        case TurnStarted():
            return replace(run, turns=run.turns + 1)
        case ToolStarted(label=label) if label != "user":
            return replace(run, commands=run.commands + 1)
        case RequestEnded(usage=usage):
            return replace(run, usage=sum_usage(run.usage, usage))
        case WorkspaceChanged(changes):
            return replace(run, pending_changes=len(changes))
        case _:
            return run


def _begun(event: Event) -> Hashable | None:
    match event:
        case RunStarted():
            return "run"
        case TurnStarted():
            return "turn"
        case CompactionStarted():
            return "compaction"
        case SandboxStarted():
            return "sandbox"
        case ModelLoadStarted():
            return "load"
        case RequestStarted(name) | MessageStarted(name) | ToolStarted(name) | ApprovalAsked(name):
            return type(event), name
        case _:
            return None


def _ended(event: Event) -> Hashable | None:
    match event:
        case RunEnded():
            return "run"
        case TurnEnded():
            return "turn"
        case CompactionEnded():
            return "compaction"
        case SandboxEnded():
            return "sandbox"
        case ModelLoadEnded():
            return "load"
        case RequestEnded(name):
            return RequestStarted, name
        case MessageEnded(name):
            return MessageStarted, name
        case ToolEnded(name):
            return ToolStarted, name
        case ApprovalGiven(name):
            return ApprovalAsked, name
        case _:
            return None


def _end_of(event: Event, lasted_s: float, run: RunEnded) -> Event:
    match event:
        case RunStarted():
            return replace(run, wall_s=lasted_s)
        case TurnStarted(turn):
            return TurnEnded(turn, Usage())
        case CompactionStarted(_, before_tokens):
            return CompactionEnded(before_tokens, None, None, None, "", error=WHY)
        case SandboxStarted():
            return SandboxEnded(WHY)
        case ModelLoadStarted(model):
            return ModelLoadEnded(model, None, lasted_s, error=WHY)
        case RequestStarted(request_id):
            return RequestEnded(request_id, "cut", None, Usage(), None, None, lasted_s, error=WHY)
        case MessageStarted(message_id):
            return MessageEnded(message_id, "cut")
        case ToolStarted(call_id, cwd=cwd):
            return ToolEnded(call_id, "lost", None, lasted_s, cwd=cwd, message=WHY)
        case ApprovalAsked(ask_id, choices=choices):
            return ApprovalGiven(ask_id, choices[-1] if choices else "", "run")
        case _:
            raise AssertionError(f"{type(event).__name__} has no end")
