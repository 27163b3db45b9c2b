from __future__ import annotations

from dataclasses import replace

from agentui.events import (
    ContextMeasured,
    ForecastMade,
    ModelSeen,
    PrefillProgressed,
    PrefixMeasured,
    RequestEnded,
    RequestId,
    RequestStarted,
    TurnTimed,
    Usage,
)
from agentui.tui import present_gauges as figures
from agentui.view.fold import View
from agentui_widgets.gauges import BarRow, TextRow
from agentui_widgets.line_bar import Fact
from tests.unit.view.scenes import MODEL, Tape, kv, memory

GIB = 1 << 30
Q = RequestId("q")


def gauges_of(tape: Tape) -> View:
    """The view of everything on the tape."""
    view = View()
    view.apply_all(tape.records)
    return view


def row(view: View, label: str) -> tuple[Fact, ...]:
    """The facts of the row with that label."""
    rows = [*figures.rows_above(view.gauges), *figures.rows_below(view.gauges)]
    return next(r.facts for r in rows if isinstance(r, TextRow) and r.label == label)


def texts(facts: tuple[Fact, ...]) -> list[str]:
    """Their words."""
    return [fact.text for fact in facts]


def test_a_filling_context_warns_at_70_and_90_per_cent() -> None:
    tones = []
    for used in (45_000, 46_000, 59_000):
        tape = Tape()
        tape.add(ContextMeasured(used, 65_536, "reported"))
        tones.append(row(gauges_of(tape), "Context")[0].tone)
    assert tones == ["text", "warning", "error"]


def test_a_length_that_the_engine_changed_is_red_beside_the_trained_one() -> None:
    tape = Tape()
    model = replace(
        MODEL,
        loaded_context_tokens=65_536,
        requested_context_tokens=131_072,
        trained_context_tokens=262_144,
    )
    tape.add(ModelSeen(model), ContextMeasured(1000, 65_536, "reported"))
    facts = row(gauges_of(tape), "Context")
    assert Fact("asked 128k, engine gave 64k", "error", 1) in facts
    assert "trained 256k" in texts(facts)


def test_a_broken_prefix_names_its_message_and_what_it_cost() -> None:
    tape = Tape()
    tape.add(ContextMeasured(12_400, 65_536, "reported"), PrefixMeasured(Q, 400, 12_000, 14.0, 2, "estimated"))
    facts = texts(row(gauges_of(tape), "Context"))
    assert "reused ~3 %, re-read ~12.0k, ~14 s" in facts
    assert "prefix broke at message 3" in facts


def test_a_guessed_way_through_the_prompt_wears_its_tilde() -> None:
    tape = Tape()
    tape.add(RequestStarted(Q, 1, 2, 10, 100), PrefillProgressed(Q, 450, 1000, 0, 12.0, "estimated"))
    assert "reading prompt ~45 %, ~12 s left" in texts(row(gauges_of(tape), "Speed"))


def test_the_turns_time_is_told_by_kind_without_those_that_took_none() -> None:
    tape = Tape()
    tape.add(TurnTimed(2, 21.0, 4.0, 6.0, 3.0, 5.0, waiting_s=3.0))
    facts = texts(row(gauges_of(tape), "Time"))
    reading = ["prefill 4.0 s", "decode 6.0 s", "commands 3.0 s", "checks 5.0 s", "waiting 3.0 s"]
    assert facts == ["turn 2 21 s", *reading]


def test_speed_over_depth_is_a_falling_curve() -> None:
    tape = Tape()
    for depth, speed in ((1000, 44.0), (30_000, 38.0), (60_000, 31.0)):
        tape.add(RequestEnded(Q, "done", "stop", Usage(depth - 50, 100), 1.0, 2.0, 3.0, decode_tok_per_s=speed))
    facts = texts(row(gauges_of(tape), "Depth"))
    assert facts[1] == "44.0 → 31.0 tok/s"
    levels = [level for level in facts[0].split(" ", 1)[1].rsplit(" ", 1)[0] if level.strip()]
    assert levels == sorted(levels, reverse=True)


def test_what_the_engine_really_holds_replaces_the_upper_estimate_in_the_bar() -> None:
    tape = Tape()
    sample = replace(memory(), total_bytes=64 * GIB, used_bytes=40 * GIB, weights_bytes=16 * GIB)
    held = replace(sample, engine_rest_bytes=3 * GIB, compute_bytes=GIB, own_bytes=GIB)
    tape.add(kv(12_400), held)
    bar = next(r for r in figures.rows_above(gauges_of(tape).gauges) if isinstance(r, BarRow))
    by_name = {part.name: part for part in bar.parts}
    assert by_name["checkpoint"].text == "~ckpt 3.0"
    assert by_name["compute"].text == "~compute 1.0"
    assert by_name["own"].text == "agentui 1.00 GiB"
    assert by_name["free"].text == "free 24.0"
    assert sum(part.ratio for part in bar.parts) <= 1.0


def test_an_allocation_that_is_estimated_says_so_where_what_is_filled_is_unknown() -> None:
    sizes: dict[int, list[str]] = {}
    for allocated in (15 << 20, 3 * GIB // 2):
        tape = Tape()
        tape.add(replace(kv(0), filled_bytes=None, tokens=None, allocated_bytes=allocated))
        sizes[allocated] = texts(row(gauges_of(tape), "KV"))[:1]
    assert list(sizes.values()) == [["? of ~15 MiB filled"], ["? of ~1.50 GiB filled"]]


def test_a_wall_that_is_far_and_one_that_is_unknown_are_two_things() -> None:
    for is_far, words in ((True, "wall far"), (False, "wall ?")):
        tape = Tape()
        tape.add(ForecastMade("memory", None, None, "x", is_far=is_far))
        assert [fact.text for fact in figures.forecast_facts(gauges_of(tape).gauges)] == [words]


def test_an_old_reading_and_an_unsure_process_say_so() -> None:
    tape = Tape()
    tape.add(replace(memory(), is_process_sure=False))
    facts = texts(row(gauges_of(tape), ""))
    assert "unsure which process is the model's" in facts
    assert not [text for text in facts if text.endswith(" old")]
    tape.wait(20)
    tape.add(kv(12_400), ForecastMade("memory", None, None, "x"))  # what is foretold is no new reading
    assert "20 s old" in texts(row(gauges_of(tape), ""))


def test_a_simulated_model_has_no_process_to_be_unsure_of() -> None:
    tape = Tape()
    tape.add(ModelSeen(replace(MODEL, is_simulated=True)), replace(memory(), is_process_sure=False))
    assert "unsure which process is the model's" not in texts(row(gauges_of(tape), ""))
