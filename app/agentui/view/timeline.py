"""A recorded session as a view at any of its moments: checkpoints, a bisect, and a refold from the last one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from agentui.events import (
    ContextMeasured,
    KvSample,
    MemorySample,
    RateSample,
    Recorded,
    RequestEnded,
    RunStarted,
    TurnStarted,
)
from agentui.frozen import frozen
from agentui.view.fold import View

CHECKPOINTS = 128
"""Kept at most, evenly spread; a seek folds at most some hundredth of a session again."""


@frozen
class Moment:
    """What the gauges showed at one time: the last sample of each kind before it, if there was one."""

    memory: MemorySample | None = None
    kv: KvSample | None = None
    context: ContextMeasured | None = None
    decode_tok_per_s: float | None = None


class Timeline:
    """All moments of a session.

    Making it folds the session once, O(events). A place is a number of records, 0 to `len(records)`.
    """

    def __init__(self, records: Sequence[Recorded], checkpoints: int = CHECKPOINTS) -> None:
        self.records = records
        self.turns: list[int] = []
        """Places just after a turn or a run began, in order."""
        self._times: list[float] = []
        self._samples: dict[type, tuple[list[int], list[object]]] = {}
        self._marks: list[int] = [0]
        self._views: list[View] = [View()]
        self._fold(max(1, len(records) // max(1, checkpoints)))

    def _fold(self, step: int) -> None:
        view = View()
        latest_s = 0.0
        for place, recorded in enumerate(self.records, start=1):
            view.apply(recorded)
            latest_s = max(latest_s, recorded.t_s)
            self._times.append(latest_s)
            match recorded.event:
                case TurnStarted() | RunStarted():
                    self.turns.append(place)
                case MemorySample() | KvSample() | ContextMeasured():
                    self._keep(type(recorded.event), place, recorded.event)
                case RateSample(decode_tok_per_s=float(speed)) | RequestEnded(decode_tok_per_s=float(speed)):
                    self._keep(float, place, speed)
                case _:
                    pass
            # A turn's beginning has nothing half-written, so copies are small there.
            due = place - self._marks[-1]
            if due >= 2 * step or (due >= step and self.turns and self.turns[-1] == place):
                self._marks.append(place)
                self._views.append(view.copy())

    def _keep(self, kind: type, place: int, value: object) -> None:
        places, values = self._samples.setdefault(kind, ([], []))
        places.append(place)
        values.append(value)

    @property
    def duration_s(self) -> float:
        """The time of the last record."""
        return self._times[-1] if self._times else 0.0

    def place_at(self, t_s: float) -> int:
        """The place after everything up to a time. O(log records)."""
        return bisect_right(self._times, t_s)

    def turn_before(self, place: int) -> int:
        """The beginning of the turn before a place; 0 before all turns."""
        index = bisect_right(self.turns, place - 1)
        return self.turns[index - 1] if index else 0

    def turn_after(self, place: int) -> int:
        """The beginning of the turn after a place; the end after all turns."""
        index = bisect_right(self.turns, place)
        return self.turns[index] if index < len(self.turns) else len(self.records)

    def view_at(self, place: int) -> View:
        """The view after the first `place` records, independent of all others."""
        place = max(0, min(place, len(self.records)))
        mark = bisect_right(self._marks, place) - 1
        view = self._views[mark].copy()
        for recorded in self.records[self._marks[mark] : place]:
            view.apply(recorded)
        return view

    def moment(self, place: int) -> Moment:
        """What was measured last before a place. O(log records)."""

        def last(kind: type) -> object:
            places, values = self._samples.get(kind, ([], []))
            index = bisect_right(places, place)
            return values[index - 1] if index else None

        memory, kv, context, speed = last(MemorySample), last(KvSample), last(ContextMeasured), last(float)
        return Moment(
            memory if isinstance(memory, MemorySample) else None,
            kv if isinstance(kv, KvSample) else None,
            context if isinstance(context, ContextMeasured) else None,
            speed if isinstance(speed, float) else None,
        )
