"""The journal: one JSON object per line, appended, each line carrying its own checksum.

A line is the flat object of `agentui.event_json` with one more key at its very end, ``"crc"``: the CRC-32 of
the object's bytes without that key, in hexadecimal. The checksum finds flipped bytes that still are JSON; lines
without one (written by ``--mode json``, or by hand) are read as well. Lines end in a single LF; a file that was
cut off at any byte opens, at most its last record is missing.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from agentui.errors import SessionError
from agentui.event_json import read_recorded, recorded_object
from agentui.events import Recorded

FORMAT_VERSION = 1

_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"\}\Z')


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that could not be used, counted from 1, and why."""

    line: int
    text: str


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
    return read_recorded(held), match is not None


def parse_journal(content: bytes) -> Journal:
    """Read the bytes of a journal; damaged lines are told, the rest stays usable. O(bytes)."""
    *lines, last = content.split(b"\n")
    records: list[Recorded] = []
    damage: list[Damage] = []
    previous_seq: int | None = None
    for number, line in enumerate(lines, start=1):
        try:
            recorded, is_sealed = decode_record(line)
        except SessionError as error:
            damage.append(Damage(number, error.message))
            previous_seq = None
            continue
        if previous_seq is not None and is_sealed and (text := _gap(previous_seq, recorded.seq)):
            damage.append(Damage(number, text))
        records.append(recorded)
        previous_seq = recorded.seq if is_sealed else None
    torn_bytes = len(last)
    if last:
        try:
            records.append(decode_record(last)[0])
            torn_bytes = 0
        except SessionError:
            pass
    return Journal(tuple(records), tuple(damage), torn_bytes)


def _gap(previous: int, seq: int) -> str:
    if seq == previous + 1:
        return ""
    if seq > previous + 1:
        return f"records {previous + 1} to {seq - 1} are missing before this line"
    return f"record {seq} comes after record {previous}"


def read_journal(path: Path) -> Journal:
    """Read a journal file. Blocks; O(bytes).

    Raises:
        SessionError: If the file cannot be read at all.
    """
    try:
        return parse_journal(path.read_bytes())
    except OSError as error:
        raise SessionError(f"session file {path} cannot be read: {error.strerror}") from error


class JournalWriter:
    """Appends records to a journal file, unbuffered. Not thread-safe, but for `sync`.

    Opening repairs a torn end: a finished record without its line end gets it, anything else is cut off. A
    write that fails half way is taken back, so that the next one does not follow a torn line.

    Raises:
        SessionError: If the file cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SessionError(
                f"session file {path} cannot be written: {error.strerror}",
                hint="make room or make the folder writable, or set AGENTUI_HOME to another place",
            ) from error
        self._size_bytes = self._repair()

    @property
    def size_bytes(self) -> int:
        """Length of the file up to its last whole record."""
        return self._size_bytes

    def _repair(self) -> int:
        size = os.fstat(self._fd).st_size
        tail = b""
        start = size
        while start and b"\n" not in tail:
            step = min(65536, start)
            start -= step
            tail = os.pread(self._fd, step, start) + tail
        torn = tail.rpartition(b"\n")[2]
        if not torn:
            return size
        try:
            decode_record(torn)
        except SessionError:
            os.ftruncate(self._fd, size - len(torn))
            return size - len(torn)
        os.write(self._fd, b"\n")
        return size + 1

    def append(self, recorded: Recorded) -> None:
        """Write one record; it survives the death of this process as soon as this returns.

        Raises:
            OSError: If it could not be written as a whole; the file is as it was before.
        """
        rest = memoryview(encode_record(recorded))
        total = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            if len(rest) < total:
                os.ftruncate(self._fd, self._size_bytes)
            raise
        self._size_bytes += total

    def sync(self) -> None:
        """Bring all of it to the disk itself, past a loss of power. Blocks; may be called from a thread.

        Raises:
            OSError: If the disk says no.
        """
        os.fsync(self._fd)

    def read_back(self) -> Journal:
        """Everything written so far. Blocks; O(bytes)."""
        return parse_journal(os.pread(self._fd, self._size_bytes, 0))

    def close(self) -> None:
        """Close the file; again is no error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
