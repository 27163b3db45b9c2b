from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from agentui.errors import SessionError
from agentui.event_json import recorded_object
from agentui.events import Recorded, RunId, SessionStarted, TurnStarted
from agentui.session.format import FORMAT_VERSION, upgraded
from agentui.session.journal import read_journal
from agentui.session.migrate import kept_original, migrate, version_of
from tests.unit.session.fakes import files_end_at

RECORDS = [
    Recorded(1, 0.0, "", RunId(""), SessionStarted("s", "/p", "0")),
    *(Recorded(seq, 0.0, "", RunId("r"), TurnStarted(seq)) for seq in range(2, 6)),
]


def old_journal(path: Path) -> bytes:
    """A journal as the first format wrote it."""
    lines = []
    for recorded in RECORDS:
        body = json.dumps({**recorded_object(recorded), "v": 1}, separators=(",", ":")).encode()
        lines.append(b'%b,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body)))
    path.write_bytes(b"".join(lines))
    return path.read_bytes()


def test_an_old_journal_is_read_as_one_of_today(tmp_path: Path) -> None:
    old_journal(tmp_path / "journal.jsonl")
    assert list(read_journal(tmp_path / "journal.jsonl").records) == RECORDS


def test_migration_keeps_the_original_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    before = old_journal(path)
    original = migrate(path)
    assert original is not None
    assert original == kept_original(path, 1)
    assert original.read_bytes() == before
    assert version_of(path) == FORMAT_VERSION
    read = read_journal(path)
    assert (list(read.records), read.damage) == (RECORDS, ())
    assert migrate(path) is None


def test_a_damaged_line_stays_in_the_original_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    content = bytearray(old_journal(path))
    content[content.index(b'"turn":3')] ^= 1
    path.write_bytes(content)
    original = migrate(path)
    assert original is not None
    assert original.read_bytes() == bytes(content)
    assert [recorded.seq for recorded in read_journal(path).records] == [1, 2, 4, 5]


def test_a_migration_that_finds_no_room_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    before = old_journal(path)
    with files_end_at(100), pytest.raises(SessionError, match="cannot be rewritten"):
        migrate(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl"]


def test_upgrades_go_step_by_step_and_stop_where_none_is_known() -> None:
    steps = {1: lambda held: {**held, "v": 2, "one": 1}, 2: lambda held: {**held, "v": 3, "two": 2}}
    assert upgraded({"v": 1}, steps, 3) == {"v": 3, "one": 1, "two": 2}
    assert upgraded({"v": 9}, steps, 3) == {"v": 9}
    assert upgraded({}, steps, 3) == {}
