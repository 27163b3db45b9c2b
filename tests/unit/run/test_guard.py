"""The memory guard on simulated series of readings, two seconds apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from agentui.events import ForecastMade, GuardChanged, GuardLevel, MemorySample
from agentui.run.guard import Guard, GuardLimits

GIB = 1 << 30
TOTAL = 64 * GIB
LOW = int(TOTAL * GuardLimits().watch_ratio)
EVERY_S = 2.0
Pressure = Literal["ok", "warn", "critical"] | None


def sample(available: int | None, pressure: Pressure = "ok", swap: int | None = 0) -> MemorySample:
    used = None if available is None else TOTAL - available
    return MemorySample(
        total_bytes=TOTAL,
        used_bytes=used,
        available_bytes=available,
        swap_used_bytes=swap,
        model_process_bytes=None,
        sandbox_bytes=None,
        own_bytes=None,
        gpu_limit_bytes=None,
        pressure=pressure,
        source="measured",
    )


def followed(guard: Guard, samples: Iterable[MemorySample], from_s: float = 0.0) -> list[GuardChanged]:
    changes = [guard.observe(one, from_s + n * EVERY_S) for n, one in enumerate(samples)]
    return [change for change in changes if change is not None]


def levels(guard: Guard, samples: Iterable[MemorySample], from_s: float = 0.0) -> list[GuardLevel]:
    return [change.level for change in followed(guard, samples, from_s)]


@given(
    start=st.integers(6 * GIB, 40 * GIB),
    step=st.integers(64 << 20, LOW - 1),
    pressure=st.sampled_from(["ok", "warn", None]),
)
def test_memory_that_grows_into_the_wall_is_acted_on_before_it(
    start: int, step: int, pressure: Pressure
) -> None:
    guard = Guard()
    available, at_s, readings = start, 0.0, 0
    while available > 0:
        guard.observe(sample(available, pressure), at_s)
        if guard.level == "act":
            return
        available, at_s, readings = available - step, at_s + EVERY_S, readings + 1
    assert readings < 3, "nobody sees a trend in two readings"


@given(
    st.lists(
        st.tuples(st.integers(10 * GIB, 20 * GIB), st.sampled_from(["ok", "warn", None])),
        min_size=1,
        max_size=60,
    )
)
def test_memory_that_merely_fluctuates_is_never_acted_on(readings: list[tuple[int, Pressure]]) -> None:
    assert "act" not in levels(Guard(), [sample(available, pressure) for available, pressure in readings])


@given(st.lists(st.sampled_from(["ok", "warn"]), max_size=30))
def test_a_single_critical_reading_is_not_acted_on(between: list[Pressure]) -> None:
    series: list[MemorySample] = []
    for pressure in between:
        series += [sample(20 * GIB, "critical"), sample(20 * GIB, pressure)]
    assert "act" not in levels(Guard(), series)


def test_pressure_that_stays_critical_is_acted_on_with_the_second_reading() -> None:
    changes = followed(Guard(), [sample(20 * GIB), *[sample(20 * GIB, "critical")] * 2])
    assert [change.level for change in changes] == ["act"]
    assert "critical" in changes[0].why


def test_a_level_is_left_only_after_it_was_quiet_for_a_while() -> None:
    guard = Guard()
    critical, calm = sample(20 * GIB, "critical"), sample(20 * GIB)
    assert levels(guard, [critical, critical]) == ["act"]
    assert levels(guard, [calm] * 10, from_s=4.0) == []
    assert levels(guard, [critical], from_s=24.0) == []
    assert levels(guard, [calm] * 10, from_s=26.0) == []
    assert levels(guard, [calm], from_s=46.0) == ["ok"]


def test_it_needs_more_room_to_leave_than_it_had_when_it_entered() -> None:
    guard = Guard()
    assert levels(guard, [sample(LOW - GIB)] * 2) == ["watch"]
    assert levels(guard, [sample(LOW + GIB)] * 20, from_s=4.0) == []
    assert levels(guard, [sample(2 * LOW)] * 11, from_s=44.0) == ["ok"]


def test_growing_swap_is_watched_and_with_pressure_acted_on() -> None:
    def growing(pressure: Pressure) -> list[MemorySample]:
        return [sample(20 * GIB, pressure, swap=n * 128 << 20) for n in range(6)]

    assert levels(Guard(), growing("ok")) == ["watch"]
    assert levels(Guard(), growing("warn"))[-1] == "act"


def test_a_forecast_of_few_turns_is_watched() -> None:
    guard = Guard()
    guard.forecast(ForecastMade("context", 0.5, 1.0, ""))
    assert levels(guard, [sample(20 * GIB)] * 3) == []
    guard.forecast(ForecastMade("memory", 2.0, 1.0, ""))
    assert levels(guard, [sample(20 * GIB)] * 2, from_s=6.0) == ["watch"]


def test_a_trend_that_is_forgotten_calls_for_nothing() -> None:
    guard, forgetful = Guard(), Guard()
    falling = [sample(size, "warn") for size in (20 * GIB, 14 * GIB, 8 * GIB, 5 * GIB)]
    assert "act" in levels(guard, falling)
    for n, one in enumerate(falling):
        forgetful.forget_trend()
        forgetful.observe(one, n * EVERY_S)
    assert forgetful.level == "watch"


def test_unknown_figures_call_for_nothing() -> None:
    assert followed(Guard(), [sample(None, None, None)] * 20) == []
