from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.event_json import event_fields
from agentui.events import (
    BackendRetried,
    CompactionEnded,
    HistoryAppended,
    MessageEnded,
    MessageId,
    MessageStarted,
    RequestEnded,
    RequestId,
    SteerApplied,
    SteerId,
    TextDelta,
    ThinkingDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
    Warned,
)
from agentui.harness.base import Note
from agentui.harness.pi.fold import PiFold, Said
from agentui.harness.pi.records import (
    PiMessage,
    PiMessageEnded,
    PiRecord,
    PiTurnEnded,
    ToolBegan,
    parse_record,
)
from agentui.history import fold_history
from tests.fakes import Log
from tests.serving import assert_balanced
from tests.unit.harness.pi.captures import CAPTURES, folded, folded_file, said_by_pi

LINES = {path.stem: said_by_pi(path) for path in CAPTURES}
ALL_RECORDS: list[PiRecord] = [parse_record(line) for lines in LINES.values() for line in lines]


@pytest.mark.parametrize("asked", [frozenset[str](), frozenset({"bash"})], ids=["runs", "asks"])
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_capture_becomes_a_balanced_stream(path: Path, asked: frozenset[str]) -> None:
    log = folded((parse_record(line) for line in said_by_pi(path)), asked)
    assert_balanced(log)
    for event in log.events:
        json.dumps(event_fields(event)).encode("utf-8")


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(LINES)), st.integers(0, 1 << 30))
def test_a_truncated_capture_becomes_a_balanced_stream(name: str, at: int) -> None:
    stream = b"\n".join(LINES[name])
    cut = stream[: at % (len(stream) + 1)]
    assert_balanced(folded(parse_record(line) for line in cut.split(b"\n")))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(LINES)), st.randoms(use_true_random=False))
def test_a_shuffled_capture_becomes_a_balanced_stream(name: str, order: random.Random) -> None:
    lines = list(LINES[name])
    order.shuffle(lines)
    assert_balanced(folded(parse_record(line) for line in lines))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(ALL_RECORDS), max_size=80))
def test_any_records_in_any_order_become_a_balanced_stream(records: list[PiRecord]) -> None:
    assert_balanced(folded(records))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(LINES)), st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=3))))
def test_a_damaged_capture_becomes_a_balanced_stream(name: str, damage: list[tuple[int, bytes]]) -> None:
    stream = bytearray(b"\n".join(LINES[name]))
    for at, put in damage:
        at %= len(stream) + 1
        stream[at : at + len(put)] = put
    assert_balanced(folded(parse_record(line) for line in bytes(stream).split(b"\n")))


def test_text_that_the_beginning_of_a_message_holds_is_not_shown_twice() -> None:
    log = folded_file("01")
    answer = log.of(HistoryAppended)[-1].message
    assert "".join(e.text for e in log.of(TextDelta) if e.text) == (
        log.of(HistoryAppended)[0].message["content"] + answer["content"]
    )


def test_thinking_ends_where_the_text_begins() -> None:
    log = folded_file("01")
    assert log.of(ThinkingDelta)
    deltas = sum(isinstance(e, ThinkingDelta) for e in log.events)
    ended = next(e for e in log.of(MessageEnded) if e.thinking_s is not None)
    assert ended.thinking_s is not None
    assert ended.thinking_s < (deltas + 3) / 10


def test_a_retry_goes_on_with_the_same_turn() -> None:
    log = folded_file("18")
    assert log.of(BackendRetried)
    assert len(log.of(TurnStarted)) == 1
    assert [e.stop_reason for e in log.of(MessageEnded)][-1] == "stop"


def test_failed_answers_are_no_part_of_the_history() -> None:
    log = folded_file("59")
    said = [m["content"] for m in fold_history(log.events) if m["role"] == "assistant"]
    assert said == ["Second try is complete."]
    shown = [e.stop_reason for e in log.of(MessageEnded)]
    assert shown == ["sent", "error", "stop"]


def test_growing_output_is_shown_once() -> None:
    log = folded_file("03")
    ended = log.of(ToolEnded)
    assert ended
    for call in ended:
        text = "".join(e.text for e in log.of(ToolOutput) if e.call_id == call.call_id)
        assert len(text.encode()) <= call.output_bytes


def test_parallel_calls_end_each_on_its_own() -> None:
    log = folded_file("04")
    assert [e.call_id for e in log.of(ToolStarted)] != [e.call_id for e in log.of(ToolEnded)]


def test_a_call_that_pi_refuses_by_itself_is_told_and_one_of_ours_is_not() -> None:
    refused = folded_file("27", frozenset({"bash"}))
    assert {e.outcome for e in refused.of(ToolEnded)} == {"error"}
    log = Log()
    fold = PiFold(log.emit, lambda prefix: prefix, lambda: 0.0)
    for line in LINES["56-bash-and-gate-by-dialogue"]:
        record = parse_record(line)
        fold.take(record)
        if isinstance(record, ToolBegan):
            fold.tools.hand_over(record.call_id)
    assert log.of(HistoryAppended)
    assert log.of(ToolStarted) == []


@pytest.mark.parametrize("name", ["13", "14", "15"])
def test_compactions_are_shown(name: str) -> None:
    ended = [e for e in folded_file(name).of(CompactionEnded) if e.error is None]
    assert ended
    assert all(e.summary for e in ended)


def test_a_call_that_the_server_left_as_text_is_warned_of() -> None:
    assert [e.code for e in folded_file("28").of(Warned)] == ["leaked_tool_call"]


def test_an_answer_without_a_word_is_warned_of() -> None:
    log = Log()
    fold = PiFold(log.emit, lambda prefix: prefix, lambda: 0.0)
    fold.take(PiMessageEnded(PiMessage("assistant", stop_reason="stop", usage=Usage(9, 1))))
    assert [e.code for e in log.of(Warned)] == ["empty_answer"]


def test_what_an_extension_says_and_fails_at_is_told() -> None:
    codes = {e.code for e in folded_file("35").of(Warned)}
    assert codes == {"pi_extension", "pi_extension_failed"}


def test_turns_have_figures() -> None:
    ended = folded_file("02").of(TurnEnded)
    assert len(ended) == 6
    assert all(e.usage.prompt_tokens and e.usage.completion_tokens for e in ended)


def test_texts_that_went_as_one_message_are_shown_each() -> None:
    log = Log()
    fold = PiFold(log.emit, lambda prefix: prefix, lambda: 0.0)
    notes = (
        Note("do it", MessageId("a")),
        Note("[notice]", MessageId("b"), notices=2),
        Note("softly", MessageId("c"), SteerId("s1")),
    )
    text = "\n\n".join(note.text for note in notes)
    fold.said.append(Said(text, notes))
    fold.take(PiMessageEnded(PiMessage("user", text)))
    assert [e.text for e in log.of(TextDelta)] == ["do it", "[notice]", "softly"]
    assert [e.message_id for e in log.of(SteerApplied)] == ["c"]
    appended = log.of(HistoryAppended)[0]
    assert (appended.steer_id, appended.notices, appended.message["content"]) == ("s1", 2, text)
    assert not fold.said
    assert [e.role for e in log.of(MessageStarted)] == ["user"] * 3


def test_a_turn_has_the_figures_of_its_request_also_when_that_is_over_before_pi_tells_of_the_answer() -> None:
    log = Log()
    fold = PiFold(log.emit, lambda prefix: prefix, lambda: 0.0)
    for tokens in (1, 2):
        fold.request_sent([])
        usage = Usage(10, tokens)
        fold.request_ended(RequestEnded(RequestId("r"), "done", "stop", usage, 0.1, 0.2 * tokens, 0.5))
        fold.take(PiMessageEnded(PiMessage("assistant", "hi", stop_reason="stop")))
        fold.take(PiTurnEnded())
    # What was asked outside of a turn, such as a summary, counts for none.
    fold.request_sent([])
    fold.request_ended(RequestEnded(RequestId("r"), "done", "stop", Usage(90, 90), 0.1, 9.0, 9.5))
    fold.request_sent([])
    fold.take(PiMessageEnded(PiMessage("assistant", "hi", stop_reason="stop")))
    fold.take(PiTurnEnded())
    ended = log.of(TurnEnded)
    assert [e.decode_s for e in ended] == [0.2, 0.4, None]
    assert [e.usage.completion_tokens for e in ended[:2]] == [1, 2]
    assert ended[2].usage.completion_tokens != 90
