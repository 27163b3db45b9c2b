from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.telemetry.forecast import context_forecast
from agentui.telemetry.meters import TurnGrowth


def turns(*used: int, work_s: float = 60.0) -> list[TurnGrowth]:
    return [TurnGrowth(tokens, work_s) for tokens in used]


def test_even_growth_gives_turns_and_minutes_left() -> None:
    made = context_forecast(turns(2000, 4000, 6000, work_s=30.0), 16_000)
    assert made.limit == "context"
    assert made.turns_left == 5.0
    assert made.minutes_left == 2.5
    assert made.basis == "last 2 turns, 2000 tokens each"


def test_only_the_last_turns_count() -> None:
    steady = turns(100_000, 101_000, 102_000, 103_000, 104_000, 105_000)
    made = context_forecast([TurnGrowth(0, 1.0), *steady], 110_000)
    assert made.turns_left == 5.0


@pytest.mark.parametrize("known", [turns(), turns(500), turns(500, 900)])
def test_too_few_turns_say_nothing(known: list[TurnGrowth]) -> None:
    made = context_forecast(known, 16_000)
    assert (made.turns_left, made.minutes_left) == (None, None)
    assert made.basis == f"needs 3 turns, has {len(known)}"


def test_unknown_limit_says_nothing() -> None:
    assert context_forecast(turns(1, 2, 3, 4), None).turns_left is None


def test_context_that_does_not_grow_is_never_full() -> None:
    assert context_forecast(turns(500, 500, 500), 16_000).turns_left is None


def test_full_context_has_no_turn_left() -> None:
    assert context_forecast(turns(500, 900, 1300), 1000).turns_left == 0.0


@given(st.integers(50, 5000), st.integers(3, 30), st.integers(1000, 300_000))
def test_straight_growth_is_foretold_within_a_twentieth(per_turn: int, done: int, limit: int) -> None:
    made = context_forecast(turns(*(per_turn * turn for turn in range(1, done + 1))), limit)
    expected = max(0.0, limit / per_turn - done)
    assert made.turns_left == pytest.approx(expected, rel=0.05, abs=0.051)
