"""Reading a journal: one JSON object per line, each line carrying its own checksum.

A line is the flat object of `agentui.event_json` with one more key at its very end, ``"crc"``: the CRC-32 of
the object's bytes without that key, in hexadecimal. The checksum finds flipped bytes that still are JSON; lines
without one (written by ``--mode json``, or by hand) are read as well. Lines end in a single LF; a file that was
cut off at any byte opens, at most its last record is missing.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentui.errors import SessionError
from agentui.event_json import read_recorded, recorded_object
from agentui.events import Recorded
from agentui.session.format import FORMAT_VERSION, upgraded
from agentui.session.parts import Block, all_parts, read_blocks

_HEAD_BYTES = 256
"""A line's number and type stand in its first bytes."""
_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"\}\Z')


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that could not be used, and why. Lines count from 1 in their `file`, the part of the journal."""

    line: int
    text: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal file holds. `torn_bytes` is the length of an unfinished last line; that is no damage."""

    records: tuple[Recorded, ...]
    damage: tuple[Damage, ...] = ()
    torn_bytes: int = 0


def encode_record(recorded: Recorded) -> bytes:
    """The line of a record, with its checksum and line end."""
    held = recorded_object(recorded)
    try:
        body = json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # File names may hold bytes that are no text; they travel as lone surrogates, which only escapes can
        # carry.
        body = json.dumps(held, separators=(",", ":")).encode()
    return b'%b,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def decode_record(line: bytes) -> tuple[Recorded, bool]:
    """The record of a line without its line end, and whether a checksum vouched for it.

    Raises:
        SessionError: If the line is damaged, or of a newer format.
    """
    match = _CHECKSUM.search(line)
    body = line if match is None else line[: match.start()] + b"}"
    if match is not None and zlib.crc32(body) != int(match[1], 16):
        raise SessionError("the checksum does not fit: the line was changed after it was written")
    try:
        held = json.loads(body)
    except ValueError as error:
        raise SessionError(f"no JSON: {error}") from error
    except RecursionError as error:
        raise SessionError("no JSON: nested too deeply") from error
    version = held.get("v") if isinstance(held, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise SessionError(f"format {version} was written by a newer agentui", hint="update agentui to read it")
    return read_recorded(upgraded(held) if isinstance(held, dict) else held), match is not None


class JournalScan:
    """Reads records one by one, so that a long session needs no memory of its own; damage is collected.

    `torn_bytes` and `damage` are complete when `records` has come to its end.

    Args:
        skipped: Names of events that are checked but not yielded; they cost a tenth. The very last record is
            yielded whatever it is.
    """

    def __init__(self, skipped: Iterable[str] = ()) -> None:
        names = "|".join(map(re.escape, skipped))
        self._skips = re.compile(rf'"seq":(\d+),.*?"type":"(?:{names})"'.encode()) if names else None
        self._skipped_line = b""
        self.damage: list[Damage] = []
        self.torn_bytes = 0
        self._previous_seq: int | None = None
        self._is_sealed = False
        self._unsealed: Damage | None = None
        self._file = ""
        self._line = 0

    def records(self, blocks: Iterable[Block]) -> Iterator[Recorded]:
        """The records in `blocks`, in their order. Damaged lines are told, the rest stays usable."""
        for block in blocks:
            if block.file != self._file:
                self._file, self._line = block.file, 0
            if block.lost:
                self._tell(self._line + 1, block.lost)
            *lines, last = block.content.split(b"\n")
            for line in lines:
                self._line += 1
                if self._is_skipped(line):
                    continue
                recorded = self._record(line)
                if recorded is not None:
                    yield recorded
            self.torn_bytes = len(last)
            if last:
                try:
                    recorded = decode_record(last)[0]
                except SessionError:
                    continue
                self.torn_bytes, self._skipped_line = 0, b""
                yield recorded
        if self._skipped_line:
            yield decode_record(self._skipped_line)[0]

    def _is_skipped(self, line: bytes) -> bool:
        """Whether a whole line of a skipped kind stands here; its number is followed all the same."""
        if self._skips is None:
            return False
        head, seal = self._skips.search(line, 0, _HEAD_BYTES), _CHECKSUM.search(line)
        if head is None or seal is None:
            return False
        if zlib.crc32(b"}", zlib.crc32(memoryview(line)[: seal.start()])) != int(seal[1], 16):
            return False
        self._take_seal()
        self._follow(int(head[1]))
        self._skipped_line = line
        return True

    def _follow(self, seq: int) -> None:
        if self._previous_seq is not None and (text := _gap(self._previous_seq, seq)):
            self._tell(self._line, text)
        self._previous_seq = seq

    def _record(self, line: bytes) -> Recorded | None:
        try:
            recorded, is_sealed = decode_record(line)
        except SessionError as error:
            self._tell(self._line, error.message)
            self._previous_seq = None
            return None
        if is_sealed:
            self._take_seal()
            self._follow(recorded.seq)
        else:
            self._miss_seal()
        self._skipped_line = b""
        return recorded

    def _take_seal(self) -> None:
        """One line was sealed, so all were: those that are not were changed, if only in their checksum."""
        self._is_sealed = True
        if self._unsealed is not None:
            self.damage.append(self._unsealed)
            self._unsealed = None

    def _miss_seal(self) -> None:
        self._previous_seq = None
        damage = Damage(self._line, "the checksum is missing, or was changed; the record is used", self._file)
        if self._is_sealed:
            self.damage.append(damage)
        elif self._unsealed is None:
            self._unsealed = damage

    def _tell(self, line: int, text: str) -> None:
        self.damage.append(Damage(line, text, self._file))


def _gap(previous: int, seq: int) -> str:
    if seq == previous + 1:
        return ""
    if seq > previous + 1:
        return f"records {previous + 1} to {seq - 1} are missing before this line"
    return f"record {seq} comes after record {previous}"


def scan_journal(path: Path, scan: JournalScan | None = None) -> Iterator[Recorded]:
    """The records of a journal with all its parts, one by one; damage goes to `scan`. Blocks.

    Raises:
        SessionError: If a file of it cannot be read at all.
    """
    yield from (scan or JournalScan()).records(_blocks(path))


def _blocks(path: Path) -> Iterator[Block]:
    for part in all_parts(path) or [path]:
        try:
            yield from read_blocks(part)
        except FileNotFoundError:
            # Compressed since the folder was listed: the same part lies beside it.
            packed = part.with_name(part.name + ".gz")
            if part.suffix == ".gz" or not packed.exists():
                raise SessionError(f"session file {part} cannot be read: it is not there") from None
            yield from read_blocks(packed)
        except OSError as error:
            raise SessionError(f"session file {part} cannot be read: {error.strerror}") from error


def read_journal(path: Path) -> Journal:
    """Read a journal with all its parts. Blocks; O(bytes).

    Raises:
        SessionError: If the file cannot be read at all.
    """
    scan = JournalScan()
    records = tuple(scan_journal(path, scan))
    return Journal(records, tuple(scan.damage), scan.torn_bytes)
