from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentui.errors import SessionError
from agentui.events import Recorded, RunId, SessionStarted
from agentui.session.store import SessionStore
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import files_end_at

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def store_at(root: Path, *ids: str) -> SessionStore:
    waiting = iter(ids)
    return SessionStore(root, lambda: next(waiting))


def begun(store: SessionStore, hour: int, project: str) -> Path:
    session = store.create(NOON.replace(hour=hour))
    writer = JournalWriter(session.journal)
    writer.append(Recorded(1, 0.0, "", RunId(""), SessionStarted(session.session_id, project, "0")))
    writer.close()
    session.close()
    return session.journal


def test_a_session_has_a_private_folder_named_by_time_and_id(tmp_path: Path) -> None:
    session = store_at(tmp_path / "sessions", "0a1b2c3d").create(NOON)
    assert session.session_id == "20260504T120000Z-0a1b2c3d"
    assert stat.S_IMODE(session.folder.stat().st_mode) == 0o700
    assert session.journal == session.folder / "journal.jsonl"
    session.close()


def test_an_id_in_use_is_not_taken_twice(tmp_path: Path) -> None:
    store = store_at(tmp_path, "00000001", "00000001", "00000002")
    first, second = store.create(NOON), store.create(NOON)
    assert first.session_id != second.session_id


def test_sessions_are_listed_newest_first_with_their_project(tmp_path: Path) -> None:
    store = store_at(tmp_path, "00000001", "00000002", "00000003")
    begun(store, 9, "/a")
    begun(store, 11, "/b")
    begun(store, 10, "/a")
    (tmp_path / "stray").mkdir()
    assert [(i.started_utc.hour, i.project) for i in store.sessions()] == [(11, "/b"), (10, "/a"), (9, "/a")]


def test_sessions_are_found_by_id_beginning_path_and_age(tmp_path: Path) -> None:
    root = tmp_path / "sessions"
    store = store_at(root, "00aa0001", "00ab0002", "ffab0003")
    old = begun(store, 9, str(tmp_path))
    mid = begun(store, 10, "/b")
    new = begun(store, 11, "/c")
    assert store.find("00aa") == old
    assert store.find(old.parent.name) == old
    assert store.find("20260504T11") == new
    assert store.find(str(mid)) == mid
    assert store.find(str(mid.parent)) == mid
    assert store.newest() == new
    assert store.newest(tmp_path) == old
    with pytest.raises(SessionError, match="fits 2 sessions"):
        store.find("00a")
    with pytest.raises(SessionError, match="no session or file"):
        store.find("zz")
    with pytest.raises(SessionError, match="no session of"):
        store.newest(tmp_path / "other")
    with pytest.raises(SessionError, match="no session yet"):
        SessionStore(tmp_path / "empty").newest()


def test_a_session_has_one_writer_also_across_processes(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    session = store.create(NOON)
    with pytest.raises(SessionError, match=f"process {os.getpid()}"):
        store.open(session.folder)
    program = (
        "import sys; from pathlib import Path; from agentui.session.store import SessionStore\n"
        "from agentui.errors import SessionError\n"
        "folder = Path(sys.argv[1])\n"
        "try: SessionStore(folder.parent).open(folder)\n"
        "except SessionError as error: print(error.message)\n"
        "else: print('opened')\n"
    )

    def ask() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(session.folder)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return done.stdout

    assert "being written by another agentui" in ask()
    session.close()
    session.close()
    assert ask() == "opened\n"


def test_a_damaged_first_line_does_not_hide_a_session(tmp_path: Path) -> None:
    store = store_at(tmp_path, "00000001")
    journal = begun(store, 9, "/a")
    journal.write_bytes(b"\xff\x00broken\n")
    assert [info.project for info in store.sessions()] == [""]


def test_output_files_take_no_path_from_a_call_id(tmp_path: Path) -> None:
    session = store_at(tmp_path, "00000001").create(NOON)
    outputs = [session.new_output(name) for name in ("../../evil", "call_1", "", "x" * 500)]
    paths = [output.path for output in outputs]
    assert paths[:3] == ["outputs/00001-evil.txt", "outputs/00002-call_1.txt", "outputs/00003-call.txt"]
    for output in outputs:
        output.close()
        assert (session.folder / output.path).parent == session.folder / "outputs"


def test_output_files_of_a_reopened_session_are_not_overwritten(tmp_path: Path) -> None:
    store = store_at(tmp_path, "00000001")
    session = store.create(NOON)
    first = session.new_output("a")
    first.write("stdout", b"kept")
    first.close()
    session.close()
    again = store.open(session.folder)
    second = again.new_output("a")
    second.close()
    assert second.path != first.path
    assert (session.folder / first.path).read_bytes() == b"kept"


def test_the_newest_is_the_one_that_was_written_last(tmp_path: Path) -> None:
    store = store_at(tmp_path, "00000001", "00000002")
    old, new = begun(store, 9, "/a"), begun(store, 11, "/a")
    assert store.newest() == new
    later_s = new.stat().st_mtime + 60
    os.utime(old, (later_s, later_s))
    assert store.newest() == old
    assert [info.journal for info in store.last_written()] == [old, new]
    assert [info.journal for info in store.sessions()] == [new, old]


def test_a_session_opens_for_writing_also_where_the_disk_is_full(tmp_path: Path) -> None:
    store = store_at(tmp_path, "00000001")
    journal = begun(store, 9, "/a")
    with files_end_at(0):
        session = store.open(journal.parent)
    with pytest.raises(SessionError, match="another agentui"):
        store.open(journal.parent)
    session.close()


@pytest.mark.parametrize("name", ["~nobody-of-this-name", "x" * 5000, "a/" * 3000, "a\0b"])
def test_what_can_be_no_path_is_no_session(tmp_path: Path, name: str) -> None:
    with pytest.raises(SessionError, match="no session or file"):
        SessionStore(tmp_path).find(name)


def test_a_path_means_the_same_after_the_folder_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begun(store_at(tmp_path, "00000001"), 9, "/a")
    monkeypatch.chdir(journal.parent)
    assert SessionStore(tmp_path).find("journal.jsonl") == journal
    assert SessionStore(tmp_path).find(".") == journal
