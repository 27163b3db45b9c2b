from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.base import ChatRequest, TextPart, UsagePart
from agentui.backends.discover import find_server
from agentui.backends.meter import RequestMeter
from agentui.backends.prefix import PrefillPace, Prefix, PrefixAccount
from agentui.events import Event, Json, PrefillProgressed, PrefixMeasured, RequestId, Usage
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.server import start_simulator

SYSTEM: Json = {"role": "system", "content": "s" * 400}
TASK: Json = {"role": "user", "content": "t" * 400}
ANSWER: Json = {"role": "assistant", "content": "a" * 400}
NEXT: Json = {"role": "user", "content": "n" * 400}


def test_a_history_that_only_goes_on_has_no_changed_message() -> None:
    account = PrefixAccount()
    assert account.asked([SYSTEM, TASK]) == Prefix(None, 0)
    account.answered(Usage(200, 100))
    assert account.asked([SYSTEM, TASK, ANSWER, NEXT]) == Prefix(None, 300)


def test_the_first_message_that_differs_is_named_and_what_stands_before_it_is_known() -> None:
    account = PrefixAccount()
    account.asked([SYSTEM, TASK, ANSWER, NEXT])
    account.answered(Usage(380, 20))
    prefix = account.asked([SYSTEM, {"role": "user", "content": "other"}, ANSWER, NEXT])
    assert prefix.first_changed == 1
    assert prefix.known_tokens == pytest.approx(100, abs=3)
    assert account.asked([SYSTEM]).first_changed == 1


def test_other_tools_and_another_order_of_keys_break_the_prefix() -> None:
    account = PrefixAccount()
    account.asked([SYSTEM], [{"a": 1, "b": 2}])
    assert account.asked([SYSTEM], [{"b": 2, "a": 1}]).first_changed == 0
    assert account.asked([dict(reversed(list(SYSTEM.items())))], [{"b": 2, "a": 1}]).first_changed == 0


MESSAGES = st.lists(st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=5)), max_size=6)


@given(before=MESSAGES, now=MESSAGES)
def test_all_that_stands_before_the_changed_message_is_the_same(before: list[Json], now: list[Json]) -> None:
    account = PrefixAccount()
    account.asked(before)
    changed = account.asked(now).first_changed
    shared = len(before) if changed is None else changed
    assert now[:shared] == before[:shared]
    assert changed is None or before[shared : shared + 1] != now[shared : shared + 1]


@dataclass
class Bench:
    """A meter on a clock of its own, with the pace that other requests have shown."""

    pace: PrefillPace = field(default_factory=PrefillPace)
    now_s: float = 0.0
    events: list[Event] = field(default_factory=list)

    def request(
        self, usage: Usage, ttft_s: float, likely: int | None, changed: int | None = None
    ) -> PrefixMeasured:
        """One answer whose first token came after `ttft_s`."""
        meter = RequestMeter(RequestId("q"), self.events.append, lambda: self.now_s, pace=self.pace)
        meter.sent(100, 1, usage.prompt_tokens or 0, 1, likely_cached_tokens=likely, first_changed=changed)
        end_s = self.now_s + ttft_s
        while self.now_s + 0.5 < end_s:
            self.now_s += 0.5
            meter.waiting()
        self.now_s = end_s
        meter.part(TextPart("a"))
        meter.part(UsagePart(usage))
        meter.ended("done")
        return [event for event in self.events if isinstance(event, PrefixMeasured)][-1]


def test_the_servers_own_count_wins() -> None:
    measured = Bench().request(Usage(1000, 10, cached_tokens=600), 2.0, likely=900, changed=3)
    assert (measured.reused_tokens, measured.reread_tokens) == (600, 400)
    assert (measured.first_changed, measured.source) == (3, "reported")
    assert measured.cost_s == pytest.approx(2.0)


def test_without_it_what_was_sent_before_counts_and_is_marked() -> None:
    bench = Bench()
    bench.request(Usage(4000, 10), 10.0, likely=0)
    measured = bench.request(Usage(4400, 10), 1.1, likely=4010)
    assert (measured.reused_tokens, measured.reread_tokens, measured.source) == (4010, 390, "estimated")


def test_a_first_token_that_took_far_too_long_means_that_the_cache_was_lost() -> None:
    bench = Bench()
    bench.request(Usage(4000, 10), 10.0, likely=0)  # 400 tokens a second
    measured = bench.request(Usage(4400, 10), 11.0, likely=4010)
    assert (measured.reused_tokens, measured.reread_tokens, measured.source) == (0, 4400, "estimated")
    assert measured.cost_s == pytest.approx(11.0)


def test_a_first_prompt_that_the_server_had_from_before_makes_later_ones_not_look_lost() -> None:
    bench = Bench()
    bench.request(Usage(4000, 10), 0.5, likely=0)  # from its cache: as if it read 8000 tokens a second
    for turn in range(1, 4):
        likely, prompt = 4010 * turn, 4010 * turn + 400
        measured = bench.request(Usage(prompt, 10), 1.0, likely=likely)
        assert (measured.reused_tokens, measured.reread_tokens) == (likely, 400)
    assert bench.pace.tok_per_s == pytest.approx(400)


def test_a_cache_that_went_with_the_model_is_lost_however_long_the_reload_took() -> None:
    bench = Bench()
    bench.request(Usage(4000, 10), 10.0, likely=0)
    bench.request(Usage(4410, 10), 1.1, likely=4010)
    measured = bench.request(Usage(4820, 10), 60.0, likely=4420)
    assert measured.reused_tokens == 0


def test_the_way_through_a_silent_prompt_is_guessed_from_the_pace_and_marked() -> None:
    bench = Bench()
    bench.request(Usage(4000, 10), 10.0, likely=0)
    assert not [event for event in bench.events if isinstance(event, PrefillProgressed)]
    bench.request(Usage(8000, 10), 10.0, likely=4000)
    guesses = [event for event in bench.events if isinstance(event, PrefillProgressed)]
    assert [guess.processed_tokens for guess in guesses[:3]] == [4200, 4400, 4600]
    assert guesses[0].eta_s == pytest.approx(9.5)
    assert {guess.source for guess in guesses} == {"estimated"}
    assert guesses[-1].processed_tokens < guesses[-1].total_tokens


async def _account_over_server(
    config: SimulatorConfig, prompts: Sequence[Sequence[Json]]
) -> list[tuple[PrefixMeasured, int]]:
    """What each prompt reused by our account, and what the server really had."""
    simulator = await start_simulator(config)
    backend = await find_server(simulator.url, will_chat=True)
    account, pace = PrefixAccount(), PrefillPace()
    measured: list[tuple[PrefixMeasured, int]] = []
    try:
        for messages in prompts:
            events: list[Event] = []
            prefix = account.asked(messages)
            meter = RequestMeter(RequestId("q"), events.append, time.monotonic, pace=pace)
            known = prefix.known_tokens
            meter.sent(1, messages, 100, 1, likely_cached_tokens=known, first_changed=prefix.first_changed)
            async for part in backend.chat(ChatRequest(GEMMA_26B, tuple(messages), max_tokens=20)):
                meter.part(part)
                if isinstance(part, UsagePart):
                    account.answered(part.usage)
            meter.ended("done")
            (found,) = [event for event in events if isinstance(event, PrefixMeasured)]
            measured.append((found, simulator.truth.requests[-1].cached_tokens))
        return measured
    finally:
        await backend.aclose()
        await simulator.stop()


async def test_reported_reuse_is_what_the_server_reused_and_a_broken_prefix_is_named() -> None:
    words = " ".join(f"word{n}" for n in range(300))
    task: Json = {"role": "user", "content": f"split report.py {words}"}
    more: Json = {"role": "user", "content": f"and {words}"}
    other: Json = {"role": "user", "content": f"write tests {words}"}
    prompts = [[SYSTEM, task], [SYSTEM, task, more], [SYSTEM, other, more]]
    measured = await _account_over_server(SimulatorConfig(unpaced=True, llama_timings=True), prompts)
    assert [found.first_changed for found, _ in measured] == [None, None, 1]
    assert [found.reused_tokens for found, _ in measured] == [cached for _, cached in measured]
    assert measured[1][1] > 300 > measured[2][1]
    assert {found.source for found, _ in measured} == {"reported"}
