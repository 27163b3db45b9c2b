from __future__ import annotations

import pytest

from agentui.events import (
    ContextMeasured,
    Event,
    HistoryReplaced,
    MessageId,
    ModelFacts,
    ModelSeen,
    ModelUnloaded,
    PrefillProgressed,
    RateSample,
    Recorded,
    RequestEnded,
    RequestId,
    RequestOutcome,
    RequestStarted,
    RunId,
    Slept,
    TextDelta,
    TurnEnded,
    TurnStarted,
    Usage,
)
from agentui.telemetry.meters import Meters

Q = RequestId("q1")
M = MessageId("m1")


class Timeline:
    """Feeds events at given times."""

    def __init__(self) -> None:
        self.meters = Meters()
        self._seq = 0

    def at(self, t_s: float, event: Event) -> bool:
        self._seq += 1
        return self.meters.observe(Recorded(self._seq, t_s, "", RunId("r"), event))

    def ask(self, t_s: float, prompt_tokens: int = 1000) -> None:
        self.at(t_s, RequestStarted(Q, 1, 3, 4000, prompt_tokens))

    def token(self, t_s: float, tokens: int = 1) -> None:
        self.at(t_s, TextDelta(M, "x" * tokens, tokens))

    def end(self, t_s: float, usage: Usage | None = None, outcome: RequestOutcome = "done") -> None:
        self.at(t_s, RequestEnded(Q, outcome, "stop", usage or Usage(), None, None, t_s))

    def turn(self, start_s: float, end_s: float, used_tokens: int, waiting_s: float = 0.0) -> None:
        self.at(start_s, TurnStarted(1))
        self.at(end_s, ContextMeasured(used_tokens, 65_536, "reported"))
        self.at(end_s, TurnEnded(1, Usage(), waiting_s=waiting_s))


@pytest.fixture
def line() -> Timeline:
    return Timeline()


def test_cache_fills_while_the_prompt_is_read_and_while_the_answer_comes(line: Timeline) -> None:
    assert line.meters.cached_tokens is None
    line.ask(0.0, prompt_tokens=900)
    line.at(1.0, PrefillProgressed(Q, 512, 1000, 0, None, "reported"))
    assert line.meters.cached_tokens == 512
    line.token(2.0, tokens=3)
    assert line.meters.cached_tokens == 1003


def test_cache_keeps_its_tokens_after_the_answer(line: Timeline) -> None:
    line.ask(0.0)
    line.token(1.0)
    line.end(2.0, Usage(prompt_tokens=1000, completion_tokens=41))
    assert line.meters.cached_tokens == 1040
    assert line.meters.cached_source == "reported"


def test_cut_answer_without_usage_leaves_an_estimate(line: Timeline) -> None:
    line.ask(0.0, prompt_tokens=900)
    line.token(1.0, tokens=10)
    line.end(2.0, outcome="cut")
    assert line.meters.cached_tokens == 909
    assert line.meters.cached_source == "estimated"


def test_failed_request_without_an_answer_changes_nothing_in_the_cache(line: Timeline) -> None:
    line.ask(0.0)
    line.token(1.0)
    line.end(2.0, Usage(prompt_tokens=1000, completion_tokens=41))
    line.ask(3.0)
    line.end(4.0, outcome="failed")
    assert line.meters.cached_tokens == 1040


def test_unloaded_or_other_model_has_an_unknown_cache(line: Timeline) -> None:
    line.at(0.0, ModelSeen(ModelFacts("a")))
    line.ask(0.0)
    line.end(2.0, Usage(prompt_tokens=1000, completion_tokens=41))
    line.at(2.5, ModelSeen(ModelFacts("a", parallel=1)))
    assert line.meters.cached_tokens == 1040
    line.at(3.0, ModelSeen(ModelFacts("b")))
    assert line.meters.cached_tokens is None
    line.ask(4.0)
    line.end(5.0, Usage(prompt_tokens=10, completion_tokens=1))
    line.at(6.0, ModelUnloaded("b"))
    assert line.meters.cached_tokens is None


def test_turn_counts_its_work_without_waiting_and_sleep(line: Timeline) -> None:
    """The clock of the records stands still while the machine sleeps: nothing is to be taken off."""
    line.at(0.0, TurnStarted(1))
    line.at(20.0, Slept(2520.0))
    line.at(30.0, ContextMeasured(5000, 65_536, "reported"))
    line.at(30.0, TurnEnded(1, Usage(), waiting_s=10.0))
    (turn,) = line.meters.turns
    assert (turn.used_tokens, turn.work_s) == (5000, 20.0)


def test_compaction_makes_earlier_turns_meaningless(line: Timeline) -> None:
    line.turn(0.0, 1.0, 5000)
    line.turn(1.0, 2.0, 6000)
    line.at(2.5, HistoryReplaced((), "compaction"))
    assert not line.meters.turns
    line.turn(3.0, 4.0, 2000)
    line.turn(4.0, 5.0, 1000)
    assert [turn.used_tokens for turn in line.meters.turns] == [1000]


def test_newest_speed_is_kept_but_changes_no_sample(line: Timeline) -> None:
    speed = RateSample(41.5, None, 0.8, 5, "measured")
    assert not line.at(0.0, speed)
    assert line.meters.rates == speed


def test_tokens_outside_a_request_are_not_in_the_cache(line: Timeline) -> None:
    assert not line.at(0.0, TextDelta(M, "outside a request"))
    assert line.meters.cached_tokens is None


def test_a_servers_own_fill_counts_while_it_answers_somebody_else(line: Timeline) -> None:
    line.at(0, ContextMeasured(700, 8192, "reported"))
    assert line.meters.cached_tokens == 700
    line.ask(1, 110)
    line.at(2, ContextMeasured(405, 8192, "reported"))
    assert (line.meters.cached_tokens, line.meters.cached_source) == (405, "reported")


def test_an_answer_whose_text_goes_elsewhere_is_counted_by_its_speed(line: Timeline) -> None:
    line.ask(0, 50)
    line.at(1, RateSample(40.0, None, 0.5, 12, "measured"))
    assert line.meters.cached_tokens == 62


def test_requests_of_other_programs_are_the_turns_that_the_context_grows_by(line: Timeline) -> None:
    for number in range(1, 4):
        line.ask(100.0 * number)
        line.end(100.0 * number + 7, Usage(prompt_tokens=1000 * number, completion_tokens=101))
    assert line.meters.is_watching
    assert [turn.used_tokens for turn in line.meters.turns] == [1100, 2100, 3100]
    assert [turn.work_s for turn in line.meters.turns] == [7.0, 7.0, 7.0]


def test_requests_of_a_run_are_no_turns_of_their_own(line: Timeline) -> None:
    line.at(0.0, TurnStarted(1))
    line.ask(1.0)
    line.end(2.0, Usage(prompt_tokens=1000, completion_tokens=10))
    assert not line.meters.is_watching
    assert not line.meters.turns
