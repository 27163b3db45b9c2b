"""Turns and minutes until the context is full, and until memory is, from how the last turns grew.

The context grows as the last turns did. Memory grows as the cache does with those tokens, which the cache's own
model says: in steps, and more slowly once sliding windows are full. Agents think in turns, so turns come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from agentui.events import ForecastMade
from agentui.frozen import frozen
from agentui.telemetry.meters import TurnGrowth
from agentui.text import human_gib

GROWTHS_NEEDED = 2
"""Fewer growths than this say nothing: the first turn reads the task, the second may read a large file."""
GROWTHS_USED = 5
STEP_TOKENS = 256
RESERVE_BYTES = 3 << 30
"""Kept free of the memory wall, as LM Studio does when it fits a context to an MLX model."""


@frozen
class Growth:
    """How the last turns grew the context: means of so many growths."""

    tokens_per_turn: float
    seconds_per_turn: float
    turns: int

    @property
    def basis(self) -> str:
        """What it rests on, in words."""
        return f"last {self.turns} turns, {self.tokens_per_turn:.0f} tokens each"


def growth_of(turns: Sequence[TurnGrowth]) -> Growth | str:
    """The growth per turn, or why there is none to go by.

    `turns` are consecutive, oldest first, without a compaction in between.
    """
    growths = [now.used_tokens - before.used_tokens for before, now in pairwise(turns)]
    growths = growths[-GROWTHS_USED:]
    if len(growths) < GROWTHS_NEEDED:
        return f"needs {GROWTHS_NEEDED + 1} turns, has {len(turns)}"
    tokens_per_turn = sum(growths) / len(growths)
    if tokens_per_turn <= 0:
        return f"the context did not grow in the last {len(growths)} turns"
    seconds = sum(turn.work_s for turn in turns[-len(growths) :]) / len(growths)
    return Growth(tokens_per_turn, seconds, len(growths))


def context_forecast(turns: Sequence[TurnGrowth], limit_tokens: int | None) -> ForecastMade:
    """When the context will be full if the coming turns are like the last ones.

    Turns and minutes are ``None`` with too few of them, without a known limit, and where it does not grow.
    """
    if limit_tokens is None:
        return ForecastMade("context", None, None, "the context length is not known")
    growth = growth_of(turns)
    if isinstance(growth, str):
        return ForecastMade("context", None, None, growth)
    turns_left = max(0, limit_tokens - turns[-1].used_tokens) / growth.tokens_per_turn
    minutes_left = turns_left * growth.seconds_per_turn / 60
    return ForecastMade("context", round(turns_left, 1), round(minutes_left, 1), growth.basis)


def memory_forecast(
    turns: Sequence[TurnGrowth],
    limit_tokens: int | None,
    headroom_bytes: int | None,
    held_bytes: Callable[[int], int],
    prefill_bytes: Callable[[int], int] = lambda tokens: 0,
    *,
    is_upper: bool = False,
) -> ForecastMade:
    """When memory will be full if the coming turns are like the last ones; `is_far` if the context is first.

    Args:
        turns: As for `context_forecast`.
        limit_tokens: The context, beyond which nothing grows.
        headroom_bytes: What may still be taken under the nearer wall, without `RESERVE_BYTES`.
        held_bytes: What the cache holds at so many tokens, with all that grows beside it; must not fall.
        prefill_bytes: What reading so many new tokens takes for a moment on top of that.
        is_upper: Whether `held_bytes` is an upper estimate, which the basis then says.
    """
    if headroom_bytes is None:
        return ForecastMade("memory", None, None, "the wall or what is free below it is not known")
    if limit_tokens is None:
        return ForecastMade("memory", None, None, "the context length is not known")
    growth = growth_of(turns)
    if isinstance(growth, str):
        now = turns[-1].used_tokens if turns else 0
        if held_bytes(limit_tokens) - held_bytes(now) + prefill_bytes(limit_tokens) <= headroom_bytes:
            return ForecastMade("memory", None, None, _far(headroom_bytes, is_upper), is_far=True)
        return ForecastMade("memory", None, None, growth)
    now = turns[-1].used_tokens
    room = headroom_bytes - prefill_bytes(round(growth.tokens_per_turn))
    most = _tokens_within(now, limit_tokens, lambda tokens: held_bytes(tokens) - held_bytes(now) <= room)
    if most is None:
        return ForecastMade("memory", None, None, _far(headroom_bytes, is_upper), is_far=True)
    turns_left = (most - now) / growth.tokens_per_turn
    minutes_left = turns_left * growth.seconds_per_turn / 60
    words = f"{growth.basis}, {human_gib(max(0, room))} GiB below the wall"
    return ForecastMade("memory", round(turns_left, 1), round(minutes_left, 1), words + _upper(is_upper))


def _far(headroom_bytes: int, is_upper: bool) -> str:
    left = f"{human_gib(max(0, headroom_bytes))} GiB below the wall"
    return f"the context is full before, {left}{_upper(is_upper)}"


def _upper(is_upper: bool) -> str:
    return ", an upper estimate of the engine's checkpoints" if is_upper else ""


def _tokens_within(now: int, limit: int, fits: Callable[[int], bool]) -> int | None:
    """Most tokens that fit, in whole steps; ``None`` if the whole context does. Bisects: O(log context)."""
    if fits(limit):
        return None
    if not fits(now):
        return now
    low, high = now // STEP_TOKENS, -(-limit // STEP_TOKENS)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(max(now, min(limit, middle * STEP_TOKENS))):
            low = middle
        else:
            high = middle
    return max(now, low * STEP_TOKENS)
