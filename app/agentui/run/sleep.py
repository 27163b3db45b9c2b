"""Notices that the machine was asleep: its wall clock went on, the monotonic one stood still. Pure."""

from __future__ import annotations

LEAST_GAP_S = 10.0
"""Less is a correction of the clock, or a nap that no connection notices."""


class SleepDetector:
    """Fed by ticks, some seconds apart.

    Both macOS and Linux stop the monotonic clock while the machine sleeps: durations measured by it do not
    contain the gap.
    """

    def __init__(self, least_gap_s: float = LEAST_GAP_S) -> None:
        self._least_gap_s = least_gap_s
        self._last: tuple[float, float] | None = None

    def tick(self, monotonic_s: float, wall_s: float) -> float | None:
        """The seconds slept since the last tick, if any."""
        last, self._last = self._last, (monotonic_s, wall_s)
        if last is None:
            return None
        gap_s = (wall_s - last[1]) - (monotonic_s - last[0])
        return gap_s if gap_s >= self._least_gap_s else None
