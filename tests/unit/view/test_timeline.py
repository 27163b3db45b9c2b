from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskId,
    CallId,
    Event,
    MessageEnded,
    MessageId,
    MessageStarted,
    RateSample,
    Recorded,
    RunEnded,
    RunStarted,
    SandboxProgressed,
    SandboxStarted,
    StateChanged,
    SteerApplied,
    SteerId,
    SteerQueued,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    TurnStarted,
    WorkspaceApplied,
    WorkspaceChanged,
    WorkspaceUndone,
)
from agentui.view.fold import View
from agentui.view.timeline import Timeline
from tests.unit.view.scenes import CHANGES, MODEL, SANDBOX, Tape, kv, memory, whole_run


def folded(records: list[Recorded]) -> View:
    view = View()
    view.apply_all(records)
    return view


def test_every_moment_of_a_run_is_what_the_live_screen_showed_then() -> None:
    records = whole_run()
    timeline = Timeline(records, checkpoints=5)
    for place in (*range(len(records) + 1), *reversed(range(len(records)))):
        assert timeline.view_at(place) == folded(records[:place]), place


M, U, C = MessageId("m"), MessageId("u"), CallId("c")
_EVENTS: st.SearchStrategy[Event] = st.sampled_from(
    [
        RunStarted("task", MODEL, "b", "/w", "loop", SANDBOX),
        TurnStarted(1),
        MessageStarted(M, "assistant", 1),
        ThinkingDelta(M, "hm \x1b["),
        TextDelta(M, "text \x1b]0;"),
        ToolCallDelta(M, 0, "bash", '{"command": "ls'),
        ToolCallDelta(M, 1, "bash", '{"comm'),
        MessageEnded(M, "tool_calls"),
        MessageEnded(M, "cut"),
        SteerQueued(SteerId("s"), "left", "follow_up"),
        MessageStarted(U, "user"),
        TextDelta(U, "left"),
        MessageEnded(U, "sent"),
        SteerApplied(SteerId("s"), U),
        ApprovalAsked(AskId("a"), "run it?", "x"),
        ApprovalGiven(AskId("a"), "yes", "user"),
        SandboxProgressed("step 1"),
        SandboxStarted(SANDBOX),
        ToolStarted(C, "bash", "ls", "/w"),
        ToolEnded(C, "ok", 0, 0.1),
        StateChanged("generating", "none"),
        memory(),
        kv(3_000),
        RateSample(42.0, None, None, None, "measured"),
        WorkspaceChanged(CHANGES),
        WorkspaceApplied("p", CHANGES[:2], 1, "user"),
        WorkspaceUndone("p", ("x",)),
        RunEnded("done"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(events=st.lists(_EVENTS, max_size=60), checkpoints=st.integers(1, 30), data=st.data())
def test_seeking_anywhere_in_any_order_gives_the_view_of_then(
    events: list[Event], checkpoints: int, data: st.DataObject
) -> None:
    tape = Tape()
    running = False
    for event in events:
        # A command says things while it runs; the vocabulary promises that, and nothing after its end.
        running = isinstance(event, ToolStarted) or (running and not isinstance(event, ToolEnded))
        tape.wait(0.5).add(event)
        if running:
            tape.add(ToolOutput(C, "stdout", "out \x1b[3"))
    timeline = Timeline(tape.records, checkpoints)
    for place in data.draw(st.lists(st.integers(0, len(tape.records)), max_size=8)):
        seen = timeline.view_at(place)
        assert seen == folded(tape.records[:place])
        seen.apply_all(tape.records[place:])
        assert seen == folded(tape.records)


def test_a_seek_folds_only_a_small_part_again() -> None:
    """Counted, not timed: from the checkpoint before a place to it."""
    tape = Tape()
    tape.add(RunStarted("task", MODEL, "b", "/w", "loop", SANDBOX))
    for turn in range(1, 400):
        tape.wait(1.0).add(TurnStarted(turn), *(TextDelta(MessageId(f"m{turn}"), "word ") for _ in range(20)))
    read: list[int] = []

    class Counting(list[Recorded]):
        def __getitem__(self, key):  # type: ignore[no-untyped-def]
            found = super().__getitem__(key)
            if isinstance(key, slice):
                read.append(len(found))
            return found

    timeline = Timeline(Counting(tape.records))
    for place in range(0, len(tape.records), 97):
        timeline.view_at(place)
    assert max(read) <= len(tape.records) / 40


def test_finished_blocks_are_shared_between_moments() -> None:
    records = whole_run()
    timeline = Timeline(records, checkpoints=len(records))
    end, before = timeline.view_at(len(records)), timeline.view_at(len(records) - 3)
    assert end.transcript.blocks[0] is before.transcript.blocks[0]
    assert end.tools.entries[0] is before.tools.entries[0]


def test_places_are_found_by_time_and_by_turn() -> None:
    tape = Tape()
    tape.add(RunStarted("task", MODEL, "b", "/w", "loop", SANDBOX))
    tape.wait(10).add(TurnStarted(1))
    tape.wait(10).add(TurnStarted(2))
    tape.wait(10).add(RunEnded("done"))
    timeline = Timeline(tape.records)
    assert [timeline.place_at(t) for t in (-1, 0, 9.9, 10, 25, 99)] == [0, 1, 1, 2, 3, 4]
    assert [timeline.turn_after(place) for place in (0, 1, 2, 3, 4)] == [1, 2, 3, 4, 4]
    assert [timeline.turn_before(place) for place in (4, 3, 2, 1, 0)] == [3, 2, 1, 0, 0]
    assert timeline.duration_s == 30


def test_a_moment_tells_what_was_measured_last_before_it() -> None:
    tape = Tape()
    tape.add(memory(40.0), kv(1_000), TurnStarted(1))
    tape.add(
        RateSample(40.0, None, None, None, "measured"),
        memory(45.0),
        RateSample(None, 9.0, None, None, "measured"),
    )
    timeline = Timeline(tape.records)
    assert timeline.moment(0).memory is None
    first = timeline.moment(3)
    assert first.memory == memory(40.0)
    assert first.kv == kv(1_000)
    assert first.decode_tok_per_s is None
    assert timeline.moment(6).decode_tok_per_s == 40.0
    assert timeline.moment(6).memory == memory(45.0)


def test_an_empty_session_has_one_empty_moment() -> None:
    timeline = Timeline([])
    assert timeline.view_at(5) == View()
    assert (timeline.duration_s, timeline.turn_after(0), timeline.turn_before(0)) == (0.0, 0, 0)
