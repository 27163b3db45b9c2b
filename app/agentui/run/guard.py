"""The memory guard: ok, watch or act, from readings of the machine. Pure; entered fast, left slowly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from agentui.events import ForecastMade, GuardChanged, GuardLevel, MemorySample
from agentui.text import human_bytes

_MIB = 1 << 20
_ORDER: dict[GuardLevel, int] = {"ok": 0, "watch": 1, "act": 2}


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """When the guard moves. Ratios are of the machine's memory, times in seconds.

    What is available below the floor (the larger of a ratio and a size) is used up for all that matters: a
    system that has so little left swaps or kills. Below `watch_ratio` memory is low. `wall_act_s` must leave
    time for a pause to be reached between two readings; `leave_s` is how long a level must not be called for
    before it is left, and `margin` how much more must be available then than where it was entered.
    """

    watch_ratio: float = 0.06
    floor_ratio: float = 0.015
    floor_bytes: int = 256 * _MIB
    wall_watch_s: float = 60.0
    wall_act_s: float = 6.0
    swap_growth_bytes: int = 256 * _MIB
    window_s: float = 12.0
    readings: int = 2
    leave_s: float = 20.0
    margin: float = 1.5


class _Reading(NamedTuple):
    at_s: float
    available_bytes: int | None
    swap_bytes: int | None


class _Call(NamedTuple):
    """The level that one reading calls for. An urgent one is believed at once."""

    level: GuardLevel
    why: str
    is_urgent: bool = False


class Guard:
    """Follows memory samples. `level` is what holds now; unknown figures call for nothing."""

    def __init__(self, limits: GuardLimits | None = None) -> None:
        self._limits = limits or GuardLimits()
        self._readings: deque[_Reading] = deque()
        self._turns_left: float | None = None
        self._called: deque[_Call] = deque(maxlen=self._limits.readings)
        self._quiet_since_s: float | None = None
        self.level: GuardLevel = "ok"

    def forget_trend(self) -> None:
        """What grew until now says nothing of later: a model was loaded, or the machine slept."""
        self._readings.clear()

    def forecast(self, made: ForecastMade) -> None:
        """Take in when memory will be full, if that can be said."""
        if made.limit == "memory":
            self._turns_left = made.turns_left

    def observe(self, sample: MemorySample, at_s: float) -> GuardChanged | None:
        """Take in a reading, made at monotonic second `at_s`; the change of level it causes. O(window)."""
        self._readings.append(_Reading(at_s, sample.available_bytes, sample.swap_used_bytes))
        while at_s - self._readings[0].at_s > self._limits.window_s:
            self._readings.popleft()
        self._called.append(self._call(sample, 1.0))
        entered = self._entered()
        if _ORDER[entered.level] > _ORDER[self.level]:
            self._quiet_since_s = None
            return self._moved(entered.level, entered.why)
        return self._left(sample, at_s)

    def _entered(self) -> _Call:
        """The highest level that the last readings agree on."""
        last = self._called[-1]
        if last.is_urgent:
            return last
        if len(self._called) < self._limits.readings:
            return _Call("ok", "")
        lowest = min(self._called, key=lambda call: _ORDER[call.level])
        return last if last.level == lowest.level else lowest

    def _left(self, sample: MemorySample, at_s: float) -> GuardChanged | None:
        calm = self._call(sample, self._limits.margin)
        if _ORDER[calm.level] >= _ORDER[self.level]:
            self._quiet_since_s = None
            return None
        if self._quiet_since_s is None:
            self._quiet_since_s = at_s
        if at_s - self._quiet_since_s < self._limits.leave_s:
            return None
        self._quiet_since_s = None
        return self._moved(calm.level, calm.why or "memory is free again")

    def _moved(self, level: GuardLevel, why: str) -> GuardChanged:
        self.level = level
        return GuardChanged(level, why)

    # --- what one reading calls for ------------------------------------------------------------

    def _call(self, sample: MemorySample, margin: float) -> _Call:
        """What this reading calls for, with limits that are `margin` times as far off."""
        limits, pressure = self._limits, sample.pressure
        available = sample.available_bytes
        if available is not None and available < self._floor_bytes(sample) * margin:
            return _Call("act", f"only {human_bytes(available)} of memory are left", is_urgent=True)
        wall_s = self._wall_s()
        is_low = self._is_low(sample, margin)
        if wall_s is not None and wall_s < limits.wall_act_s * margin and (is_low or pressure != "ok"):
            why = f"memory is full in about {wall_s:.0f} s if it goes on like this"
            return _Call("act", why, is_urgent=is_low)
        if pressure == "critical":
            return _Call("act", "the system says that memory pressure is critical")
        swapped = self._swap_growth()
        is_swapping = swapped is not None and swapped * margin >= limits.swap_growth_bytes
        if is_swapping and pressure == "warn":
            return _Call("act", f"memory is short and {human_bytes(swapped or 0)} went to swap just now")
        if self._turns_left is not None and self._turns_left < margin and pressure == "warn":
            return _Call("act", "memory is short, and the next turn may not fit")
        return self._watched(sample, margin, wall_s, is_swapping)

    def _watched(self, sample: MemorySample, margin: float, wall_s: float | None, is_swapping: bool) -> _Call:
        limits = self._limits
        if sample.pressure == "warn":
            return _Call("watch", "the system says that memory is short")
        if self._is_low(sample, margin):
            return _Call("watch", f"{human_bytes(sample.available_bytes)} of memory are left")
        if wall_s is not None and wall_s < limits.wall_watch_s * margin:
            return _Call("watch", f"memory is full in about {wall_s:.0f} s if it goes on like this")
        if is_swapping:
            return _Call("watch", "memory goes to swap")
        if self._turns_left is not None and self._turns_left < 3 * margin:
            return _Call("watch", f"memory is full in about {self._turns_left:.0f} turns")
        return _Call("ok", "")

    def _floor_bytes(self, sample: MemorySample) -> float:
        """Where memory is used up. A system that sees no pressure can free what it counts as used."""
        limits, total = self._limits, sample.total_bytes
        if total is None or sample.pressure == "ok":
            return limits.floor_bytes
        return max(limits.floor_bytes, total * limits.floor_ratio)

    def _is_low(self, sample: MemorySample, margin: float) -> bool:
        available, total = sample.available_bytes, sample.total_bytes
        if available is None or total is None:
            return False
        return available < total * self._limits.watch_ratio * margin

    def _wall_s(self) -> float | None:
        """Seconds until nothing is available, if it went down in every reading of the window."""
        known = _known(self._readings, lambda reading: reading.available_bytes)
        if len(known) < 3 or any(later >= earlier for (_, earlier), (_, later) in pairwise(known)):
            return None
        (first_s, first), (last_s, last) = known[0], known[-1]
        return last * (last_s - first_s) / (first - last)

    def _swap_growth(self) -> int | None:
        """How much more is in swap than at the beginning of the window, if it never went down."""
        known = _known(self._readings, lambda reading: reading.swap_bytes)
        if len(known) < 3 or any(later < earlier for (_, earlier), (_, later) in pairwise(known)):
            return None
        return known[-1][1] - known[0][1]


def _known(
    readings: Sequence[_Reading] | deque[_Reading], figure: Callable[[_Reading], int | None]
) -> list[tuple[float, int]]:
    return [(reading.at_s, value) for reading in readings if (value := figure(reading)) is not None]
