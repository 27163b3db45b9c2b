from __future__ import annotations

import gzip
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.events import Recorded, RunId, SessionStarted, Warned
from agentui.session.journal import JournalScan, read_journal, scan_journal
from agentui.session.parts import (
    MEMBER_BYTES,
    Block,
    all_parts,
    closed_parts,
    compress_part,
    compressed,
    part_path,
    read_blocks,
    size_bytes,
)
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import parse_journal


def record(seq: int, text: str = "hello") -> Recorded:
    return Recorded(seq, seq / 10, "2026-01-02T03:04:05.000Z", RunId("r"), Warned("x", text))


def written(path: Path, count: int, part_bytes: int = 2000) -> list[Recorded]:
    records = [record(seq, f"text {seq} " * 5) for seq in range(1, count + 1)]
    writer = JournalWriter(path, part_bytes)
    for item in records:
        writer.append(item)
    writer.close()
    return records


def test_a_long_journal_is_laid_away_in_compressed_parts_and_reads_as_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    records = written(path, 100)
    parts = closed_parts(path)
    assert len(parts) > 3
    assert all(part.suffix == ".gz" for part in parts)
    read = read_journal(path)
    assert list(read.records) == records
    assert (read.damage, read.torn_bytes) == ((), 0)
    plain = b"".join(gzip.decompress(part.read_bytes()) for part in parts) + path.read_bytes()
    assert list(parse_journal(plain).records) == records
    assert size_bytes(path) < len(plain)


def test_a_session_that_goes_on_numbers_its_parts_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    records = written(path, 40)
    before = len(closed_parts(path))
    writer = JournalWriter(path, 2000)
    for seq in range(41, 81):
        writer.append(record(seq, "more " * 8))
    writer.close()
    assert len(closed_parts(path)) > before
    assert [r.seq for r in read_journal(path).records] == list(range(1, 81))
    assert list(read_journal(path).records[:40]) == records


@pytest.mark.parametrize("left", ["plain", "both", "draft", "no active part"])
def test_a_crash_while_a_part_is_closed_loses_nothing(tmp_path: Path, left: str) -> None:
    path = tmp_path / "journal.jsonl"
    records = written(path, 60)
    first = closed_parts(path)[0]
    plain = part_path(path, 1)
    match left:
        case "plain":
            plain.write_bytes(gzip.decompress(first.read_bytes()))
            first.unlink()
        case "both":
            plain.write_bytes(gzip.decompress(first.read_bytes()))
        case "draft":
            plain.write_bytes(gzip.decompress(first.read_bytes()))
            first.rename(first.with_name(first.name + ".new"))
        case _:
            number = len(closed_parts(path)) + 1
            path.rename(part_path(path, number))
    assert list(read_journal(path).records) == records
    writer = JournalWriter(path, 2000)
    writer.append(record(61))
    writer.close()
    read = read_journal(path)
    assert (list(read.records[:60]), read.records[60].seq, read.damage) == (records, 61, ())
    assert all(part.suffix == ".gz" for part in closed_parts(path))


def test_what_is_read_while_a_part_is_compressed_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    records = written(path, 60)
    first = closed_parts(path)[0]
    plain = part_path(path, 1)
    plain.write_bytes(gzip.decompress(first.read_bytes()))
    first.unlink()
    reading = scan_journal(path)
    got = [next(reading)]
    for part in closed_parts(path):
        if part.suffix != ".gz":
            compress_part(part)
    assert [*got, *reading] == records


def big_content() -> tuple[list[Recorded], bytes]:
    chance = random.Random(7)
    records = [record(seq, chance.randbytes(3000).hex()) for seq in range(1, 500)]
    from agentui.session.journal import encode_record

    return records, b"".join(encode_record(item) for item in records)


def test_a_damaged_place_in_a_compressed_part_costs_one_member(tmp_path: Path) -> None:
    records, content = big_content()
    packed = compressed(content)
    assert len(content) > 4 * MEMBER_BYTES
    assert gzip.decompress(packed) == content
    for place in (40, len(packed) // 3, len(packed) // 2, len(packed) - 40):
        damaged = bytearray(packed)
        damaged[place] ^= 0x55
        part = tmp_path / "journal-000001.jsonl.gz"
        part.write_bytes(damaged)
        scan = JournalScan()
        read = list(scan.records(read_blocks(part)))
        assert all(item in records for item in read)
        assert len(read) > len(records) // 2
        assert len(read) < len(records) or scan.damage
        assert scan.damage, f"byte {place}: nothing was told"
        assert scan.damage[0].file == part.name


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=3000))
def test_no_bytes_in_a_compressed_part_stop_the_reading(content: bytes) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"agentui-parts-{os.getpid()}"
    path.mkdir(exist_ok=True)
    try:
        part = path / "x-000001.jsonl.gz"
        part.write_bytes(content + compressed(b'{"type":"no"}\n'))
        blocks = list(read_blocks(part))
        assert all(isinstance(block, Block) for block in blocks)
        assert b"".join(block.content for block in blocks).endswith(b'{"type":"no"}\n')
    finally:
        shutil.rmtree(path)


def test_a_part_that_cannot_be_closed_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentui.session.writer.os.rename", refuse)
    records = written(path, 100)
    assert all_parts(path) == [path]
    assert list(read_journal(path).records) == records


def test_a_session_start_is_found_in_the_oldest_part(tmp_path: Path) -> None:
    from agentui.session.store import SessionStore

    folder = tmp_path / "20260504T120000Z-0a1b2c3d"
    folder.mkdir()
    writer = JournalWriter(folder / "journal.jsonl", 500)
    writer.append(Recorded(1, 0.0, "", RunId(""), SessionStarted("20260504T120000Z-0a1b2c3d", "/p", "0")))
    for seq in range(2, 20):
        writer.append(record(seq, "x" * 100))
    writer.close()
    (info,) = SessionStore(tmp_path).sessions()
    assert info.project == "/p"
    assert info.size_bytes == size_bytes(info.journal)
