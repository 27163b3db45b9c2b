"""Where the time of each turn went: a fold of events in which every second belongs to exactly one kind.

A turn's account runs from the end of the turn before it (or the run's start) to its own end, so that the turns
of a run and what came after the last one, told just before the run's end, add up to the run's wall time.
Waiting for the user wins over everything else, then a command, then a request; a request is split at its first
token, as its meter measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentui.events import (
    CallId,
    Recorded,
    RequestEnded,
    RequestStarted,
    RunStarted,
    Slept,
    StateChanged,
    ToolEnded,
    ToolFrozen,
    ToolStarted,
    ToolThawed,
    TurnEnded,
    TurnTimed,
)

Kind = Literal["request", "prefill", "decode", "commands", "checks", "waiting", "slept", "other"]


def _nothing() -> dict[Kind, float]:
    return dict.fromkeys(
        ("request", "prefill", "decode", "commands", "checks", "waiting", "slept", "other"), 0.0
    )


@dataclass(slots=True)
class TimeAccount:
    """Folds events into `TurnTimed`; no clock of its own. Constant cost for each event."""

    _spent: dict[Kind, float] = field(default_factory=_nothing)
    _since_s: float | None = None
    _began_s: float = 0.0
    _turn: int = 0
    _tools: dict[CallId, bool] = field(default_factory=dict)
    _frozen: set[CallId] = field(default_factory=set)
    _is_held: bool = False
    _has_request: bool = False

    def observe(self, recorded: Recorded) -> TurnTimed | None:
        """Fold one event; the account of the turn that it closes, else ``None``."""
        event, t_s = recorded.event, recorded.t_s
        if isinstance(event, RunStarted):
            self._begin(t_s)
            self._tools.clear()
            self._frozen.clear()
            self._has_request = False
            self._turn = 0
            return None
        if self._since_s is None:
            if isinstance(event, StateChanged):
                self._is_held = _holds(event)
            return None
        self._advance(t_s)
        match event:
            case StateChanged():
                self._is_held = _holds(event)
            case ToolStarted(call_id, label=label):
                self._tools[call_id] = label == "check"
            case ToolFrozen(call_id):
                self._frozen.add(call_id)
            case ToolThawed(call_id):
                self._frozen.discard(call_id)
            case ToolEnded(call_id):
                self._tools.pop(call_id, None)
                self._frozen.discard(call_id)
            case RequestStarted():
                self._has_request = True
            case RequestEnded():
                self._split_request(event.ttft_s)
            case Slept(gap_s):
                self._move_to_sleep(gap_s)
            case TurnEnded(turn):
                self._turn = turn
                return self._close(t_s, turn)
            case _:
                pass
        return None

    def end(self, t_s: float) -> TurnTimed | None:
        """Close the account of a run that ends now: what came after its last turn, ``None`` for nothing."""
        if self._since_s is None:
            return None
        self._advance(t_s)
        closed = self._close(t_s, 0)
        self._since_s = None
        return closed if closed.wall_s > 0 else None

    def _begin(self, t_s: float) -> None:
        self._spent, self._since_s, self._began_s = _nothing(), t_s, t_s

    @property
    def _kind(self) -> Kind:
        if self._is_held or self._frozen:
            return "waiting"
        if self._tools:
            return "checks" if all(self._tools.values()) else "commands"
        return "request" if self._has_request else "other"

    def _advance(self, t_s: float) -> None:
        if self._since_s is not None:
            self._spent[self._kind] += max(0.0, t_s - self._since_s)
            self._since_s = max(t_s, self._since_s)

    def _split_request(self, ttft_s: float | None) -> None:
        self._has_request = False
        spent, self._spent["request"] = self._spent["request"], 0.0
        prefill_s = spent if ttft_s is None else min(ttft_s, spent)
        self._spent["prefill"] += prefill_s
        self._spent["decode"] += spent - prefill_s

    def _move_to_sleep(self, gap_s: float) -> None:
        """The gap lies in what has just been counted as something else."""
        kind = self._kind
        moved = min(gap_s, self._spent[kind])
        self._spent[kind] -= moved
        self._spent["slept"] += moved

    def _close(self, t_s: float, turn: int) -> TurnTimed:
        if self._has_request or self._spent["request"]:
            self._split_request(None)
        spent = self._spent
        closed = TurnTimed(
            turn=turn,
            wall_s=t_s - self._began_s,
            prefill_s=spent["prefill"],
            decode_s=spent["decode"],
            commands_s=spent["commands"],
            checks_s=spent["checks"],
            waiting_s=spent["waiting"],
            slept_s=spent["slept"],
            other_s=spent["other"],
        )
        self._begin(t_s)
        return closed


def _holds(event: StateChanged) -> bool:
    return event.hold in ("paused", "frozen") or event.phase == "waiting_for_user"
