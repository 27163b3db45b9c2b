"""Turns and minutes until the context is full, from how the last turns grew it.

The first storey of the forecast: one straight line through the last turns. Memory is not forecast here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from agentui.events import ForecastMade
from agentui.telemetry.meters import TurnGrowth

GROWTHS_NEEDED = 2
"""Fewer growths than this say nothing: the first turn reads the task, the second may read a large file."""
GROWTHS_USED = 5


def context_forecast(turns: Sequence[TurnGrowth], limit_tokens: int | None) -> ForecastMade:
    """When the context will be full if the coming turns are like the last ones.

    `turns` are consecutive, oldest first, without a compaction in between. Turns and minutes are ``None`` with
    too few of them, without a known limit, and where the context does not grow.
    """
    if limit_tokens is None:
        return _unknown("the context length is not known")
    growths = [now.used_tokens - before.used_tokens for before, now in pairwise(turns)]
    growths = growths[-GROWTHS_USED:]
    if len(growths) < GROWTHS_NEEDED:
        return _unknown(f"needs {GROWTHS_NEEDED + 1} turns, has {len(turns)}")
    tokens_per_turn = sum(growths) / len(growths)
    if tokens_per_turn <= 0:
        return _unknown(f"the context did not grow in the last {len(growths)} turns")
    turns_left = max(0, limit_tokens - turns[-1].used_tokens) / tokens_per_turn
    seconds_per_turn = sum(turn.work_s for turn in turns[-len(growths) :]) / len(growths)
    return ForecastMade(
        limit="context",
        turns_left=round(turns_left, 1),
        minutes_left=round(turns_left * seconds_per_turn / 60, 1),
        basis=f"last {len(growths)} turns, {tokens_per_turn:.0f} tokens each",
    )


def _unknown(why: str) -> ForecastMade:
    return ForecastMade(limit="context", turns_left=None, minutes_left=None, basis=why)
