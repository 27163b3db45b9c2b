from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.events import (
    CallId,
    Event,
    MessageEnded,
    MessageId,
    ModelFacts,
    ModelUnloaded,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolOutput,
    TurnEnded,
    TurnStarted,
    Usage,
    Warned,
    WorkspaceApplied,
)
from agentui.session.journal import read_journal
from agentui.session.recorder import Delta, Recorder
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import Desk, MemoryJournal

M1 = MessageId("m1")


def started(task: str = "do it") -> RunStarted:
    return RunStarted(task, ModelFacts("m"), "lmstudio", "/w", "loop", None)


def output(text: str, stream: str = "stdout") -> ToolOutput:
    return ToolOutput(CallId("c1"), "stderr" if stream == "stderr" else "stdout", text)


def test_records_are_numbered_from_one_and_timed() -> None:
    desk = Desk()
    desk.recorder.emit(TurnStarted(1))
    desk.time.move(1.5)
    desk.recorder.emit(TurnStarted(2))
    assert [(r.seq, r.t_s, r.at_utc) for r in desk.heard] == [
        (1, 0.0, "2026-01-02T03:04:05.000Z"),
        (2, 1.5, "2026-01-02T03:04:06.500Z"),
    ]
    assert desk.journal.records == desk.heard


def test_run_id_holds_from_run_started_to_run_ended() -> None:
    desk = Desk()
    for event in (TurnStarted(0), started(), TurnStarted(1), RunEnded("done"), TurnStarted(0), started()):
        desk.recorder.emit(event)
    assert [r.run_id for r in desk.heard] == ["", "run1", "run1", "run1", "", "run2"]
    assert desk.recorder.run_id == RunId("run2")


def test_first_delta_after_a_silence_is_told_at_once() -> None:
    desk = Desk()
    desk.recorder.emit(TextDelta(M1, "a"))
    assert desk.events == [TextDelta(M1, "a")]


def test_deltas_are_joined_to_ten_a_second() -> None:
    desk = Desk()
    for _ in range(100):
        desk.recorder.emit(TextDelta(M1, "x"))
        desk.time.move(0.01)
    desk.time.move(1)
    assert len(desk.heard) <= 11
    texts = [e for e in desk.events if isinstance(e, TextDelta)]
    assert "".join(e.text for e in texts) == "x" * 100
    assert sum(e.tokens for e in texts) == 100


def test_waiting_deltas_come_before_any_other_event() -> None:
    desk = Desk()
    desk.recorder.emit(TextDelta(M1, "a"))
    desk.recorder.emit(TextDelta(M1, "b"))
    desk.recorder.emit(TextDelta(M1, "c"))
    desk.recorder.emit(MessageEnded(M1, "stop"))
    assert desk.events == [TextDelta(M1, "a"), TextDelta(M1, "bc", 2), MessageEnded(M1, "stop")]
    desk.time.move(1)
    assert len(desk.events) == 3


def test_waiting_deltas_of_a_run_keep_its_id() -> None:
    desk = Desk()
    for event in (started(), TextDelta(M1, "a"), TextDelta(M1, "b"), RunEnded("interrupted")):
        desk.recorder.emit(event)
    assert {r.run_id for r in desk.heard} == {"run1"}


def test_kinds_of_delta_are_not_mixed_and_keep_their_order() -> None:
    desk = Desk()
    desk.recorder.emit(ThinkingDelta(M1, "t"))
    pieces: list[Delta] = [
        ThinkingDelta(M1, "h"),
        TextDelta(M1, "a"),
        TextDelta(MessageId("m2"), "b"),
        ToolCallDelta(M1, 0, "bash", "{"),
        ToolCallDelta(M1, 1, "bash", "["),
        output("o"),
        output("e", "stderr"),
    ]
    for piece in pieces:
        desk.recorder.emit(piece)
    desk.time.move(1)
    assert desk.events[1:] == pieces


def test_two_streams_in_turn_cannot_flood_the_journal() -> None:
    desk = Desk()
    for number in range(5000):
        desk.recorder.emit(output(f"{number}\n", "stderr" if number % 2 else "stdout"))
    desk.time.move(1)
    assert len(desk.heard) < 15
    for stream, parity in (("stdout", 0), ("stderr", 1)):
        text = "".join(e.text for e in desk.events if isinstance(e, ToolOutput) and e.stream == stream)
        assert text == "".join(f"{n}\n" for n in range(5000) if n % 2 == parity)


deltas = st.builds(
    TextDelta, st.sampled_from(["m1", "m2"]).map(MessageId), st.text(max_size=5), st.integers(0, 3)
)
others = st.builds(TurnStarted, st.integers(1, 3))


@given(st.lists(st.one_of(deltas, others, st.floats(0, 0.3)), max_size=60))
def test_joining_loses_nothing_and_reorders_nothing_across_events(steps: list[Event | float]) -> None:
    desk = Desk()
    for step in steps:
        if isinstance(step, float | int):
            desk.time.move(step)
        else:
            desk.recorder.emit(step)
    desk.time.move(1)
    given_events = [step for step in steps if not isinstance(step, float | int)]
    assert _spelled(desk.events) == _spelled(given_events)
    assert [r.seq for r in desk.heard] == list(range(1, len(desk.heard) + 1))


def _spelled(events: Sequence[Event]) -> list[object]:
    """Texts of each message between two other events, joined; and the tokens."""
    told: list[object] = []
    run: dict[str, tuple[str, int]] = {}
    for event in [*events, TurnStarted(-1)]:
        if isinstance(event, TextDelta):
            text, tokens = run.get(event.message_id, ("", 0))
            run[event.message_id] = (text + event.text, tokens + event.tokens)
        else:
            told += [sorted(run.items()), event]
            run = {}
    return told


def test_unsubscribed_listeners_hear_no_more() -> None:
    desk = Desk()
    heard: list[Recorded] = []
    end = desk.recorder.subscribe(heard.append)
    desk.recorder.emit(TurnStarted(1))
    end()
    end()
    desk.recorder.emit(TurnStarted(2))
    assert len(heard) == 1


def test_a_failing_listener_stops_neither_record_nor_others(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()

    def fails(recorded: Recorded) -> None:
        raise RuntimeError("broken")

    desk.recorder.subscribe(fails)
    later: list[Recorded] = []
    desk.recorder.subscribe(later.append)
    with caplog.at_level(logging.CRITICAL + 1):
        desk.recorder.emit(TurnStarted(1))
    assert len(later) == len(desk.journal.records) == 1


def test_a_listener_that_emits_keeps_the_order_for_all() -> None:
    desk = Desk()
    first: list[int] = []
    last: list[int] = []

    def answers(recorded: Recorded) -> None:
        first.append(recorded.seq)
        if recorded.event == TurnStarted(1):
            desk.recorder.emit(TurnStarted(2))

    desk.recorder.subscribe(answers)
    desk.recorder.subscribe(lambda recorded: last.append(recorded.seq))
    desk.recorder.emit(TurnStarted(1))
    assert first == last == [1, 2]


# --- the disk ------------------------------------------------------------------------------------


async def test_ends_of_turns_runs_and_applies_reach_the_disk() -> None:
    journal = MemoryJournal()
    recorder = Recorder(journal)
    for event in (TurnEnded(1, Usage()), WorkspaceApplied("a1", (), 0, "user"), RunEnded("done")):
        before = journal.syncs
        recorder.emit(event)
        await _until_synced(recorder)
        assert journal.syncs > before
    before = journal.syncs
    recorder.emit(TurnStarted(2))
    await _until_synced(recorder)
    assert journal.syncs == before
    await recorder.aclose()
    assert journal.is_closed


async def _until_synced(recorder: Recorder) -> None:
    """Wait for the recorder's own task, which nothing outside may see."""
    for task in [t for t in asyncio.all_tasks() if t.get_name() == "journal sync"]:
        await task


def test_flush_is_on_the_disk_when_it_returns() -> None:
    desk = Desk()
    desk.recorder.emit(TextDelta(M1, "a"))
    desk.recorder.emit(TextDelta(M1, "b"))
    desk.recorder.flush()
    assert len(desk.journal.records) == 2
    assert desk.journal.syncs == 1


def test_a_full_disk_is_told_once_and_survived() -> None:
    desk = Desk()
    desk.recorder.emit(TurnStarted(1))
    desk.journal.error = OSError(errno.ENOSPC, "No space left on device")
    for turn in range(2, 6):
        desk.recorder.emit(TurnStarted(turn))
    desk.recorder.flush()
    warned = [e for e in desk.events if isinstance(e, Warned)]
    assert [w.code for w in warned] == ["journal-not-written"]
    assert "No space left" in warned[0].text
    assert len(desk.journal.records) == 1
    assert desk.recorder.unwritten == 5
    assert list(desk.recorder.past) == desk.heard
    desk.journal.error = None
    desk.recorder.emit(TurnStarted(6))
    assert desk.recorder.unwritten == 0
    assert desk.journal.records == desk.heard
    assert [r.seq for r in desk.heard] == list(range(1, 9))


def test_a_disk_that_is_full_again_is_told_again_and_so_is_that_it_has_room() -> None:
    desk = Desk()
    for turn in (1, 3):
        desk.journal.error = OSError(errno.ENOSPC, "No space left on device")
        desk.recorder.emit(TurnStarted(turn))
        desk.journal.error = None
        desk.recorder.emit(TurnStarted(turn + 1))
    codes = [e.code for e in desk.events if isinstance(e, Warned)]
    assert codes == ["journal-not-written", "journal-written-again"] * 2
    assert desk.journal.records == desk.heard


def test_a_disk_that_is_full_is_told_also_after_one_that_could_not_be_synced() -> None:
    desk = Desk()
    desk.recorder.emit(TurnStarted(1))
    desk.journal.sync_error = OSError(errno.EIO, "Input/output error")
    desk.recorder.flush()
    desk.journal.error = OSError(errno.ENOSPC, "No space left on device")
    desk.recorder.emit(TurnStarted(2))
    warned = [e.text for e in desk.events if isinstance(e, Warned)]
    assert ["Input/output" in text for text in warned] == [True, False]
    assert "No space left" in warned[1]


def test_nothing_is_recorded_after_the_end() -> None:
    desk = Desk()
    asyncio.run(desk.recorder.aclose())
    desk.recorder.emit(TurnStarted(1))
    assert desk.heard == []


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    recorder = Recorder(JournalWriter(path))
    recorder.emit(TextDelta(M1, "a"))
    recorder.emit(TextDelta(M1, "b"))
    await recorder.aclose()
    await recorder.aclose()
    assert [r.event for r in read_journal(path).records] == [TextDelta(M1, "a"), TextDelta(M1, "b")]


async def test_a_waiting_delta_is_told_by_the_loops_timer() -> None:
    recorder = Recorder(MemoryJournal())
    told = asyncio.Event()

    def hear(recorded: Recorded) -> None:
        if recorded.event == TextDelta(M1, "b"):
            told.set()

    recorder.subscribe(hear)
    recorder.emit(TextDelta(M1, "a"))
    recorder.emit(TextDelta(M1, "b"))
    assert not told.is_set()
    await told.wait()


def test_a_session_goes_on_where_it_stopped() -> None:
    first = Desk()
    first.recorder.emit(TurnStarted(1))
    first.time.move(10)
    first.recorder.emit(ModelUnloaded("m"))
    second = Desk(first.journal.read_back())
    second.time.move(5)
    second.recorder.emit(TurnStarted(2))
    assert [(r.seq, r.t_s) for r in second.recorder.past] == [(1, 0.0), (2, 10.0), (3, 15.0)]
