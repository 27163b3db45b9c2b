from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.errors import SessionError
from agentui.event_json import recorded_object
from agentui.events import Change, Event, Recorded, RunId, TurnStarted, Warned, WorkspaceChanged
from agentui.session.journal import JournalScan, decode_record, encode_record, read_journal
from agentui.session.parts import Block
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import files_end_at, parse_journal


def record(seq: int, text: str = "hello") -> Recorded:
    return Recorded(seq, seq / 10, "2026-01-02T03:04:05.000Z", RunId("r"), Warned("x", text))


def written(path: Path, count: int) -> list[Recorded]:
    records = [record(seq) for seq in range(1, count + 1)]
    writer = JournalWriter(path)
    for item in records:
        writer.append(item)
    writer.close()
    return records


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    records = written(path, 3)
    read = read_journal(path)
    assert list(read.records) == records
    assert read.damage == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for line in path.read_text().splitlines():
        assert json.loads(line)["type"] == "Warned"


def test_a_record_is_in_the_file_before_append_returns(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "j")
    writer.append(record(1))
    assert (tmp_path / "j").stat().st_size == writer.size_bytes > 0
    writer.close()
    writer.close()


@settings(max_examples=200)
@given(st.text())
def test_any_text_survives(text: str) -> None:
    line = encode_record(record(1, text))
    assert line.count(b"\n") == 1
    assert decode_record(line[:-1]) == (record(1, text), True)


def test_file_names_that_are_no_text_survive() -> None:
    name = os.fsdecode(b"caf\xe9")
    item = Recorded(1, 0.0, "", RunId(""), WorkspaceChanged((Change(name, "added"),)))
    assert decode_record(encode_record(item)[:-1])[0] == item


def test_truncation_at_every_byte_opens_and_loses_at_most_the_last_record(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    records = written(path, 4)
    content = path.read_bytes()
    ends = [i for i, byte in enumerate(content) if byte == 0x0A]
    for length in range(len(content) + 1):
        read = parse_journal(content[:length])
        complete = sum(end <= length for end in ends)
        assert list(read.records) == records[:complete]
        assert read.damage == ()


def test_a_torn_file_is_repaired_when_it_is_written_again(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    records = written(whole, 3)
    content = whole.read_bytes()
    last = content[:-1].rfind(b"\n") + 1
    for length in range(last, len(content) + 1):
        path = tmp_path / "torn"
        path.write_bytes(content[:length])
        kept = read_journal(path).records
        writer = JournalWriter(path)
        writer.append(record(len(kept) + 1, "again"))
        writer.close()
        read = read_journal(path)
        assert read.damage == ()
        assert read.torn_bytes == 0
        assert list(read.records[:-1]) == records[: len(kept)]
        assert read.records[-1] == record(len(kept) + 1, "again")


@given(st.data())
def test_one_changed_byte_is_told_with_its_line_and_the_rest_is_usable(data: st.DataObject) -> None:
    records = [record(seq, f"text {seq} ünï") for seq in range(1, 5)]
    content = b"".join(encode_record(item) for item in records)
    place = data.draw(st.integers(0, len(content) - 2))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    read = parse_journal(bytes(changed))
    line = content[:place].count(b"\n") + 1
    intact = [item for item in read.records if item in records]
    assert len(intact) >= 2
    assert all(item in records for item in read.records), "a changed record was taken for a good one"
    assert {line, line + 1} & {damage.line for damage in read.damage}, "nobody was told"


def test_a_missing_line_is_told() -> None:
    lines = [encode_record(record(seq)) for seq in (1, 2, 4, 4, 5)]
    damage = parse_journal(b"".join(lines)).damage
    assert [d.line for d in damage] == [3, 4]
    assert "3 to 3 are missing" in damage[0].text


def test_lines_without_checksum_are_read_and_may_have_gaps() -> None:
    lines = [json.dumps(recorded_object(record(seq))).encode() for seq in (1, 5, 9)]
    read = parse_journal(b"\n".join(lines))
    assert [r.seq for r in read.records] == [1, 5, 9]
    assert read.damage == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"type":"Nothing"}', "unknown event type"),
        (b'{"v":99,"type":"TurnStarted"}', "newer agentui"),
        (b"[" * 100_000, "no JSON"),
        (b"\x00" * 50, "no JSON"),
    ],
)
def test_damaged_lines_are_told_and_skipped(line: bytes, said: str) -> None:
    read = parse_journal(encode_record(record(1)) + line + b"\n" + encode_record(record(2)))
    assert [r.seq for r in read.records] == [1, 2]
    assert [d.line for d in read.damage] == [2]
    assert said in read.damage[0].text


def test_skipped_records_are_checked_and_the_last_one_is_yielded_all_the_same() -> None:
    events: list[Event] = [TurnStarted(1), Warned("x", "a"), Warned("x", "b"), TurnStarted(2), Warned("x", "c")]
    records = [Recorded(seq, 0.0, "", RunId(""), event) for seq, event in enumerate(events, start=1)]
    lines = [encode_record(item) for item in records]
    scan = JournalScan(("Warned",))
    read = list(scan.records([Block("j", b"".join(lines))]))
    assert read == [records[0], records[3], records[4]]
    assert scan.damage == []
    for broken in (lines[1].replace(b'"a"', b'"z"'), b""):
        scan = JournalScan(("Warned",))
        read = list(scan.records([Block("j", b"".join([lines[0], broken, *lines[2:]]))]))
        assert read == [records[0], records[3], records[4]]
        assert [damage.line for damage in scan.damage] == [2]


def test_a_write_that_fails_half_way_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "j"
    writer = JournalWriter(path)
    writer.append(record(1))
    with files_end_at(writer.size_bytes + 10), pytest.raises(OSError, match="too large"):
        writer.append(record(2))
    assert path.stat().st_size == writer.size_bytes
    writer.append(record(2))
    assert [r.seq for r in writer.read_back().records] == [1, 2]
    assert read_journal(path).damage == ()
    writer.close()


def test_a_file_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="cannot be read"):
        read_journal(tmp_path / "none")
    with pytest.raises(SessionError, match="cannot be written"):
        JournalWriter(tmp_path / "no" / "folder")


def test_unknown_fields_of_newer_versions_are_ignored() -> None:
    held = {**recorded_object(Recorded(1, 0.0, "", RunId(""), TurnStarted(1))), "new": [1]}
    assert decode_record(json.dumps(held).encode())[0].event == TurnStarted(1)
