"""Writing a journal: appended, repaired when it is opened, and laid away in parts when it grows."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from agentui.errors import SessionError
from agentui.events import Recorded
from agentui.session.journal import Journal, JournalScan, decode_record, encode_record, scan_journal
from agentui.session.parts import (
    PART_BYTES,
    closed_parts,
    compress_part,
    next_number,
    part_path,
    sync_folder,
)

log = logging.getLogger(__name__)


class JournalWriter:
    """Appends records to a journal file, unbuffered. Not thread-safe, but for `sync`.

    Opening repairs a torn end: a finished record without its line end gets it, anything else is cut off. A
    write that fails half way is taken back, so that the next one does not follow a torn line. A file of more
    than `part_bytes` is closed and compressed in the background.

    Raises:
        SessionError: If the file cannot be opened for writing.
    """

    def __init__(self, path: Path, part_bytes: int = PART_BYTES) -> None:
        self.path = path
        self._part_bytes = part_bytes
        self._close_at_bytes = part_bytes
        self._lock = threading.Lock()
        self._packing: threading.Thread | None = None
        try:
            self._fd = _open(path)
            self._size_bytes = self._repair()
        except OSError as error:
            raise SessionError(
                f"session file {path} cannot be written: {error.strerror}",
                hint="make room or make the folder writable, or set AGENTUI_HOME to another place",
            ) from error
        self._left = [part for part in closed_parts(path) if part.suffix != ".gz"]
        self._pack()

    @property
    def size_bytes(self) -> int:
        """Length of the part that is written, up to its last whole record."""
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
        if self._size_bytes > self._close_at_bytes:
            self._close_part()

    def _close_part(self) -> None:
        """Go on in a new file; where that does not work the old one grows on and it is tried again later."""
        closed = part_path(self.path, next_number(self.path))
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            fd = _open(fresh, os.O_TRUNC)
        except OSError as error:
            log.warning("no new part of %s: %s", self.path, error)
            self._close_at_bytes = self._size_bytes + self._part_bytes
            return
        try:
            os.rename(self.path, closed)
            os.rename(fresh, self.path)
        except OSError as error:
            log.error("the part %s was not closed: %s", self.path, error)
            os.close(fd)
            if not self.path.exists():
                os.rename(closed, self.path)
            self._close_at_bytes = self._size_bytes + self._part_bytes
            return
        with self._lock:
            old, self._fd = self._fd, fd
        self._size_bytes, self._close_at_bytes = 0, self._part_bytes
        os.close(old)
        self._left.append(closed)
        self._pack()

    def _pack(self) -> None:
        """Compress closed parts in a thread, one after the other."""
        if self._left and (self._packing is None or not self._packing.is_alive()):
            parts, self._left = self._left, []
            self._packing = threading.Thread(target=_pack_all, args=(parts,), name="journal parts")
            self._packing.start()

    def sync(self) -> None:
        """Bring all of it to the disk itself, past a loss of power. Blocks; may be called from a thread.

        Raises:
            OSError: If the disk says no.
        """
        with self._lock:
            fd = os.dup(self._fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def records(self) -> Iterator[Recorded]:
        """Everything written so far, one by one. Blocks."""
        return scan_journal(self.path)

    def read_back(self) -> Journal:
        """Everything written so far. Blocks; O(bytes)."""
        scan = JournalScan()
        return Journal(tuple(scan_journal(self.path, scan)), tuple(scan.damage), scan.torn_bytes)

    def close(self) -> None:
        """Close the file, after closed parts are compressed; again is no error. Blocks."""
        if self._fd < 0:
            return
        if self._packing is not None:
            self._packing.join()
        _pack_all(self._left)
        self._left = []
        os.close(self._fd)
        self._fd = -1


def _open(path: Path, more: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | more, 0o600)


def _pack_all(parts: list[Path]) -> None:
    for part in parts:
        try:
            fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            sync_folder(part.parent)
            compress_part(part)
        except OSError as error:
            # It stays as it is, and is tried again when the session is opened the next time.
            log.warning("%s was not compressed: %s", part, error)
