from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.base import ChatRequest
from agentui.backends.discover import find_server
from agentui.backends.meter import RequestMeter
from agentui.events import Event, Json, Recorded, RequestId, RunId, TurnEnded, TurnStarted, Usage
from agentui.simulator.config import GEMMA_12B_MLX, SimulatorConfig
from agentui.simulator.server import start_simulator
from agentui.telemetry.cache import CacheModel, find_builtin_cache
from agentui.telemetry.forecast import context_forecast, memory_forecast
from agentui.telemetry.meters import Meters, TurnGrowth

MIB = 1 << 20
WALL = 900 * MIB


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


def linear(bytes_per_token: int) -> Callable[[int], int]:
    """A cache that grows in whole steps, as MLX's full layers do."""
    return lambda tokens: -(-tokens // 256) * 256 * bytes_per_token


def test_memory_that_grows_evenly_names_the_wall_in_turns_and_minutes() -> None:
    forecast = memory_forecast(turns(10_000, 12_000, 14_000), 262_144, 20_000 * 1000, linear(1000))
    assert forecast.limit == "memory"
    assert forecast.turns_left == pytest.approx(10, abs=0.15)
    assert forecast.minutes_left == pytest.approx(10, abs=0.15)
    assert "last 2 turns, 2000 tokens each" in forecast.basis


def test_a_full_window_slows_the_growth_down() -> None:
    def held(tokens: int) -> int:
        return tokens * 1000 + min(tokens, 8192) * 9000

    done = turns(2048, 3072, 4096)
    beyond_window = 4096 * 10_000 + 10_240 * 1000
    forecast = memory_forecast(done, 262_144, beyond_window, held)
    assert forecast.turns_left == pytest.approx((4096 + 10_240) / 1024, abs=0.3)


def test_a_prompts_chunk_must_find_room_as_well() -> None:
    done = turns(10_000, 12_000, 14_000)
    with_chunk = memory_forecast(done, 262_144, 20_000 * 1000, linear(1000), lambda tokens: tokens * 2000)
    assert with_chunk.turns_left == pytest.approx(8, abs=0.15)


def test_a_context_that_is_full_before_the_wall_makes_it_far_even_with_few_turns() -> None:
    for done in (turns(1000), turns(1000, 2000, 3000)):
        forecast = memory_forecast(done, 8192, 10_000 * 1000, linear(1000))
        assert (forecast.turns_left, forecast.is_far) == (None, True)
        assert "context is full before" in forecast.basis


def test_too_little_data_and_unknown_walls_are_unknown_not_far() -> None:
    few = memory_forecast(turns(1000, 2000), 262_144, 1000, linear(1000))
    assert (few.turns_left, few.is_far, few.basis) == (None, False, "needs 3 turns, has 2")
    unknown = memory_forecast(turns(1, 2, 3), 262_144, None, linear(1000))
    assert (unknown.turns_left, unknown.is_far) == (None, False)


def test_beyond_the_wall_no_turn_is_left() -> None:
    assert memory_forecast(turns(1, 2, 3), 262_144, -5, linear(1000)).turns_left == 0


async def test_half_way_of_a_growing_run_the_wall_is_foretold_within_a_twentieth() -> None:
    """MLX-like growth on a simulated server: its own count of tokens says when the wall is really passed."""
    config = SimulatorConfig(unpaced=True, loaded=(GEMMA_12B_MLX,), context_length=131_072)
    simulator = await start_simulator(config)
    backend = await find_server(simulator.url, will_chat=True)
    facts = await backend.describe(None)
    cache = await find_builtin_cache(facts)
    assert cache is not None
    meters = Meters()
    words = " ".join(f"{n:x}" for n in range(1000))
    messages: list[Json] = [{"role": "system", "content": "go on"}]
    truth: list[int] = []
    forecasts: list[float | None] = []
    events: list[Event] = []
    try:
        for turn in range(1, 25):
            messages.append({"role": "user", "content": f"{turn} {words}"})
            events.clear()
            meter = RequestMeter(RequestId("q"), events.append, time.monotonic, limit_tokens=131_072)
            meter.sent(1, messages, 100, turn)
            async for part in backend.chat(ChatRequest(facts.model, tuple(messages), max_tokens=16)):
                meter.part(part)
            meter.ended("done")
            record = simulator.truth.requests[-1]
            truth.append(record.prompt_tokens + record.completion_tokens)
            for event in (TurnStarted(turn), *events, TurnEnded(turn, Usage())):
                meters.observe(Recorded(1, turn * 10.0, "", RunId("r"), event))
            forecasts.append(_of_wall(meters, cache, truth))
    finally:
        await backend.aclose()
        await simulator.stop()
    # Independently of our code: 16 KiB a token in full layers, 320 KiB up to 1024 tokens in sliding ones.
    passed = next(n for n, tokens in enumerate(truth) if -(-tokens // 256) * 256 * 16384 + 320 * MIB > WALL)
    half = passed // 2
    foretold = forecasts[half]
    assert foretold is not None
    assert half + foretold == pytest.approx(passed, rel=0.05, abs=1)


def _of_wall(meters: Meters, cache: CacheModel, truth: list[int]) -> float | None:
    now = cache.at(truth[-1]).allocated_bytes
    done = list(meters.turns)
    forecast = memory_forecast(done, 131_072, WALL - now, lambda tokens: cache.at(tokens).allocated_bytes)
    return forecast.turns_left
