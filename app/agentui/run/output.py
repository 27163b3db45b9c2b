"""A command's output on its way: exact bytes to disk, text to the screen, a bounded part to the model."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

from agentui.events import CallId, ToolOutput
from agentui.sandbox.base import OutputChunk

BYTES_PER_TOKEN = 3.0
"""Command output (paths, numbers, code) has fewer bytes to a token than prose; low is the safe side."""

SHOWN_BYTES = 256 * 1024
"""Output of one command that becomes events for the screen; the rest is only counted and kept on disk."""


class OutputSink(Protocol):
    """A file that keeps the exact bytes of one command's output, bounded."""

    @property
    def path(self) -> str:
        """Where it lies, relative to the session's folder."""
        ...

    def write(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Keep more bytes; past the bound they are only counted."""
        ...

    def close(self) -> int:
        """Finish the file; returns how many bytes were not kept."""
        ...


class NoSink:
    """Keeps nothing, where no file could be made; counts what is lost."""

    path = ""

    def __init__(self) -> None:
        self._dropped_bytes = 0

    def write(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Count the bytes."""
        self._dropped_bytes += len(data)

    def close(self) -> int:
        """How many bytes were not kept: all of them."""
        return self._dropped_bytes


def model_budget_bytes(context_tokens: int | None) -> int:
    """How much of an output the model gets: a tenth of the loaded context; 12 KB while that is unknown."""
    if context_tokens is None:
        return 12_000
    return max(600, int(context_tokens / 10 * BYTES_PER_TOKEN))


class OutputCollector:
    """Takes chunks as they come; memory stays constant whatever the command prints."""

    def __init__(
        self, call_id: CallId, sink: OutputSink, budget_bytes: int, emit: Callable[[ToolOutput], None]
    ) -> None:
        self._call_id = call_id
        self._sink = sink
        self._head_bytes = budget_bytes // 2
        self._tail_bytes = budget_bytes - self._head_bytes
        self._emit = emit
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._shown_bytes = 0
        self.total_bytes = 0
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": decoder("replace"), "stderr": decoder("replace")}

    def take(self, chunk: OutputChunk) -> None:
        """Take one chunk. O(bytes of the chunk)."""
        self.total_bytes += len(chunk.data)
        self._sink.write(chunk.stream, chunk.data)
        self._keep(chunk.data)
        self._show(chunk)

    def _keep(self, data: bytes) -> None:
        room = self._head_bytes - len(self._head)
        self._head += data[:room] if room > 0 else b""
        rest = data[room:] if room > 0 else data
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        while self._tail_size - len(self._tail[0]) >= self._tail_bytes:
            self._tail_size -= len(self._tail.popleft())

    def _show(self, chunk: OutputChunk) -> None:
        if self._shown_bytes >= SHOWN_BYTES:
            return
        self._shown_bytes += len(chunk.data)
        text = self._decoders[chunk.stream].decode(chunk.data)
        if self._shown_bytes >= SHOWN_BYTES:
            text += "\n[more output is kept on disk]\n"
        if text:
            self._emit(ToolOutput(self._call_id, chunk.stream, text))

    def for_model(self) -> str:
        """What the model gets: all of it, or head and tail with a note of what is left out."""
        tail = b"".join(self._tail)
        if len(self._head) + self._tail_size == self.total_bytes and len(tail) <= self._tail_bytes:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        tail = tail[-self._tail_bytes :]
        left_out = self.total_bytes - len(self._head) - len(tail)
        head_text = bytes(self._head).decode("utf-8", "replace")
        note = f"\n[... {left_out:,} of {self.total_bytes:,} bytes left out: look at parts of it ...]\n"
        return head_text + note + tail.decode("utf-8", "replace")
