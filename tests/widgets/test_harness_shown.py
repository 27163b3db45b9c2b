"""What the header says of the harness, and what calls and queued texts are called."""

from __future__ import annotations

from agentui.events import (
    ApprovalAsked,
    AskId,
    CallId,
    HarnessStarted,
    MessageEnded,
    MessageId,
    MessageStarted,
    RunEnded,
    RunStarted,
    SandboxEnded,
    SteerApplied,
    SteerId,
    SteerQueued,
    TextDelta,
    ToolCallDelta,
)
from agentui.tui import present_bars as bars
from agentui.tui.present_transcript import entry_of
from agentui.view.blocks import MessageBlock
from agentui.view.fold import View
from agentui_widgets.transcript import GUTTER
from tests.unit.view.scenes import MODEL, SANDBOX, Tape


def view_of(tape: Tape) -> View:
    view = View()
    view.apply_all(tape.records)
    return view


def test_a_call_that_a_crash_left_unsent_is_not_called_refused_though_the_sandbox_went_too() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", SANDBOX))
    tape.add(ToolCallDelta(MessageId("m"), 0, "bash", '{"command": "ls"}'))
    tape.add(MessageEnded(MessageId("m"), "tool_calls"))
    tape.add(RunEnded("interrupted"), SandboxEnded("agentui ended before it did"))
    view = view_of(tape)
    titles = [entry_of(block, view).title for block in view.transcript.blocks]
    assert any(title.startswith("command not sent") for title in titles)
    assert not any("refused" in title for title in titles)


def test_a_call_behind_one_that_is_asked_about_waits_for_its_turn() -> None:
    tape, message = Tape(), MessageId("m")
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", SANDBOX))
    tape.add(*(ToolCallDelta(message, index, "bash", '{"command": "ls"}') for index in range(2)))
    tape.add(MessageEnded(message, "tool_calls"))
    tape.add(ApprovalAsked(AskId("a"), "Run ls", "", ("yes", "no"), CallId("c")))
    view = view_of(tape)
    titles = [entry_of(block, view).title.partition(" · ")[0] for block in view.transcript.blocks]
    assert titles[1:3] == ["waiting for your yes", "waits for its turn"]


def test_the_header_says_that_pi_thinks_and_where_until_the_own_loop_does() -> None:
    tape = Tape()
    tape.add(HarnessStarted("pi", "1", None, "host"), RunStarted("t", MODEL, "b", "/w", "pi", SANDBOX))
    assert "Pi thinks, on this machine" in words_of_header(tape)
    tape.add(HarnessStarted("loop", "1"))
    assert "Pi" not in words_of_header(tape)


def words_of_header(tape: Tape) -> str:
    return " ".join(fact.text for fact in bars.header(view_of(tape), read_only=False)[0])


def test_a_queued_text_that_is_said_is_labelled_within_the_width_of_labels() -> None:
    tape, message = Tape(), MessageId("u")
    tape.add(SteerQueued(SteerId("f"), "then test", "follow_up"), SteerApplied(SteerId("f"), message))
    tape.add(MessageStarted(message, "user"), TextDelta(message, "then test"), MessageEnded(message, "sent"))
    (block,) = view_of(tape).transcript.blocks
    assert isinstance(block, MessageBlock)
    assert block.label == "queue"
    assert len(block.label) <= GUTTER - 2
