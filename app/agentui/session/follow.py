"""A session that another agentui writes, followed for the same screen: everything is seen, nothing is sent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from agentui.control import Control
from agentui.errors import SessionError
from agentui.events import Recorded
from agentui.session.journal import decode_record, read_journal
from agentui.session.parts import closed_parts, read_blocks
from agentui.session.read_only import ReadOnlyServices

POLL_S = 0.5


class JournalTail:
    """What is appended to a journal from now on, also across the closing of a part. Blocks for small reads."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._fd = -1
        self._closed = 0
        self._rest = b""
        self._seq = 0

    def past(self) -> tuple[Recorded, ...]:
        """Everything so far; `more` goes on after it. O(session)."""
        self._reopen()
        records = read_journal(self._journal).records
        self._seq = records[-1].seq if records else 0
        return records

    def more(self) -> list[Recorded]:
        """The records since, in order; lines that cannot be read are passed over."""
        found = self._read()
        try:
            is_moved = os.stat(self._journal).st_ino != os.fstat(self._fd).st_ino
        except OSError:
            is_moved = False
        if is_moved:
            found += self._read()  # what was appended before the part was closed
            own = self._closed
            self._reopen()
            for part in closed_parts(self._journal)[own + 1 :]:  # begun and closed while we were stopped
                for block in read_blocks(part):
                    found += self._new(block.content.split(b"\n"))
            found += self._read()
        return found

    def close(self) -> None:
        """Close the file; again is no error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _reopen(self) -> None:
        self.close()
        self._closed = len(closed_parts(self._journal))
        try:
            self._fd = os.open(self._journal, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SessionError(f"session file {self._journal} cannot be read: {error.strerror}") from error
        self._rest = b""

    def _read(self) -> list[Recorded]:
        found: list[Recorded] = []
        while chunk := os.read(self._fd, 1 << 20):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            found += self._new(lines)
        return found

    def _new(self, lines: Iterable[bytes]) -> list[Recorded]:
        found: list[Recorded] = []
        for line in lines:
            try:
                recorded = decode_record(line)[0]
            except SessionError:
                continue
            if recorded.seq > self._seq:
                self._seq = recorded.seq
                found.append(recorded)
        return found


class FollowServices(ReadOnlyServices):
    """The screen's side of a session that somebody else writes; see `agentui.tui.services.Services`."""

    def __init__(self, journal: Path, poll_s: float = POLL_S) -> None:
        super().__init__(journal.parent)
        self._tail = JournalTail(journal)
        self._past = self._tail.past()
        self._poll_s = poll_s
        self._following: asyncio.Task[None] | None = None

    def send(self, control: Control) -> None:
        """Nothing: the other agentui is the one to be asked."""

    def past(self) -> Sequence[Recorded]:
        """What there was when it was opened."""
        return self._past

    async def start(self) -> None:
        """Begin to follow, in the background."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="following a session")

    async def stop(self) -> None:
        """Follow no more; again is no error."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        self._tail.close()

    async def _follow(self) -> None:
        while True:
            for recorded in await asyncio.to_thread(self._tail.more):
                self._listeners.tell(recorded)
            await asyncio.sleep(self._poll_s)
