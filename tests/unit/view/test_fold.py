from __future__ import annotations

import inspect
from dataclasses import replace
from typing import get_args

import pytest

from agentui.event_json import read_recorded, recorded_object
from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskId,
    CallId,
    Change,
    ContextMeasured,
    Event,
    ForecastMade,
    KvSample,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelLoadProgressed,
    ModelSeen,
    PrefillProgressed,
    Recorded,
    RequestId,
    RunCarded,
    RunEnded,
    RunStarted,
    SandboxEnded,
    SandboxStarted,
    StateChanged,
    SteerApplied,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    Warned,
    WorkspaceApplied,
    WorkspaceChanged,
    WorkspaceConflicted,
    WorkspaceUndone,
)
from agentui.session.card import run_cards
from agentui.view.blocks import CallBlock, MessageBlock, NoticeBlock, QuestionBlock, ThinkingBlock
from agentui.view.fold import View
from tests.unit.view.scenes import CHANGES, MODEL, SANDBOX, Tape, assistant, begin, command, kv, whole_run

HOSTILE = "\x1b]0;owned\x07\x1b[31m[/x] \u202egnp\x9b2J\x07"


def view_of(tape: Tape) -> View:
    view = View()
    view.apply_all(tape.records)
    return view


def test_the_same_events_give_an_equal_view() -> None:
    records = whole_run()
    one, two = View(), View()
    one.apply_all(records)
    two.apply_all(read_recorded(recorded_object(recorded)) for recorded in records)
    assert one == two
    two.apply_all(Tape().add(Warned("x", "more")))
    assert one == two, "an event with a known number changes nothing"


def test_views_differ_when_one_letter_differs() -> None:
    one, two = Tape(), Tape()
    assistant(one, "m", text="hello")
    assistant(two, "m", text="hellp")
    assert view_of(one) != view_of(two)


def test_text_is_equal_however_it_was_cut() -> None:
    one, two = Tape(), Tape()
    one.add(TextDelta(MessageId("m"), "ab"), TextDelta(MessageId("m"), "cd"))
    two.add(TextDelta(MessageId("m"), "a"), TextDelta(MessageId("m"), "bcd"))
    assert view_of(one).transcript.blocks == view_of(two).transcript.blocks


def test_a_whole_run_becomes_blocks_in_order() -> None:
    view = View()
    view.apply_all(whole_run())
    kinds = [type(block) for block in view.transcript.blocks]
    assert kinds == [
        MessageBlock,
        ThinkingBlock,
        MessageBlock,
        CallBlock,
        CallBlock,
        CallBlock,
        MessageBlock,
        NoticeBlock,
    ]
    assert not any(block.is_open for block in view.transcript.blocks)
    assert [entry.exit_code for entry in view.tools.entries] == [0, 0, 1]
    assert view.status.end is not None
    assert view.status.words == "done"


def test_apply_names_the_block_that_grew_and_nothing_else() -> None:
    view, tape = View(), Tape()
    message = MessageId("m")
    view.apply_all(tape.add(MessageStarted(message, "assistant"), TextDelta(message, "a")))
    (recorded,) = tape.add(TextDelta(message, "b"))
    assert view.apply(recorded) == {"text-m"}


def test_thinking_counts_tokens_and_seconds_and_ends_with_the_first_word() -> None:
    tape = Tape()
    message = MessageId("m")
    tape.add(ThinkingDelta(message, "hm", 3))
    tape.wait(4.1).add(ThinkingDelta(message, "m", 2))
    tape.add(TextDelta(message, "so"))
    thinking, text = view_of(tape).transcript.blocks
    assert isinstance(thinking, ThinkingBlock)
    assert (thinking.tokens, thinking.is_open) == (5, False)
    assert thinking.seconds == pytest.approx(4.1)
    assert text.is_open


def test_the_draft_of_a_call_becomes_its_row() -> None:
    tape = Tape()
    message = MessageId("m")
    tape.add(
        ToolCallDelta(message, 0, "bash", '{"comm', 1), ToolCallDelta(message, 0, "bash", 'and": "ls \\"a', 1)
    )
    view = view_of(tape)
    (draft,) = view.transcript.blocks
    assert isinstance(draft, CallBlock)
    assert draft.body.text == 'ls "a'
    view.apply_all(
        tape.add(
            ToolCallDelta(message, 0, "bash", '\\" \\u0062"}', 1),
            MessageEnded(message, "tool_calls"),
            ToolStarted(CallId("c"), "bash", 'ls "a" b', "/w"),
        )
    )
    assert view.transcript.blocks == [draft]
    assert (draft.call_id, draft.body.text) == ("c", 'ls "a" b')


def test_the_draft_of_a_cut_answer_is_never_taken_by_a_later_call() -> None:
    tape = Tape()
    tape.add(
        ToolCallDelta(MessageId("m"), 0, "bash", '{"command": "rm', 1), MessageEnded(MessageId("m"), "cut")
    )
    command(tape, 1, "ls")
    blocks = view_of(tape).transcript.blocks
    assert [block.call_id for block in blocks if isinstance(block, CallBlock)] == [None, "call-1"]


def test_the_task_is_shown_once_when_the_harness_repeats_it() -> None:
    tape = Tape()
    begin(tape)
    tape.add(
        MessageStarted(MessageId("u"), "user"),
        TextDelta(MessageId("u"), "split report.py into modules, PEP 585"),
        MessageEnded(MessageId("u"), "sent"),
    )
    users = [b for b in view_of(tape).transcript.blocks if isinstance(b, MessageBlock) and b.role == "user"]
    assert len(users) == 1


def test_another_first_user_message_is_shown_beside_the_task() -> None:
    tape = Tape()
    begin(tape)
    tape.add(TextDelta(MessageId("m"), "hi"))
    tape.add(MessageStarted(MessageId("u"), "user"), TextDelta(MessageId("u"), "keep the names"))
    users = [b for b in view_of(tape).transcript.blocks if isinstance(b, MessageBlock) and b.role == "user"]
    assert [b.body.text for b in users] == ["split report.py into modules, PEP 585", "keep the names"]


@pytest.mark.parametrize("applied_first", [True, False])
def test_a_steer_leaves_the_queue_and_labels_its_message(applied_first: bool) -> None:
    tape = Tape()
    steer, message = SteerId("s"), MessageId("u")
    tape.add(SteerQueued(steer, "keep names", "steer"), SteerQueued(SteerId("f"), "then test", "follow_up"))
    said = (MessageStarted(message, "user"), TextDelta(message, "keep names"), MessageEnded(message, "sent"))
    applied = (SteerApplied(steer, message),)
    tape.add(*(applied + said if applied_first else said + applied))
    view = view_of(tape)
    assert [q.text for q in view.status.queue] == ["then test"]
    (block,) = view.transcript.blocks
    assert isinstance(block, MessageBlock)
    assert (block.role, block.label) == ("user", "steer")
    view.apply_all(tape.add(SteerWithdrawn(SteerId("f"))))
    assert view.status.queue == []


def test_output_keeps_a_bounded_tail_across_cut_lines() -> None:
    tape = Tape()
    call = CallId("c")
    tape.add(ToolStarted(call, "bash", "seq", "/w"))
    for number in range(1000):
        tape.add(ToolOutput(call, "stdout", f"line {number}"), ToolOutput(call, "stdout", "\nli"[:1]))
    view = view_of(tape)
    tail = view.tools.entries[0].tail
    assert (tail.total_lines, len(tail.lines), tail.lines[-1]) == (1000, 200, "line 999")


def test_a_question_stays_open_until_it_is_answered() -> None:
    tape = Tape()
    ask = AskId("a")
    tape.add(ApprovalAsked(ask, "run it?", "touches setup.cfg"))
    view = view_of(tape)
    assert view.status.needs_user
    view.apply_all(tape.add(ApprovalGiven(ask, "yes", "user")))
    (block,) = view.transcript.blocks
    assert isinstance(block, QuestionBlock)
    assert (block.verdict, block.is_open, view.status.needs_user) == ("yes", False, False)


def test_changes_follow_apply_conflict_and_undo() -> None:
    tape = Tape()
    tape.add(WorkspaceChanged(CHANGES), WorkspaceConflicted(("report.py",)))
    view = view_of(tape)
    assert view.changes.is_project_untouched
    assert {c.path for c in view.changes.asking} == {"setup.cfg", "report.py"}
    view.apply_all(tape.add(WorkspaceApplied("a-1", CHANGES[:3], 2, "user")))
    assert (len(view.changes.pending), view.changes.applied_files) == (2, 3)
    assert not view.changes.is_project_untouched
    view.apply_all(tape.add(WorkspaceUndone("a-1", tuple(c.path for c in CHANGES[:3]))))
    assert view.changes.is_project_untouched
    view.apply_all(tape.add(WorkspaceUndone("a-1", (), redo=True)))
    assert view.changes.applied_files == 3


def test_prefill_progress_shows_in_the_state_and_goes_with_the_phase() -> None:
    tape = Tape()
    tape.add(StateChanged("reading_prompt", "none"))
    tape.add(PrefillProgressed(RequestId("r"), 430, 1000, 0, 12.0, "reported"))
    view = view_of(tape)
    assert view.status.words == "reading prompt 43 %, ~12 s"
    view.apply_all(tape.add(StateChanged("generating", "none")))
    assert view.status.words == "generating"


def test_unknown_stays_unknown() -> None:
    tape = Tape()
    tape.add(KvSample(None, None, None, None, "estimated", error="no shape"))
    gauges = view_of(tape).gauges
    assert gauges.kv is not None
    assert gauges.kv.filled_bytes is None
    assert gauges.kv_history[-1].filled_bytes is None


def test_history_for_charts_is_bounded() -> None:
    tape = Tape()
    for number in range(1500):
        tape.wait(1).add(kv(number))
    assert len(view_of(tape).gauges.kv_history) == 600


def test_no_control_byte_reaches_any_text_of_the_view() -> None:
    tape = Tape()
    message, call = MessageId("m"), CallId("c")
    tape.add(
        RunStarted(HOSTILE, MODEL, "b", HOSTILE, "loop", None),
        ThinkingDelta(message, HOSTILE),
        TextDelta(message, HOSTILE[:3]),
        TextDelta(message, HOSTILE[3:]),
        MessageEnded(message, HOSTILE),
        ToolStarted(call, "bash", HOSTILE, HOSTILE, check=HOSTILE),
        ToolOutput(call, "stderr", HOSTILE),
        ToolEnded(call, "error", 1, 0.1, message=HOSTILE),
        ApprovalAsked(AskId("a"), HOSTILE, HOSTILE),
        SteerQueued(SteerId("s"), HOSTILE, "steer"),
        StateChanged("generating", "none", HOSTILE),
        Warned("x", HOSTILE, HOSTILE),
        WorkspaceApplied("a", (Change(HOSTILE, "added"),), 0, "user"),
        RunEnded("failed", HOSTILE, HOSTILE),
    )
    view = view_of(tape)
    shown = [view.status.words, *(q.text for q in view.status.queue)]
    for block in view.transcript.blocks:
        match block:
            case MessageBlock() | ThinkingBlock() | CallBlock():
                shown.append(block.body.text)
            case NoticeBlock():
                shown += [block.text, block.hint]
            case QuestionBlock():
                shown += [block.question, block.why]
    for entry in view.tools.entries:
        shown += [entry.command, entry.cwd, entry.check or "", entry.message, *entry.tail.shown()]
    assert "[/x]" in "".join(shown)
    for text in shown:
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}, text


SILENT = {
    "TurnEnded",
    "HistoryAppended",
    "HistoryReplaced",
    "PauseAsked",
    "Paused",
    "SessionResumed",
    "SessionEnded",
    "NoticeQueued",
}
"""Events that show only through others (StateChanged follows a pause) or are the model's side of the record."""


def test_every_event_of_the_vocabulary_is_shown_or_known_to_be_silent() -> None:
    from agentui.view import changes, fold, gauges, notices, status, tools, transcript

    source = "".join(inspect.getsource(m) for m in (changes, fold, gauges, notices, status, tools, transcript))
    names = {str(cls.__name__) for cls in get_args(Event)}
    unseen = {name for name in names if f"{name}(" not in source}
    assert unseen == SILENT


def test_a_long_stream_costs_the_same_at_its_end() -> None:
    """Counts what is copied: no part of the text is touched again when more arrives."""
    view, tape = View(), Tape()
    message = MessageId("m")
    view.apply_all(tape.add(*(TextDelta(message, "word ") for _ in range(500))))
    (block,) = view.transcript.blocks
    assert isinstance(block, MessageBlock)
    parts = block.body.parts
    first = parts[0]
    view.apply_all(tape.add(*(TextDelta(message, "word ") for _ in range(500))))
    assert block.body.parts is parts
    assert parts[0] is first
    assert len(parts) == 1000


def view_after(records: list[Recorded]) -> View:
    view = View()
    view.apply_all(records)
    return view


def test_another_context_counts_from_when_the_model_was_seen_and_not_from_the_next_answer() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", None))
    tape.add(ContextMeasured(6_500, 65_536, "reported"), ForecastMade("context", 3.0, None, "x"))
    tape.add(ModelSeen(replace(MODEL, loaded_context_tokens=8_192)))
    view = view_after(tape.records)
    assert view.gauges.context == ContextMeasured(6_500, 8_192, "reported")
    assert "context" not in view.gauges.forecasts
    tape.add(ModelSeen(replace(MODEL, model="another", loaded_context_tokens=4_096)))
    assert view_after(tape.records).gauges.context == ContextMeasured(6_500, 4_096, "estimated")


def test_a_sandbox_that_is_gone_is_no_longer_named() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", SANDBOX), SandboxStarted(SANDBOX))
    assert view_after(tape.records).status.sandbox == SANDBOX
    tape.add(SandboxEnded("the container died"))
    view = view_after(tape.records)
    assert view.status.sandbox is None
    assert view.status.is_talk_only


def test_output_of_the_users_own_command_changes_its_row_in_the_transcript() -> None:
    tape = Tape()
    tape.add(ToolStarted(CallId("u"), "bash", "ls", "/w", label="user"))
    tape.add(ToolStarted(CallId("a"), "bash", "ls", "/w"))
    view = view_after(tape.records)
    rows = view.transcript.call_rows
    (own,) = tape.add(ToolOutput(CallId("u"), "stdout", "x\n"))
    assert rows[CallId("u")] in view.apply(own)
    (its,) = tape.add(ToolOutput(CallId("a"), "stdout", "x\n"))
    assert rows[CallId("a")] not in view.apply(its)


def test_the_card_of_a_run_is_a_folded_block_after_its_end() -> None:
    tape = Tape()
    tape.records += whole_run()
    (card,) = run_cards(tape.records)
    tape.add(RunCarded(card))
    block = view_after(tape.records).transcript.blocks[-1]
    assert isinstance(block, MessageBlock)
    assert block.role == "system"
    assert (
        block.label == "run card · Gemma 4 26B A4B Q4_K_M · 42.3 tok/s · peak 44.0 GiB · test failed (exit 1)"
    )
    assert "decode 42.3, prefill 812" in block.body.text


def test_the_share_of_a_load_is_said_once() -> None:
    tape = Tape()
    tape.add(StateChanged("loading_model", "none", "gemma 40%"), ModelLoadProgressed("gemma", 0.4, 2.0))
    assert view_of(tape).status.words == "loading model 40 %: gemma"
