"""A file with the exact bytes of one command's output, bounded: its beginning and its end."""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path
from typing import Literal

from agentui.errors import SessionError

log = logging.getLogger(__name__)

OUTPUTS = "outputs"
"""The folder of whole outputs, below a session's own."""

HEAD_BYTES = 8 << 20
TAIL_BYTES = 2 << 20
MAX_SHOWN_BYTES = 4 << 20


class OutputFile:
    """Keeps the first `head_bytes` as they come, and the last `tail_bytes` of the rest.

    Both streams share the file, in the order in which they came. The head is on disk as soon as it is written;
    the tail waits in memory until `close`. A disk that takes no more costs the rest of this output, never the
    run.

    Raises:
        FileExistsError: If the file is there already.
        OSError: If it cannot be made.
    """

    def __init__(
        self, path: Path, relative: str = "", head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES
    ) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._path = relative or str(path)
        self._head_left = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[memoryview] = deque()
        self._tail_size = 0
        self._dropped_bytes = 0
        self._is_full = False

    @property
    def path(self) -> str:
        """Where it lies, relative to the session's folder."""
        return self._path

    def write(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Keep more bytes; past the bound the oldest beyond the head go. Blocks for one write."""
        head, rest = data[: self._head_left], memoryview(data)[self._head_left :]
        if head:
            self._head_left -= len(head)
            self._put(head)
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        while self._tail_size > self._tail_bytes:
            over = self._tail_size - self._tail_bytes
            oldest = self._tail.popleft()
            gone = min(over, len(oldest))
            if gone < len(oldest):
                self._tail.appendleft(oldest[gone:])
            self._tail_size -= gone
            self._dropped_bytes += gone

    def close(self) -> int:
        """Write the tail, after a line that says what is missing; returns how many bytes were not kept."""
        if self._fd < 0:
            return self._dropped_bytes
        if self._dropped_bytes and not self._is_full:
            self._put(f"\n[... {self._dropped_bytes} bytes not kept ...]\n".encode(), is_ours=True)
        for part in self._tail:
            self._put(part)
        self._tail.clear()
        os.close(self._fd)
        self._fd = -1
        return self._dropped_bytes

    def _put(self, data: bytes | memoryview, *, is_ours: bool = False) -> None:
        rest = memoryview(data)
        try:
            while rest and not self._is_full:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._is_full = True
            log.error("output file %s takes no more: %s", self._path, error)
        if rest and not is_ours:
            self._dropped_bytes += len(rest)


def read_output(folder: Path, path: str) -> str:
    """The kept output of a command of the session in `folder`, at most 4 MiB; exact text. Reads a file.

    Raises:
        SessionError: If `path` is not an output of this session, or cannot be read.
    """
    outputs = (folder / OUTPUTS).resolve()
    file = (folder / path).resolve()
    if outputs not in file.parents:
        raise SessionError(f"{path!r} is not an output of this session")
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_SHOWN_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise SessionError(f"the output {path} cannot be read: {error.strerror}") from error
