"""What a command printed: handed on byte by byte, or kept within bounds for a report."""

from __future__ import annotations

import codecs
import json
from collections import deque
from typing import Any, BinaryIO

from agentui.errors import AgentuiError
from agentui.sandbox.base import OutputChunk
from agentui.text import CleanStream

KEPT_BYTES = 4 << 20
"""So much of the beginning and so much of the end of each stream is kept."""


class StreamOut:
    """Hands output on as it comes: exact bytes, but to a terminal only what cannot drive it."""

    def __init__(self, out: BinaryIO, err: BinaryIO, out_is_terminal: bool, err_is_terminal: bool) -> None:
        self._streams = {"stdout": _Stream(out, out_is_terminal), "stderr": _Stream(err, err_is_terminal)}

    def take(self, chunk: OutputChunk) -> None:
        """Write one chunk; blocks while the reader is slow, which slows the command.

        Raises:
            BrokenPipeError: If the reader has gone.
        """
        self._streams[chunk.stream].write(chunk.data)

    def close(self) -> None:
        """Write what was held back."""
        for stream in self._streams.values():
            stream.close()


class _Stream:
    def __init__(self, file: BinaryIO, is_terminal: bool) -> None:
        self._file = file
        self._cleaning = CleanStream() if is_terminal else None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        if self._cleaning is not None:
            data = self._cleaning.feed(self._decoder.decode(data)).encode("utf-8", "replace")
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        if self._cleaning is not None:
            text = self._cleaning.feed(self._decoder.decode(b"", True)) + self._cleaning.close()
            self._file.write(text.encode("utf-8", "replace"))
            self._file.flush()


class Capture:
    """Keeps both streams, long ones without their middle."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._streams = {"stdout": _Kept(kept_bytes), "stderr": _Kept(kept_bytes)}

    def take(self, chunk: OutputChunk) -> None:
        """Keep one chunk. Memory stays bounded whatever comes."""
        self._streams[chunk.stream].add(chunk.data)

    def fields(self) -> dict[str, Any]:
        """Text and size of each stream, as the report names them; a text says itself what is left out."""
        out, err = self._streams["stdout"], self._streams["stderr"]
        return {
            "stdout": out.text(),
            "stderr": err.text(),
            "stdout_bytes": out.total_bytes,
            "stderr_bytes": err.total_bytes,
        }


class _Kept:
    def __init__(self, kept_bytes: int) -> None:
        self._limit = kept_bytes
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.total_bytes = 0

    def add(self, data: bytes) -> None:
        self.total_bytes += len(data)
        room = self._limit - len(self._head)
        self._head += data[:room]
        rest = data[room:] if room else data
        if not rest:
            return
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        while self._tail_bytes - len(self._tail[0]) >= self._limit:
            self._tail_bytes -= len(self._tail.popleft())

    def text(self) -> str:
        tail = b"".join(self._tail)[-self._limit :]
        left_out = self.total_bytes - len(self._head) - len(tail)
        if not left_out:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        note = f"\n[... {left_out:,} of {self.total_bytes:,} bytes left out ...]\n"
        return bytes(self._head).decode("utf-8", "replace") + note + tail.decode("utf-8", "replace")


def in_words(error: AgentuiError) -> str:
    """What went wrong and what to do about it, in one line."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def json_line(value: object) -> str:
    """One object on one line; whatever a string holds, the line stays one, and printable."""
    return json.dumps(value)
