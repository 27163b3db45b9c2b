from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from agentui.card_text import card_rows, card_title
from agentui.event_json import read_recorded, recorded_object
from agentui.events import (
    CallId,
    CompactionEnded,
    HistoryAppended,
    HistoryReplaced,
    KvSample,
    PrefixMeasured,
    RequestEnded,
    RequestId,
    RunCard,
    RunCarded,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolOutcome,
    ToolStarted,
    TurnStarted,
    TurnTimed,
    Usage,
)
from agentui.session.card import CardFold, run_cards, tell_cards
from agentui.session.recorder import Recorder
from tests.unit.session.fakes import FakeTime, MemoryJournal
from tests.unit.view.scenes import GIB, MODEL, SANDBOX, Tape, memory, whole_run


def started(task: str = "t", **changes: object) -> RunStarted:
    return replace(RunStarted(task, MODEL, "LM Studio", "/w", "loop", SANDBOX), **changes)  # type: ignore[arg-type]


def answered(
    number: int, prompt: int, cached: int, written: int, decode: float, prefill: float
) -> RequestEnded:
    usage = Usage(prompt, written, None, cached)
    return RequestEnded(RequestId(f"r{number}"), "done", "stop", usage, 0.5, 1.0, 1.5, decode, prefill)


def only_card(tape: Tape) -> RunCard:
    (card,) = run_cards(tape.records)
    return card


def test_speeds_are_weighted_by_tokens_and_told_by_depth() -> None:
    tape = Tape()
    tape.add(started())
    tape.add(answered(1, 1_000, 0, 100, 50.0, 500.0), answered(2, 3_000, 1_000, 300, 25.0, 1000.0))
    tape.add(answered(3, 20_000, 19_000, 200, 10.0, 250.0))
    card = only_card(tape)
    shallow, deep = card.speeds
    assert (shallow.depth_tokens, shallow.requests) == (4096, 2)
    assert shallow.decode_tok_per_s == pytest.approx(400 / (100 / 50 + 300 / 25))
    assert shallow.prefill_tok_per_s == pytest.approx(3000 / (1000 / 500 + 2000 / 1000))
    assert deep.depth_tokens == 32_768
    assert deep.decode_tok_per_s == pytest.approx(10.0)
    assert card.decode_tok_per_s == pytest.approx(600 / (2 + 12 + 20))


def test_tokens_reused_and_read_come_from_the_prefix_where_it_was_measured() -> None:
    tape = Tape()
    tape.add(started(), answered(1, 1_000, 0, 10, 50, 500), answered(2, 2_000, 900, 10, 50, 500))
    assert (only_card(tape).reused_tokens, only_card(tape).reread_tokens) == (900, 2_100)
    tape.add(PrefixMeasured(RequestId("r2"), 950, 1_050, 0.4, None, "estimated"))
    assert (only_card(tape).reused_tokens, only_card(tape).reread_tokens) == (950, 1_050)
    assert only_card(tape).prompt_tokens == 3_000


def test_what_nobody_measured_is_unknown_and_never_a_zero() -> None:
    tape = Tape()
    tape.add(started())
    card = only_card(tape)
    assert card.prompt_tokens is None
    assert card.decode_tok_per_s is None
    assert card.peak_memory_bytes is None
    assert card.swap_growth_bytes is None
    assert card.time is None
    rows = dict(card_rows(card))
    assert rows["tokens"].count("?") == 5
    assert rows["memory"] == "peak ?, model ?, KV ?, swap grew ?"


def test_peaks_and_the_growth_of_swap_are_those_of_the_run() -> None:
    tape = Tape()
    tape.add(memory(60.0, swap_used_bytes=9 * GIB))
    tape.add(started())
    tape.add(memory(44.0, swap_used_bytes=2 * GIB), memory(47.0, swap_used_bytes=5 * GIB))
    tape.add(memory(45.0, swap_used_bytes=4 * GIB, model_process_bytes=None))
    tape.add(KvSample(5, 10, None, 1, "estimated", cache_type="q8_0"), KvSample(3, 10, None, 1, "reported"))
    card = only_card(tape)
    assert card.peak_memory_bytes == 47 * GIB
    assert card.swap_growth_bytes == 3 * GIB
    assert (card.peak_kv_bytes, card.kv_source, card.kv_type) == (5, "estimated", "q8_0")


def test_the_kinds_of_time_add_up_to_the_run() -> None:
    tape = Tape()
    tape.add(started(), TurnStarted(1), TurnTimed(1, 5.0, prefill_s=1.0, decode_s=3.0, commands_s=1.0))
    tape.add(TurnStarted(2), TurnTimed(2, 4.0, decode_s=2.0, waiting_s=2.0))
    tape.add(RunEnded("done", turns=2, wall_s=10.0), TurnTimed(0, 1.0, other_s=1.0))
    time = only_card(tape).time
    assert time is not None
    assert (time.prefill_s, time.decode_s, time.commands_s, time.waiting_s) == (1.0, 5.0, 1.0, 2.0)
    assert time.other_s == pytest.approx(1.0)


def test_only_the_last_result_of_each_check_counts() -> None:
    tape = Tape()
    tape.add(started())
    for number, (check, code) in enumerate([("test", 1), ("lint", 0), ("test", 0)]):
        call = CallId(f"c{number}")
        tape.add(ToolStarted(call, "bash", f"check {check}", "/w", "check", check))
        tape.add(ToolEnded(call, "ok" if code == 0 else "error", code, 1.0))
    tape.add(ToolStarted(CallId("u"), "bash", "ls", "/w", "user"), ToolEnded(CallId("u"), "ok", 0, 1.0))
    tape.add(ToolStarted(CallId("b"), "bash", "ls", "/w"), ToolEnded(CallId("b"), "ok", 0, 1.0))
    card = only_card(tape)
    assert [(check.name, check.is_passed) for check in card.checks] == [("lint", True), ("test", True)]
    assert card.commands == 1


def test_a_check_that_could_not_be_run_is_no_result_and_takes_none_away() -> None:
    tape = Tape()
    tape.add(started())
    calls: list[tuple[str, str, ToolOutcome]] = [
        ("c1", "test", "ok"),
        ("c2", "test", "refused"),
        ("c3", "lint", "refused"),
        ("c4", "test", "skipped"),
    ]
    for call_id, check, outcome in calls:
        tape.add(ToolStarted(CallId(call_id), "bash", f"check {check}", "/w", "check", check))
        tape.add(ToolEnded(CallId(call_id), outcome, 0 if outcome == "ok" else None, 1.0))
    assert [(check.name, check.is_passed) for check in only_card(tape).checks] == [("test", True)]


def test_each_run_of_a_session_has_a_card_and_knows_its_system_prompt() -> None:
    tape = Tape()
    tape.add(HistoryAppended({"role": "system", "content": "be brief"}))
    tape.add(HistoryAppended({"role": "user", "content": "one"}), started("one"), RunEnded("done"))
    tape.add(started("two", sampling={"temperature": 0.2}), CompactionEnded(9, 1, 1, 1, ""))
    first, second = run_cards(tape.records)
    assert first.system_hash == second.system_hash == hashlib.sha256(b"be brief").hexdigest()[:12]
    assert first.sampling_hash != second.sampling_hash
    assert (first.reason, second.reason, second.compactions) == ("done", None, 1)
    tape.add(HistoryReplaced(({"role": "user", "content": "x"},), "branch"))
    assert run_cards(tape.records)[1].system_hash is None


def test_a_run_that_was_saved_and_resumed_has_one_card_for_all_its_parts() -> None:
    check = ToolStarted(CallId("c1"), "bash", "check test", "/w", "check", "test")
    tape = Tape()
    tape.add(started(), memory(47.0), TurnStarted(1), answered(1, 1_000, 0, 100, 50, 500))
    tape.add(check, ToolEnded(CallId("c1"), "error", 1, 1.0), TurnTimed(1, 4.0, decode_s=4.0))
    tape.add(RunEnded("interrupted", "killed", turns=1, commands=1, wall_s=5.0, is_saved=True))
    tape.add(started(goes_on=True), memory(44.0), TurnStarted(1), answered(2, 3_000, 1_000, 100, 50, 500))
    (unfinished,) = run_cards(tape.records)
    assert (unfinished.reason, unfinished.turns, unfinished.resumed) == (None, 2, 1)
    tape.add(RunEnded("interrupted", is_saved=True, turns=1, wall_s=2.0), started(goes_on=True))
    tape.add(RunEnded("done", turns=0, wall_s=3.0))
    card = only_card(tape)
    assert (card.reason, card.error, card.is_saved, card.resumed) == ("done", None, False, 2)
    assert (card.turns, card.requests, card.prompt_tokens, card.wall_s) == (2, 2, 4_000, 10.0)
    assert (card.peak_memory_bytes, [found.name for found in card.checks]) == (47 * GIB, ["test"])
    assert card.time is not None
    assert (card.time.decode_s, card.time.other_s) == (4.0, 6.0)
    assert "resumed 2 times" in dict(card_rows(card))["work"]


@pytest.mark.parametrize(
    "goes_on",
    [
        started(goes_on=True, model=replace(MODEL, model="other")),
        started(goes_on=True, sampling={"top_k": 1}),
        started(),
    ],
)
def test_what_goes_on_as_something_else_has_a_card_of_its_own(goes_on: RunStarted) -> None:
    tape = Tape()
    tape.add(started(), TurnStarted(1), RunEnded("interrupted", is_saved=True, turns=1))
    tape.add(goes_on, TurnStarted(1), RunEnded("done", turns=1))
    assert [(card.reason, card.turns) for card in run_cards(tape.records)] == [("interrupted", 1), ("done", 1)]


def test_a_recorder_tells_the_card_after_the_end_of_each_run() -> None:
    recorder, cards = Recorder(MemoryJournal(), FakeTime().clock), CardFold()
    (before,) = Tape().add(HistoryAppended({"role": "system", "content": "be brief"}))
    cards.apply(before)
    stop = tell_cards(recorder, cards)
    recorder.emit(started("one"))
    recorder.emit(RunEnded("limit", wall_s=2.0))
    stop()
    recorder.emit(RunEnded("done"))
    told = [r.event for r in recorder.past if isinstance(r.event, RunCarded)]
    assert [(e.card.task, e.card.reason, e.card.system_hash is None) for e in told] == [("one", "limit", False)]


def test_a_card_survives_its_way_through_json() -> None:
    tape = Tape()
    tape.records += whole_run()
    card = only_card(tape)
    assert card.speeds
    assert card.checks
    (recorded,) = tape.add(RunCarded(card))
    assert read_recorded(recorded_object(recorded)) == recorded


def test_the_words_of_a_card_are_clean() -> None:
    hostile = replace(MODEL, display_name="\x1b]0;owned\x07Gemma\n4", engine="\x9b2J\u202e")
    tape = Tape()
    tape.add(started(model=hostile, sampling={"stop\x1b[2J": "\x07"}), RunEnded("failed", "\x1b[31mno"))
    card = only_card(tape)
    shown = card_title(card) + "".join(label + text for label, text in card_rows(card))
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\n"} & set(shown)
    assert "Gemma 4" in shown
