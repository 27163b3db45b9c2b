"""The recorder: the one place where payloads are numbered, timed, written and fanned out."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from agentui.events import (
    Event,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolOutput,
    TurnEnded,
    Warned,
    WorkspaceApplied,
    WorkspaceUndone,
)
from agentui.session.journal import Journal
from agentui.session.listeners import Listener, Listeners

log = logging.getLogger(__name__)

NOT_WRITTEN = "journal-not-written"
"""Code of the warning that the disk does not take the journal any more."""

WRITTEN_AGAIN = "journal-written-again"
"""Code of the word that what waited is on the disk."""

JOIN_S = 0.1
"""Deltas of one kind become at most one event in this time."""

# Pieces of different kinds that keep their exact order within one joining time; past this many a piece joins
# the earlier one of its kind, so that a command writing to both streams line by line cannot flood the journal.
_ORDERED_PIECES = 8

Delta: TypeAlias = TextDelta | ThinkingDelta | ToolCallDelta | ToolOutput


class JournalFile(Protocol):
    """What the recorder needs of a journal."""

    def append(self, recorded: Recorded) -> None:
        """Write one record whole, or raise OSError and leave the file as it was."""
        ...

    def sync(self) -> None:
        """Bring it to the disk; called from a thread."""
        ...

    def read_back(self) -> Journal:
        """Everything written so far."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Timer(Protocol):
    """A pending call that can be taken back."""

    def cancel(self) -> None:
        """Do not call."""
        ...


CallLater: TypeAlias = Callable[[float, Callable[[], None]], Timer]


def _loop_call_later(delay_s: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(delay_s, call)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _short_id() -> str:
    return secrets.token_hex(4)


class Recorder:
    """Numbers, times, writes and fans out events, in the order they are emitted.

    Everything happens on the event loop but the disk's sync; no method may be called from another thread.
    `emit` blocks for one small write. Deltas are joined; what waits is written before any other event, else by
    a timer. Where the disk is full, records are kept in memory and written as soon as there is room.

    Args:
        journal: Where records go.
        clock: Monotonic seconds.
        utc_now: The time of day, in UTC.
        continued: Records of this journal so far, when it is opened again: numbers and times go on from them.
        call_later: Runs a call after seconds; the running event loop's unless given.
        new_id: Makes ids of runs.
    """

    def __init__(
        self,
        journal: JournalFile,
        clock: Callable[[], float] = time.monotonic,
        utc_now: Callable[[], datetime] = _utc_now,
        *,
        continued: Journal | None = None,
        call_later: CallLater = _loop_call_later,
        new_id: Callable[[], str] = _short_id,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._utc_now = utc_now
        self._call_later = call_later
        self._new_id = new_id
        last = continued.records[-1] if continued and continued.records else None
        self._next_seq = last.seq + 1 if last else 1
        self._began_s = clock() - (last.t_s if last else 0.0)
        self._run_id = RunId("") if last is None or isinstance(last.event, RunEnded) else last.run_id
        self._listeners = Listeners()
        self._outbox: deque[Recorded] = deque()
        self._is_fanning_out = False
        self._pieces: list[_Piece] = []
        self._timer: Timer | None = None
        self._last_joined_s = float("-inf")
        self._unwritten: list[Recorded] = []
        self._is_behind = False
        self._disk_trouble: str | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._sync_again = False
        self._is_closed = False

    @property
    def run_id(self) -> RunId:
        """The id of the run that is going on; empty outside a run."""
        return self._run_id

    @property
    def past(self) -> tuple[Recorded, ...]:
        """All records so far, pending deltas included. Reads the journal: blocks, O(session)."""
        self._flush_pieces()
        return (*self._journal.read_back().records, *self._unwritten)

    @property
    def unwritten(self) -> int:
        """Records that wait in memory because the disk did not take them; 0 is normal."""
        return len(self._unwritten)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that.

        A listener must be quick. One that raises is logged and keeps its place: the record comes first.
        """
        return self._listeners.add(listener)

    def emit(self, event: Event) -> None:
        """Take one payload. Deltas may wait up to `JOIN_S`; everything else is written when this returns."""
        if self._is_closed:
            log.warning("event after the session was closed: %s", type(event).__name__)
            return
        match event:
            case TextDelta() | ThinkingDelta() | ToolCallDelta() | ToolOutput():
                self._take_delta(event)
                return
            case RunStarted():
                self._flush_pieces()
                self._run_id = RunId(self._new_id())
            case _:
                self._flush_pieces()
        self._record(event)
        match event:
            case RunEnded():
                self._run_id = RunId("")
                self._sync_soon()
            case TurnEnded() | WorkspaceApplied() | WorkspaceUndone():
                self._sync_soon()
            case _:
                pass

    def flush(self) -> None:
        """Write what waits and bring everything to the disk itself. Blocks for the disk; call around an apply.

        A disk that refuses is told once by a `Warned` event, not raised.
        """
        self._flush_pieces()
        self._write_waiting()
        try:
            self._journal.sync()
        except OSError as error:
            self._tell_trouble(error)

    async def aclose(self) -> None:
        """Write what waits, bring it to the disk, close the journal; again is no error."""
        if self._is_closed:
            return
        self._flush_pieces()
        self._write_waiting()
        self._is_closed = True
        if self._syncing:
            await self._syncing
        try:
            await asyncio.to_thread(self._journal.sync)
        except OSError as error:
            log.error("the session's journal could not be brought to the disk: %s", error)
        finally:
            self._journal.close()

    # --- joining deltas ---------------------------------------------------------------------------

    def _take_delta(self, delta: Delta) -> None:
        due_in_s = self._last_joined_s + JOIN_S - self._clock()
        if not self._pieces and due_in_s <= 0:
            # The first after a silence is shown at once: it is what the user waits for.
            self._last_joined_s = self._clock()
            self._record(delta)
            return
        key = _key(delta)
        candidates = self._pieces[-1:] if len(self._pieces) < _ORDERED_PIECES else reversed(self._pieces)
        for piece in candidates:
            if piece.key == key:
                piece.add(delta)
                return
        self._pieces.append(_Piece(key, delta))
        if self._timer is None:
            self._timer = self._call_later(max(due_in_s, 0.0), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._flush_pieces()

    def _flush_pieces(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pieces:
            return
        pieces, self._pieces = self._pieces, []
        self._last_joined_s = self._clock()
        for piece in pieces:
            self._record(piece.joined())

    # --- writing and telling ----------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        recorded = Recorded(
            seq=self._next_seq,
            t_s=self._clock() - self._began_s,
            at_utc=_stamp(self._utc_now()),
            run_id=self._run_id,
            event=event,
        )
        self._next_seq += 1
        self._unwritten.append(recorded)
        trouble = self._write_waiting()
        self._outbox.append(recorded)
        self._fan_out()
        if trouble is not None:
            if not self._is_behind:  # a sync that failed before was another trouble
                self._is_behind, self._disk_trouble = True, None
            self._tell_trouble(trouble)
        elif self._is_behind:
            self._is_behind, self._disk_trouble = False, None
            self.emit(Warned(WRITTEN_AGAIN, "the session is written again; nothing of it is missing"))

    def _write_waiting(self) -> OSError | None:
        done = 0
        trouble: OSError | None = None
        try:
            for recorded in self._unwritten:
                try:
                    self._journal.append(recorded)
                except (TypeError, ValueError, RecursionError):
                    # Kept back, it would stop every later record too; the gap in the numbers tells of it.
                    log.exception("a record is no JSON and is left out: %s", type(recorded.event).__name__)
                done += 1
        except OSError as error:
            trouble = error
        del self._unwritten[:done]
        return trouble

    def _fan_out(self) -> None:
        """Tell all listeners, each record to all of them before the next: also when a listener emits."""
        if self._is_fanning_out:
            return
        self._is_fanning_out = True
        try:
            while self._outbox:
                self._listeners.tell(self._outbox.popleft())
        finally:
            self._is_fanning_out = False

    def _tell_trouble(self, error: OSError) -> None:
        if self._disk_trouble is not None:
            return
        self._disk_trouble = error.strerror or str(error)
        log.error("the journal cannot be written: %s", error)
        self.emit(
            Warned(
                NOT_WRITTEN,
                f"the session cannot be written: {self._disk_trouble}; it goes on in memory",
                hint="make room on the disk; what waits is written as soon as there is some",
            )
        )

    # --- bringing it to the disk ------------------------------------------------------------------

    def _sync_soon(self) -> None:
        """Sync in a thread: 0.3 ms on an idle SSD, but tens of milliseconds on a busy or older disk."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._syncing is not None and not self._syncing.done():
            self._sync_again = True
            return
        self._syncing = loop.create_task(self._sync_in_thread(), name="journal sync")

    async def _sync_in_thread(self) -> None:
        while True:
            self._sync_again = False
            try:
                await asyncio.to_thread(self._journal.sync)
            except OSError as error:
                self._tell_trouble(error)
                return
            if not self._sync_again:
                return


class _Piece:
    """Deltas of one kind that will become one event. Joins at the end only: cost stays linear."""

    __slots__ = ("_first", "_texts", "_tokens", "key")

    def __init__(self, key: tuple[object, ...], first: Delta) -> None:
        self.key = key
        self._first = first
        self._texts = [first.text]
        self._tokens = _tokens(first)

    def add(self, delta: Delta) -> None:
        self._texts.append(delta.text)
        self._tokens += _tokens(delta)

    def joined(self) -> Delta:
        text = "".join(self._texts)
        match self._first:
            case ToolOutput():
                return replace(self._first, text=text)
            case _:
                return replace(self._first, text=text, tokens=self._tokens)


def _tokens(delta: Delta) -> int:
    return 0 if isinstance(delta, ToolOutput) else delta.tokens


def _key(delta: Delta) -> tuple[object, ...]:
    match delta:
        case TextDelta() | ThinkingDelta():
            return (type(delta), delta.message_id)
        case ToolCallDelta():
            return (ToolCallDelta, delta.message_id, delta.index)
        case ToolOutput():
            return (ToolOutput, delta.call_id, delta.stream)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
