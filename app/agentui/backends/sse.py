"""Server-sent events, read in batches: all records that one read from the network completed.

The openai package has a reader of its own, but takes a token through eight generators; at a thousand tokens a
second that is most of what a token costs.
"""

from __future__ import annotations

DONE = b"[DONE]"
"""What OpenAI-style servers send as the data of their last record."""

MAX_RECORD_BYTES = 32 << 20
"""A record of a token or a tool call's part is never so long; a stream that ends no line must end somewhere."""
_BOM = b"\xef\xbb\xbf"


class SseReader:
    """Gathers the data of records from bytes that may be cut anywhere, up to `DONE` (then `is_done`).

    Lines end with LF, CRLF or CR; several data lines of a record are joined with LF. Comments, names, ids and a
    byte order mark are skipped. Linear in what is fed, also for one long line.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._ended_with_cr = False
        self._has_begun = False
        self._held_bytes = 0
        self.is_done = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each record that `piece` completed, in order; seldom more than one.

        Raises:
            ValueError: If a record is longer than `MAX_RECORD_BYTES`.
        """
        self._held_bytes += len(piece)
        if self._held_bytes > MAX_RECORD_BYTES:
            raise ValueError(f"a record of the stream is longer than {MAX_RECORD_BYTES:,} bytes")
        if b"\r" in piece or self._ended_with_cr:
            piece = self._with_plain_ends(piece)
        if b"\n" not in piece:
            if piece:
                self._line.append(piece)
            return []
        if self._line:
            self._line.append(piece)
            piece = b"".join(self._line)
            self._line.clear()
        *lines, rest = piece.split(b"\n")
        if rest:
            self._line.append(rest)
        if not self._has_begun:
            self._has_begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        found = self._records(lines)
        if not self._data:
            self._held_bytes = len(rest)
        return found

    def finish(self) -> list[bytes]:
        """The last record, where the stream ended without `DONE` or without an empty line."""
        found = self.feed(b"\n\n")
        self.is_done = True
        return found

    def _records(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data.clear()
                if data.startswith(DONE):
                    self.is_done = True
                    break
                found.append(data)
        return found

    def _with_plain_ends(self, piece: bytes) -> bytes:
        """CR and CRLF as LF; a CRLF may be cut in its middle."""
        if self._ended_with_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ended_with_cr = False
        if piece:
            self._ended_with_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
