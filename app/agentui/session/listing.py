"""What a list of sessions tells of each one, and which ones may go."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentui.errors import SessionError
from agentui.events import (
    EndReason,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    SessionResumed,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    TurnStarted,
    WorkspaceApplied,
    WorkspaceUndone,
)
from agentui.session.journal import decode_record
from agentui.session.parts import all_parts, read_blocks
from agentui.session.store import SessionInfo, SessionStore

# A line's type stands in its first bytes; only lines of these types are decoded.
_TOLD = (
    SessionResumed,
    RunStarted,
    SteerQueued,
    SteerWithdrawn,
    RunEnded,
    TurnStarted,
    WorkspaceApplied,
    WorkspaceUndone,
)
_TYPE = re.compile(rb'"type":"(?:%b)"' % b"|".join(kind.__name__.encode() for kind in _TOLD))
_APPLIED = b'"type":"WorkspaceApplied"'
_HEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session in a list. Texts are exact: whoever shows them cleans them.

    `reason` is how the last run ended, ``None`` if it did not (it goes on, or it crashed). `size_bytes` counts
    all files. `applied` is how many applies were not undone: they have undo history. `waiting` are texts that
    no run began with yet. `used_utc` is when it was opened last.
    """

    info: SessionInfo
    size_bytes: int
    is_open: bool
    used_utc: datetime
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    reason: EndReason | None = None
    is_saved: bool = False
    turns: int = 0
    applied: int = 0
    waiting: tuple[str, ...] = ()

    @property
    def has_text(self) -> bool:
        """Whether there is something to go on with: a task, or one that waits."""
        return bool(self.tasks or self.waiting)

    @property
    def ending(self) -> str:
        """How it stands, in a word or two; saved is what was interrupted by the session's own end."""
        if self.is_open:
            return "open"
        if self.tasks:
            return "saved" if self.is_saved else self.reason or "not ended"
        return "queued" if self.waiting else "empty"

    @property
    def said(self) -> str:
        """What the user asked for, on one line; of a session in which no run began, what waits."""
        return "; ".join(self.tasks or self.waiting)

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.info.session_id

    def matches(self, words: Iterable[str]) -> bool:
        """Whether each word is in the id, project, a task, a model or how it ended; case does not count."""
        held = "\n".join((self.session_id, self.info.project, self.said, *self.models, self.ending))
        lower = held.casefold()
        return all(word.casefold() in lower for word in words)


@dataclass(slots=True)
class _Sums:
    tasks: dict[str, None] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)
    reason: EndReason | None = None
    is_saved: bool = False
    turns: int = 0
    resumed_utc: str = ""
    applied: set[str] = field(default_factory=set)
    waiting: dict[SteerId, str] = field(default_factory=dict)

    def apply(self, recorded: Recorded) -> None:
        match event := recorded.event:
            case SessionResumed():
                self.resumed_utc = recorded.at_utc
            case RunStarted(task, model):
                self.tasks[task] = self.models[model.model] = None
                self.reason, self.is_saved = None, False
            case SteerQueued(steer_id, text):
                self.waiting[steer_id] = text
            case SteerWithdrawn(steer_id, "taken back"):
                self.waiting.pop(steer_id, None)
            case RunEnded(reason):
                self.reason, self.is_saved = reason, event.is_saved
            case TurnStarted():
                self.turns += 1
            case WorkspaceApplied(apply_id):
                self.applied.add(apply_id)
            case WorkspaceUndone(apply_id, redo=redo):
                (self.applied.add if redo else self.applied.discard)(apply_id)
            case _:
                pass


def summarise(info: SessionInfo) -> SessionSummary:
    """What the journal of a session tells; unreadable lines are passed over. Blocks; O(bytes), 1 s per GiB."""
    sums = _Sums()
    for recorded in _told(info.journal):
        sums.apply(recorded)
    return SessionSummary(
        info=info,
        size_bytes=folder_bytes(info.folder),
        is_open=_is_locked(info.folder / "lock"),
        used_utc=_utc(sums.resumed_utc) or info.started_utc,
        tasks=tuple(sums.tasks),
        models=tuple(sums.models),
        reason=sums.reason,
        is_saved=sums.is_saved,
        turns=sums.turns,
        applied=len(sums.applied),
        waiting=() if sums.tasks else tuple(sums.waiting.values()),
    )


def _utc(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _told(journal: Path) -> Iterator[Recorded]:
    for part in all_parts(journal):
        try:
            for block in read_blocks(part):
                yield from _told_in(block.content)
        except OSError:
            continue


def _told_in(content: bytes) -> Iterator[Recorded]:
    for line in content.split(b"\n"):
        if _TYPE.search(line, 0, _HEAD_BYTES) is None:
            continue
        try:
            yield decode_record(line)[0]
        except SessionError:
            # What may have been applied may be undone: such a session is never taken for one without.
            if _APPLIED in line[:_HEAD_BYTES]:
                yield Recorded(0, 0.0, "", RunId(""), WorkspaceApplied("?", (), 0, "user"))


def folder_bytes(folder: Path) -> int:
    """What the files of a session's folder take. Blocks; O(files)."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def _is_locked(path: Path) -> bool:
    """Whether another process writes the session; asked with a shared lock, which disturbs nobody."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def remove_session(store: SessionStore, info: SessionInfo) -> None:
    """Delete a session's folder with everything in it. Blocks.

    Raises:
        SessionError: If somebody writes it, or it cannot be deleted.
    """
    held = store.open(info.folder)
    try:
        shutil.rmtree(info.folder)
    except OSError as error:
        raise SessionError(f"session {info.session_id} cannot be removed: {error.strerror}") from error
    finally:
        held.close()


@dataclass(frozen=True, slots=True)
class Retention:
    """What is to be kept; ``None`` for no bound.

    Sessions that were opened in the last `keep_days`, and of all at most `keep_bytes`, those that began last.
    """

    keep_days: int | None = None
    keep_bytes: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether anything would ever go."""
        return self.keep_days is not None or self.keep_bytes is not None


def beyond(
    retention: Retention, sessions: Sequence[SessionInfo], now_utc: datetime
) -> tuple[list[SessionSummary], list[SessionSummary]]:
    """Which of `sessions` (newest first) may go without asking, and which only after a yes: they can be undone.

    One that is open never goes. Old ones that stay count for the size, so that newer ones are not kept less.
    Blocks: reads those that are beyond the bounds, not the others.
    """
    going: list[SessionSummary] = []
    asking: list[SessionSummary] = []
    total = 0
    oldest = None if retention.keep_days is None else now_utc - timedelta(days=retention.keep_days)
    for info in sessions:
        total += folder_bytes(info.folder)
        is_old = oldest is not None and info.started_utc < oldest  # but it may have gone on since
        is_over = retention.keep_bytes is not None and total > retention.keep_bytes
        if not (is_old or is_over):
            continue
        session = summarise(info)
        if session.is_open or not (is_over or (oldest is not None and session.used_utc < oldest)):
            continue
        if session.applied:
            asking.append(session)
            continue
        total -= session.size_bytes
        going.append(session)
    return going, asking


def keep_within(
    store: SessionStore,
    retention: Retention,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    but: str = "",
) -> list[SessionSummary]:
    """Delete what is beyond the bounds and has no undo history; returns what went. Blocks.

    The session `but` stays in any case. One that cannot be deleted stays, without a word: the next end of a
    session tries again.
    """
    if not retention.is_bounded:
        return []
    going, _ = beyond(retention, store.sessions(), now())
    gone = []
    for session in going:
        if session.session_id == but:
            continue
        try:
            remove_session(store, session.info)
        except SessionError:
            continue
        gone.append(session)
    return gone
