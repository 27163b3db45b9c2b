"""Time that stands still until it is moved, journals kept in memory, and a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agentui.events import Event, Recorded
from agentui.session.journal import Journal, JournalScan
from agentui.session.parts import Block
from agentui.session.recorder import Recorder


@dataclass
class Call:
    due_s: float
    call: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class FakeTime:
    """A clock, a date and timers that run when time is moved past them."""

    now_s: float = 100.0
    calls: list[Call] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def utc_now(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(seconds=self.now_s - 100.0)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Call:
        self.calls.append(Call(self.now_s + delay_s, call))
        return self.calls[-1]

    def move(self, by_s: float) -> None:
        end_s = self.now_s + by_s
        while due := [c for c in self.calls if c.due_s <= end_s and not c.is_cancelled]:
            first = min(due, key=lambda c: c.due_s)
            self.calls.remove(first)
            self.now_s = max(self.now_s, first.due_s)
            first.call()
        self.now_s = end_s


@dataclass
class MemoryJournal:
    records: list[Recorded] = field(default_factory=list)
    syncs: int = 0
    error: OSError | None = None
    sync_error: OSError | None = None
    is_closed: bool = False

    def append(self, recorded: Recorded) -> None:
        if self.error:
            raise self.error
        self.records.append(recorded)

    def sync(self) -> None:
        if error := self.error or self.sync_error:
            raise error
        self.syncs += 1

    def read_back(self) -> Journal:
        return Journal(tuple(self.records))

    def close(self) -> None:
        self.is_closed = True


class Desk:
    """A recorder over fake time and memory, and what a subscriber heard."""

    def __init__(self, continued: Journal | None = None) -> None:
        self.time = FakeTime()
        self.journal = MemoryJournal(list(continued.records) if continued else [])
        self.ids = 0
        self.recorder = Recorder(
            self.journal,
            self.time.clock,
            self.time.utc_now,
            continued=continued,
            call_later=self.time.call_later,
            new_id=self._new_id,
        )
        self.heard: list[Recorded] = []
        self.recorder.subscribe(self.heard.append)

    def _new_id(self) -> str:
        self.ids += 1
        return f"run{self.ids}"

    @property
    def events(self) -> list[Event]:
        return [recorded.event for recorded in self.heard]


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to make any file longer than this, as a full disk does: half a write, then no."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def parse_journal(content: bytes) -> Journal:
    """The bytes of a journal that has one part, read."""
    scan = JournalScan()
    records = tuple(scan.records([Block("", content)]))
    return Journal(records, tuple(scan.damage), scan.torn_bytes)
