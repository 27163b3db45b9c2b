"""Other clients' requests as they look from outside; times are given, nothing waits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.llama_server import parse_metrics, parse_slot_readings, reading_of
from agentui.backends.source import ServerReading, ServerTotals, SlotReading
from agentui.events import (
    ContextMeasured,
    Event,
    PrefillProgressed,
    RateSample,
    RequestEnded,
    RequestStarted,
    StateChanged,
    Usage,
)
from agentui.run.observer import ServerObserver
from tests.unit.backends.replay import DATA


@dataclass
class Seen:
    """An observer with a clock that a test sets."""

    events: list[Event] = field(default_factory=list)
    now_s: float = 0.0
    is_metered: bool = False

    def __post_init__(self) -> None:
        self.observer = ServerObserver(self.events.append, lambda: self.now_s, lambda: self.is_metered)

    def take(self, reading: ServerReading, now_s: float) -> list[Event]:
        """What this reading gives."""
        self.now_s, before = now_s, len(self.events)
        self.observer.take(reading)
        return self.events[before:]


IDLE = ServerReading("idle", 0, (SlotReading(0, False, 4096),))


def busy(
    answer: int = 0, *, read: int = 0, prompt: int | None = None, task: int = 1, cached: int = 100
) -> ServerReading:
    used = (prompt or 0) + answer - 1 if answer else cached + read
    slot = SlotReading(0, True, 4096, task, used, prompt, cached, read, answer)
    return ServerReading("generating" if answer else "prefill", 1, (slot,))


def recorded(name: str) -> ServerReading:
    slots = parse_slot_readings(json.loads((DATA / f"slots-{name}.json").read_text()))
    metrics = name if name != "idle" else "start"
    return reading_of(slots, parse_metrics((DATA / f"metrics-{metrics}.txt").read_text()))


def test_the_recorded_request_is_told_with_the_servers_own_numbers() -> None:
    seen = Seen()
    assert seen.take(recorded("idle"), 0.0) == [StateChanged("idle", "none")]
    began = seen.take(recorded("busy"), 0.25)
    assert began[0] == StateChanged("generating", "none")
    (started,) = [event for event in began if isinstance(event, RequestStarted)]
    assert (started.request_id, started.estimated_prompt_tokens) == ("slot3-66", 110)
    assert ContextMeasured(405, 8192, "reported") in began
    over = seen.take(recorded("after"), 0.5)
    (ended,) = [event for event in over if isinstance(event, RequestEnded)]
    # 709 tokens are in the cache: 110 of the prompt, and all of the 600 answered but the last.
    assert ended.usage == Usage(110, 600, None, 104)
    assert ended.outcome == "done"
    assert ended.timing_source == "reported"
    # 599 tokens after the first in 0.455413 s, which is what the server's own gauge says.
    told = parse_metrics((DATA / "metrics-after.txt").read_text())["predicted_tokens_seconds"]
    assert told == 1315.29
    assert ended.decode_tok_per_s == pytest.approx(told, abs=0.01)
    assert ContextMeasured(709, 8192, "reported") in over


def test_a_prompt_being_read_has_progress_and_an_eta_where_its_length_is_known() -> None:
    seen = Seen()
    seen.take(IDLE, 0)
    seen.take(busy(read=0, prompt=1100), 1)
    progress = [e for e in seen.take(busy(read=500, prompt=1100), 2) if isinstance(e, PrefillProgressed)]
    # 100 cached and 500 read of 1100; 500 a second, so one second for the other 500.
    assert progress == [PrefillProgressed(progress[0].request_id, 600, 1100, 100, 1.0, "reported")]
    unknown = Seen()
    unknown.take(busy(read=0), 1)
    events = unknown.take(busy(read=500), 2)
    assert not [event for event in events if isinstance(event, PrefillProgressed)]
    assert RateSample(None, 500.0, None, None, "measured") in events


def test_between_two_batches_the_speed_of_a_prefill_stays_and_its_eta_falls() -> None:
    seen = Seen()
    seen.take(busy(read=0, prompt=1100), 1)
    seen.take(busy(read=500, prompt=1100), 2)
    events = seen.take(busy(read=500, prompt=1100), 2.5)
    (progress,) = [event for event in events if isinstance(event, PrefillProgressed)]
    assert progress.eta_s == 0.5
    assert [event for event in events if isinstance(event, RateSample)] == [
        RateSample(None, 500.0, None, None, "measured")
    ]


def test_the_speed_of_an_answer_is_the_growth_between_two_readings() -> None:
    seen = Seen()
    seen.take(busy(10, prompt=200), 1.0)
    (sample,) = [e for e in seen.take(busy(35, prompt=200), 1.5) if isinstance(e, RateSample)]
    assert sample == RateSample(50.0, None, None, 35, "measured")


def test_the_next_request_of_a_busy_slot_ends_the_one_before() -> None:
    seen = Seen()
    seen.take(busy(10, prompt=200), 1)
    kinds = [type(event) for event in seen.take(busy(1, prompt=300, task=2), 2)]
    assert kinds.index(RequestEnded) < kinds.index(RequestStarted)


def test_a_request_that_was_over_at_once_is_seen_in_the_counters() -> None:
    seen = Seen()
    seen.take(replace(IDLE, totals=ServerTotals(0, 0.0, 0, 0, 0.0)), 0)
    totals = ServerTotals(prompt_tokens=300, prompt_s=0.5, cached_tokens=0, answer_tokens=20, answer_s=0.4)
    assert seen.take(replace(IDLE, totals=totals), 1) == [RateSample(50.0, 600.0, None, 20, "reported")]


def test_what_a_gateway_measures_is_not_told_twice() -> None:
    seen = Seen(is_metered=True)
    seen.take(busy(10, prompt=200), 1)
    seen.is_metered = False
    seen.take(busy(20, prompt=200), 2)
    seen.take(IDLE, 3)
    assert not [event for event in seen.events if isinstance(event, RequestStarted | RequestEnded)]
    seen.take(busy(1, prompt=200), 4)
    assert [event for event in seen.events if isinstance(event, RequestStarted)]


def test_a_server_that_is_gone_ends_what_was_followed() -> None:
    seen = Seen()
    seen.take(busy(10, prompt=200), 1)
    seen.observer.lost()
    (ended,) = [event for event in seen.events if isinstance(event, RequestEnded)]
    assert (ended.outcome, ended.usage) == ("failed", Usage())
    assert seen.events[-1] == StateChanged("idle", "none")


COUNTS = st.none() | st.integers(0, 5000)
SLOT = st.builds(
    SlotReading,
    slot=st.integers(0, 2),
    is_busy=st.booleans(),
    context_tokens=COUNTS,
    task=COUNTS,
    used_tokens=COUNTS,
    prompt_tokens=COUNTS,
    cached_tokens=COUNTS,
    read_tokens=COUNTS,
    answer_tokens=st.integers(0, 500),
)
SECONDS = st.none() | st.floats(0, 9)
TOTALS = st.none() | st.builds(ServerTotals, COUNTS, SECONDS, COUNTS, COUNTS, SECONDS)
STATUS = st.sampled_from([None, "idle", "prefill"])
READING = st.builds(ServerReading, STATUS, COUNTS, st.tuples(SLOT), TOTALS)


@given(st.lists(st.tuples(READING, st.booleans()), max_size=12))
def test_whatever_a_server_says_every_request_ends_once(readings: Iterable[tuple[ServerReading, bool]]) -> None:
    seen = Seen()
    for number, (reading, is_metered) in enumerate(readings):
        seen.is_metered = is_metered
        seen.take(reading, float(number))
    seen.observer.lost()
    started = [event.request_id for event in seen.events if isinstance(event, RequestStarted)]
    ended = [event.request_id for event in seen.events if isinstance(event, RequestEnded)]
    assert started == ended
