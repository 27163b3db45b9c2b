from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.base import (
    ChatPart,
    FinishPart,
    PrefillPart,
    TextPart,
    ThinkingPart,
    Timings,
    ToolCallPart,
    UsagePart,
)
from agentui.backends.meter import SAMPLE_EVERY_S, WINDOW_S, RequestMeter
from agentui.events import (
    ContextMeasured,
    Event,
    PrefillProgressed,
    RateSample,
    RequestEnded,
    RequestId,
    RequestStarted,
    Usage,
)


@dataclass
class Bench:
    """A meter with a clock that is set by hand."""

    now_s: float = 100.0
    events: list[Event] = field(default_factory=list)
    limit_tokens: int | None = 8192

    def __post_init__(self) -> None:
        self.meter = RequestMeter(
            RequestId("q1"), self.events.append, lambda: self.now_s, limit_tokens=self.limit_tokens
        )

    def part(self, part: ChatPart, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.meter.part(part)

    def tokens(self, count: int, every_s: float, part: ChatPart | None = None) -> None:
        for _ in range(count):
            self.part(part or TextPart("a"), every_s)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def ended(self) -> RequestEnded:
        (event,) = self.of(RequestEnded)
        assert isinstance(event, RequestEnded)
        return event

    def samples(self) -> list[RateSample]:
        return [event for event in self.events if isinstance(event, RateSample)]


def sent(bench: Bench, *, cached: int | None = None) -> Bench:
    bench.meter.sent(1000, 3, 250, 2, likely_cached_tokens=cached)
    return bench


def test_a_sent_request_is_announced_with_its_size() -> None:
    bench = sent(Bench())
    assert bench.events == [RequestStarted(RequestId("q1"), 2, 3, 1000, 250, 1)]


def test_decode_speed_is_tokens_after_the_first_over_their_time() -> None:
    bench = sent(Bench(), cached=100)
    bench.part(TextPart("a"), 2.0)
    bench.tokens(100, 0.02)
    bench.part(UsagePart(Usage(300, 101, 0, None)))
    bench.part(FinishPart("stop"), 1.0)
    bench.meter.ended("done")
    ended = bench.ended()
    assert ended.ttft_s == pytest.approx(2.0)
    assert ended.decode_s == pytest.approx(2.0)
    assert ended.total_s == pytest.approx(5.0)
    assert ended.decode_tok_per_s == pytest.approx(50.0)
    assert ended.prefill_tok_per_s == pytest.approx((300 - 100) / 2.0)
    assert (ended.timing_source, ended.usage_source, ended.finish_reason) == ("measured", "reported", "stop")


def test_a_few_tokens_read_give_no_prefill_speed() -> None:
    bench = sent(Bench(), cached=280)
    bench.part(TextPart("a"), 1.0)
    bench.part(UsagePart(Usage(300, 1)))
    bench.meter.ended("done")
    assert bench.ended().prefill_tok_per_s is None


def test_the_servers_own_count_wins_over_counted_chunks() -> None:
    bench = sent(Bench())
    bench.tokens(51, 0.1)
    bench.part(UsagePart(Usage(10, 101)))
    bench.meter.ended("done")
    assert bench.ended().decode_tok_per_s == pytest.approx(100 / 5.0)


def test_the_servers_own_timings_win_over_the_clock() -> None:
    bench = sent(Bench())
    bench.tokens(10, 0.1)
    bench.part(UsagePart(Usage(110, 10, None, 105), Timings(0.01, 1604.0, 1558.0)))
    bench.meter.ended("done")
    ended = bench.ended()
    assert (ended.decode_tok_per_s, ended.prefill_tok_per_s) == (1558.0, 1604.0)
    assert ended.timing_source == "reported"
    assert ended.ttft_s == pytest.approx(0.1)


def test_without_usage_counts_are_estimated_and_say_so() -> None:
    bench = sent(Bench())
    bench.tokens(5, 0.1)
    bench.part(ThinkingPart(""), 0.1)
    bench.meter.ended("cut")
    ended = bench.ended()
    assert ended.usage == Usage(250, 6)
    assert (ended.usage_source, ended.outcome) == ("estimated", "cut")
    assert bench.of(ContextMeasured) == [ContextMeasured(256, 8192, "estimated")]


def test_a_request_that_failed_before_the_first_token_claims_nothing() -> None:
    bench = sent(Bench())
    bench.now_s += 3.0
    bench.meter.ended("failed", "refused")
    ended = bench.ended()
    assert (ended.usage, ended.ttft_s, ended.decode_s, ended.error) == (Usage(), None, None, "refused")
    assert ended.decode_tok_per_s is None
    assert ended.prefill_tok_per_s is None
    assert bench.of(ContextMeasured) == []
    assert bench.samples() == []


def test_unknown_reuse_gives_no_prefill_speed_instead_of_a_wild_one() -> None:
    bench = sent(Bench())
    bench.part(TextPart("a"), 0.01)
    bench.part(UsagePart(Usage(60000, 1)))
    bench.meter.ended("done")
    assert bench.ended().prefill_tok_per_s is None


def test_context_after_an_answer_is_prompt_and_completion() -> None:
    bench = sent(Bench())
    bench.tokens(3, 0.1)
    bench.part(UsagePart(Usage(300, 40, 10, 0)))
    bench.meter.ended("done")
    assert bench.of(ContextMeasured) == [ContextMeasured(340, 8192, "reported")]


def test_prefill_progress_has_an_eta_from_its_own_speed() -> None:
    bench = sent(Bench())
    bench.part(PrefillPart(1000, 5000, 1000), 5.0)
    bench.part(PrefillPart(2000, 5000, 1000), 2.0)
    progress = [event for event in bench.events if isinstance(event, PrefillProgressed)]
    assert [event.eta_s for event in progress] == [None, pytest.approx(6.0)]
    assert bench.samples()[-1].prefill_tok_per_s == pytest.approx(500.0)


def test_the_live_speed_follows_the_last_seconds_only() -> None:
    bench = sent(Bench())
    bench.tokens(200, 0.1)
    bench.tokens(400, 0.01)
    live = bench.samples()[-1].decode_tok_per_s
    assert live == pytest.approx(100.0, rel=0.05)


def test_tool_call_pieces_count_as_tokens() -> None:
    bench = sent(Bench())
    bench.tokens(20, 0.1, ToolCallPart(0, "x"))
    assert bench.meter.tokens == 20
    assert bench.samples()[-1].decode_tok_per_s == pytest.approx(10.0)


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200))
def test_samples_come_at_most_four_times_a_second_and_are_never_negative(gaps: list[float]) -> None:
    bench = sent(Bench())
    stamps: list[float] = []
    for gap in gaps:
        before = len(bench.samples())
        bench.part(TextPart("a"), gap)
        if len(bench.samples()) > before:
            stamps.append(bench.now_s)
    assert all(later - earlier >= SAMPLE_EVERY_S - 1e-9 for earlier, later in itertools.pairwise(stamps))
    assert all(sample.decode_tok_per_s and sample.decode_tok_per_s > 0 for sample in bench.samples())


def test_a_hundred_thousand_tokens_need_no_more_memory_than_a_window() -> None:
    bench = sent(Bench())
    for _ in range(100_000):
        bench.part(TextPart("a"), 0.0001)
    assert len(bench.meter._rate._marks) <= WINDOW_S / 0.05 + 2
