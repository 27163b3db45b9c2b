"""Pi's framing: one JSON object for each line feed, and nothing else ends a line. Pure and bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_LINE_BYTES = 64 << 20
"""A record may hold a whole transcript. What is longer is dropped, and counted."""


class LineSplitter:
    """Cuts a byte stream into lines. Text may hold any other separator of Unicode's, so only LF counts.

    `too_long` counts the lines that were dropped for their length.
    """

    def __init__(self, most_bytes: int = MOST_LINE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._is_dropping = False
        self.too_long = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are complete now, without their ends and without empty ones. O(bytes)."""
        *complete, rest = data.split(b"\n")
        for part in complete:
            line = self._line(part)
            if line:
                yield line
        self._keep(rest)

    def _line(self, last_part: bytes) -> bytes:
        self._keep(last_part)
        line = b"" if self._is_dropping else b"".join(self._pieces)
        self._pieces, self._size_bytes, self._is_dropping = [], 0, False
        return line.removesuffix(b"\r").strip()

    def _keep(self, part: bytes) -> None:
        if self._is_dropping or not part:
            return
        self._size_bytes += len(part)
        if self._size_bytes > self._most_bytes:
            self._pieces, self._is_dropping = [], True
            self.too_long += 1
        else:
            self._pieces.append(part)


def encoded(command: Mapping[str, Any]) -> bytes:
    """A command as Pi reads it: always one object on one line, so that no text of the user's can end it."""
    return json.dumps(dict(command), ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
