"""What the gauges hold when a stream stops, and when the prompt has been read."""

from __future__ import annotations

from agentui.events import (
    Event,
    MessageId,
    ModelFacts,
    ModelSeen,
    PrefillProgressed,
    RateSample,
    RequestId,
    Stalled,
    StateChanged,
    TextDelta,
)
from agentui.tui.present_gauges import rows_above
from agentui.view.fold import View
from tests.unit.view.scenes import Tape, kv, memory


def seen(*events: Event) -> View:
    tape, view = Tape(), View()
    for event in events:
        tape.add(event)
    view.apply_all(tape.records)
    return view


def test_a_prompt_that_was_read_is_not_being_read_any_more() -> None:
    reading = PrefillProgressed(RequestId("r"), 930, 1000, 0, 0.3, "estimated")
    assert seen(reading).gauges.prefill == reading
    assert seen(reading, TextDelta(MessageId("m"), "Hello")).gauges.prefill is None


def test_a_stream_that_stalls_has_no_speed_and_the_state_says_so() -> None:
    generating, rate = StateChanged("generating", "none"), RateSample(28.0, None, 0.5, 40, "measured")
    view = seen(generating, rate, Stalled("decode", 30.0))
    assert view.gauges.speed.decode_tok_per_s is None
    assert view.status.words == "generating: nothing for 30 s"
    assert seen(generating, rate, Stalled("decode", 30.0), rate).status.words == "generating"


def test_a_simulated_model_takes_nothing_of_the_measured_memory() -> None:
    for is_simulated in (True, False):
        view = seen(ModelSeen(ModelFacts("m", is_simulated=is_simulated)), memory(), kv(2000))
        parts = {part.name for row in rows_above(view.gauges) for part in getattr(row, "parts", ())}
        assert ("kv" in parts) != is_simulated
        assert "rest" in parts
