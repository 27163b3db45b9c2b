from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentui.errors import SessionError
from agentui.events import (
    Event,
    ModelFacts,
    RunEnded,
    RunStarted,
    SessionResumed,
    SessionStarted,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    TurnStarted,
    WorkspaceApplied,
    WorkspaceUndone,
)
from agentui.session.listing import (
    Retention,
    SessionSummary,
    beyond,
    keep_within,
    remove_session,
    summarise,
)
from agentui.session.recorder import Recorder
from agentui.session.store import SessionInfo, SessionStore
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import FakeTime

NOW = datetime(2026, 6, 30, tzinfo=UTC)
APPLIED = WorkspaceApplied("a1", (), 0, "user")


def record(
    store: SessionStore,
    *events: Event,
    days_ago: int = 0,
    project: str = "/p",
    utc_now: Callable[[], datetime] = lambda: NOW,
) -> SessionInfo:
    folder = store.create(NOW - timedelta(days=days_ago))
    recorder = Recorder(JournalWriter(folder.journal), FakeTime().clock, utc_now)
    recorder.emit(SessionStarted(folder.session_id, project, "0"))
    for event in events:
        recorder.emit(event)
    recorder.flush()
    folder.close()
    return next(info for info in store.sessions() if info.session_id == folder.session_id)


def task(text: str, model: str = "google/gemma") -> RunStarted:
    return RunStarted(text, ModelFacts(model), "b", "/w", "loop", None)


def queued(text: str, steer_id: str = "s1") -> SteerQueued:
    return SteerQueued(SteerId(steer_id), text, "steer")


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "sessions")


def test_a_summary_tells_tasks_models_turns_and_how_the_last_run_ended(store: SessionStore) -> None:
    info = record(store, task("one"), TurnStarted(1), RunEnded("limit"), task("two", "b"), TurnStarted(1))
    (info.folder / "outputs").mkdir()
    (info.folder / "outputs" / "x.txt").write_bytes(b"x" * 1000)
    found = summarise(info)
    assert (found.tasks, found.models, found.turns) == (("one", "two"), ("google/gemma", "b"), 2)
    assert found.reason is None
    assert found.size_bytes >= info.size_bytes + 1000


def test_the_words_of_a_search_are_found_in_project_task_model_and_end(store: SessionStore) -> None:
    found = summarise(record(store, task("Split report.py"), RunEnded("guard"), project="/home/x/Shop"))
    assert found.matches(["split", "shop", "GEMMA", "guard"])
    assert found.matches([])
    assert not found.matches(["split", "blog"])


@pytest.mark.parametrize(
    ("events", "ending", "said"),
    [
        ((), "empty", ""),
        ((queued("one"), queued("two", "s2")), "queued", "one; two"),
        ((queued("one"), SteerWithdrawn(SteerId("s1"))), "empty", ""),
        ((queued("one"), SteerWithdrawn(SteerId("s1"), "begins")), "queued", "one"),
        ((queued("one"), SteerWithdrawn(SteerId("s1"), "begins"), task("one")), "not ended", "one"),
        ((task("one"), RunEnded("interrupted", is_saved=True), queued("two")), "saved", "one"),
        ((task("one"), RunEnded("interrupted")), "interrupted", "one"),
    ],
)
def test_how_a_session_stands_is_told_also_where_no_run_began(
    store: SessionStore, events: tuple[Event, ...], ending: str, said: str
) -> None:
    found = summarise(record(store, *events))
    assert (found.ending, found.said, found.has_text) == (ending, said, bool(said))
    assert found.matches([ending, *said.split("; ")])


def test_a_damaged_journal_is_summed_up_as_far_as_it_can_be_read(store: SessionStore) -> None:
    info = record(store, task("one"), TurnStarted(1), RunEnded("done"))
    content = info.journal.read_bytes().replace(b'"reason":"done"', b'"reason":"dome"')
    info.journal.write_bytes(content + b'{"v":1,"type":"RunEnded"')
    found = summarise(info)
    assert (found.tasks, found.turns, found.reason) == (("one",), 1, None)


def test_an_apply_that_was_undone_is_no_undo_history_any_more(store: SessionStore) -> None:
    undone = WorkspaceUndone("a1", ())
    assert summarise(record(store, APPLIED)).applied == 1
    assert summarise(record(store, APPLIED, undone)).applied == 0
    assert summarise(record(store, APPLIED, undone, WorkspaceUndone("a1", (), redo=True))).applied == 1


def test_an_apply_whose_record_is_damaged_may_be_undone(store: SessionStore) -> None:
    info = record(store, APPLIED, days_ago=50)
    info.journal.write_bytes(info.journal.read_bytes().replace(b'"by":"', b'"by":"x'))
    assert keep_within(store, Retention(keep_days=30), lambda: NOW) == []
    assert info.folder.exists()


def test_only_sessions_beyond_the_bounds_are_read(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store, task("new"))
    old = record(store, task("old"), days_ago=40)
    read: list[str] = []
    whole = summarise

    def counting(info: SessionInfo) -> SessionSummary:
        read.append(info.session_id)
        return whole(info)

    monkeypatch.setattr("agentui.session.listing.summarise", counting)
    beyond(Retention(keep_days=30), store.sessions(), NOW)
    assert read == [old.session_id]


def test_old_sessions_go_those_with_undo_history_only_after_a_yes(store: SessionStore) -> None:
    new = record(store, task("new"))
    old = record(store, task("old"), days_ago=40)
    undoable = record(store, task("undoable"), APPLIED, days_ago=50)
    going, asking = beyond(Retention(keep_days=30), store.sessions(), NOW)
    assert [s.session_id for s in going] == [old.session_id]
    assert [s.session_id for s in asking] == [undoable.session_id]
    gone = keep_within(store, Retention(keep_days=30), lambda: NOW)
    assert [s.session_id for s in gone] == [old.session_id]
    assert {info.session_id for info in store.sessions()} == {new.session_id, undoable.session_id}


@pytest.mark.parametrize(("resumed_days_ago", "is_kept"), [(3, True), (35, False)])
def test_a_session_is_as_old_as_its_last_opening(
    store: SessionStore, resumed_days_ago: int, is_kept: bool
) -> None:
    then = NOW - timedelta(days=resumed_days_ago)
    info = record(store, task("x"), SessionResumed(2, "0"), days_ago=40, utc_now=lambda: then)
    assert summarise(info).used_utc == then
    keep_within(store, Retention(keep_days=30), lambda: NOW)
    assert info.folder.exists() is is_kept


def test_the_session_that_just_ended_stays_however_old_and_large_it_is(store: SessionStore) -> None:
    own = record(store, task("x"), days_ago=99)
    other = record(store, task("y"), days_ago=99)
    gone = keep_within(store, Retention(keep_days=1, keep_bytes=1), lambda: NOW, but=own.session_id)
    assert [session.session_id for session in gone] == [other.session_id]
    assert own.folder.exists()


def test_the_newest_are_kept_up_to_a_size(store: SessionStore) -> None:
    infos = [record(store, task("x"), days_ago=day) for day in range(4)]
    size = summarise(infos[0]).size_bytes
    keep_within(store, Retention(keep_bytes=2 * size + size // 2), lambda: NOW)
    assert [info.session_id for info in store.sessions()] == [info.session_id for info in infos[:2]]


def test_without_bounds_nothing_is_even_read(store: SessionStore) -> None:
    record(store, days_ago=9999)
    assert keep_within(store, Retention(), lambda: NOW) == []
    assert len(store.sessions()) == 1


def test_a_session_that_is_being_written_never_goes(store: SessionStore) -> None:
    info = record(store, task("x"), days_ago=99)
    held = store.open(info.folder)
    assert summarise(info).is_open
    assert keep_within(store, Retention(keep_days=1), lambda: NOW) == []
    with pytest.raises(SessionError, match="being written"):
        remove_session(store, info)
    held.close()
    assert not summarise(info).is_open
    remove_session(store, info)
    assert not info.folder.exists()
