"""A session opened again: locked, brought to today's format, read, and folded into what goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agentui.errors import SessionError
from agentui.events import (
    Event,
    HarnessStarted,
    NoticeQueued,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    SandboxEnded,
    SessionStarted,
    StateChanged,
    SteerWithdrawn,
    TurnEnded,
    Warned,
    WorkspaceSeeded,
)
from agentui.harness.pi.session_file import cut_session
from agentui.paths import Places
from agentui.run.resumed import ResumedState, resumed_from
from agentui.run.standing import Standing
from agentui.session.card import CardFold
from agentui.session.journal import Journal, JournalScan, encode_record, scan_journal
from agentui.session.migrate import migrate, refuse_newer
from agentui.session.output_file import OUTPUTS
from agentui.session.store import JOURNAL, SessionFolder, SessionStore
from agentui.session.writer import JournalWriter
from agentui.text import plural

BRANCHED = (
    "The user took the conversation back to this point: what came after it did not happen. The files are "
    "those on the user's side now, and changes of yours that were never applied are gone. Look before you "
    "rely on what you saw of a file."
)

NOT_FOLDED = (
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "ToolOutput",
    "PrefillProgressed",
    "RateSample",
    "ProcessSample",
    "ForecastMade",
)
"""Most of a journal, and nothing of what goes on is in it."""


@dataclass(frozen=True, slots=True)
class Continued:
    """An open session that goes on. `last` holds its last record only; `warning` tells of damage.

    `cards` and `standing` have folded what was recorded so far; they go on too. `is_branch` until its files are
    those of now.
    """

    folder: SessionFolder
    writer: JournalWriter
    last: Journal
    state: ResumedState
    cards: CardFold
    standing: Standing
    project: Path
    warning: Warned | None = None
    is_branch: bool = False


def reopen(where: Places, journal: Path) -> Continued:
    """Open the session of `journal` for writing. Blocks: reads all of it.

    A journal that lies elsewhere is copied into a session of its own first; the file itself is not changed.

    Raises:
        SessionBusy: If another agentui writes it.
        SessionError: If nothing of it can be read, or its project is gone.
    """
    refuse_newer(journal)
    store = SessionStore(where.sessions)
    lies_elsewhere = journal.name != JOURNAL or not os.path.samefile(journal.parent.parent, _made(store.root))
    if lies_elsewhere:
        journal = _copied(store, journal, scan_journal(journal))
    folder = store.open(journal.parent)
    try:
        migrate(folder.journal)
        writer = JournalWriter(folder.journal)
        try:
            return _read(folder, writer)
        except BaseException:
            writer.close()
            raise
    except BaseException:
        folder.close()
        if lies_elsewhere:
            shutil.rmtree(folder.folder, ignore_errors=True)  # the copy, which nothing was done with
        raise


def branch(where: Places, journal: Path, turn: int) -> Path:
    """A new session that begins as that of `journal` was after its `turn` (counted from 1 over all runs).

    Raises:
        SessionError: If there is no such turn, or it cannot be written.
    """
    records = list(_until_turn(scan_journal(journal), turn))
    seen = sum(isinstance(recorded.event, TurnEnded) for recorded in records)
    if seen < turn:
        raise SessionError(f"there is no finished turn {turn}: the session has {plural(seen, 'turn')}")
    return _copied(SessionStore(where.sessions), journal, _settled(_with_own_reference(records)))


def _with_own_reference(records: list[Recorded]) -> list[Recorded]:
    """The records, with a copy of what a harness keeps itself of the conversation, up to the last of them."""
    started = [r.event for r in records if isinstance(r.event, HarnessStarted)]
    reference = started[-1].session_ref if started else None
    if reference is None:
        return records
    copy = str(cut_session(Path(reference), datetime.fromisoformat(records[-1].at_utc)))
    return [
        replace(recorded, event=replace(recorded.event, session_ref=copy))
        if isinstance(recorded.event, HarnessStarted)
        else recorded
        for recorded in records
    ]


def _until_turn(records: Iterable[Recorded], turn: int) -> Iterator[Recorded]:
    seen = 0
    for recorded in records:
        yield recorded
        seen += isinstance(recorded.event, TurnEnded)
        if seen == turn:
            return


def _settled(records: list[Recorded]) -> Iterator[Recorded]:
    """The records, ended so that the next thing is a task of the user's; the model is told."""
    yield from records
    last = records[-1]
    state = resumed_from(records)
    ends: list[Event] = [SteerWithdrawn(item.steer_id) for item in state.queue]
    for event in state.closings:
        if isinstance(event, RunEnded):
            event = replace(event, error="branched here", is_saved=False)
        elif isinstance(event, SandboxEnded):
            event = SandboxEnded("closed")
        ends.append(event)
    ends.append(NoticeQueued(BRANCHED))
    for seq, event in enumerate(ends, start=last.seq + 1):
        run_id = RunId("") if isinstance(event, NoticeQueued | SandboxEnded) else last.run_id
        yield Recorded(seq, last.t_s, last.at_utc, run_id, event)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _copied(store: SessionStore, origin: Path, records: Iterable[Recorded]) -> Path:
    """A new session with these records, and the outputs they name; returns its journal.

    Raises:
        SessionError: If its beginning is not among them, or it cannot be written.
    """
    folder = store.create(datetime.now(UTC))
    has_beginning = False
    try:
        with folder.journal.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            for recorded in records:
                event = recorded.event
                if isinstance(event, SessionStarted):
                    has_beginning = True
                    name = event.session_id or str(origin)
                    event = replace(event, session_id=folder.session_id, resumed_from=name)
                file.write(encode_record(replace(recorded, event=event)))
            if not has_beginning:
                raise SessionError(
                    f"{origin} cannot go on: its beginning cannot be read",
                    hint=f"see what is left of it: agentui replay {origin}",
                )
            file.flush()
            os.fsync(file.fileno())
        _copy_outputs(origin.parent / OUTPUTS, folder.folder / OUTPUTS)
    except BaseException as error:
        shutil.rmtree(folder.folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise SessionError(f"a new session cannot be written: {error.strerror}") from error
        raise
    finally:
        folder.close()
    return folder.journal


def _copy_outputs(origin: Path, target: Path) -> None:
    """Outputs are never written again once they are there, so that links will do."""
    if not origin.is_dir():
        return
    target.mkdir(mode=0o700)
    for file in origin.iterdir():
        if file.is_file() and not file.is_symlink():
            try:
                os.link(file, target / file.name)
            except OSError:
                shutil.copy2(file, target / file.name)


def _read(folder: SessionFolder, writer: JournalWriter) -> Continued:
    scan, cards, standing = JournalScan(NOT_FOLDED), CardFold(), Standing()
    first: SessionStarted | None = None
    last: Recorded | None = None
    is_branch = False

    def noting() -> Iterator[Recorded]:
        nonlocal first, last, is_branch
        for recorded in scan_journal(folder.journal, scan):
            if isinstance(recorded.event, SessionStarted):
                first = first or recorded.event
            last = recorded
            is_branch = _begins_branch(recorded.event, is_branch)
            cards.apply(recorded)
            standing.take(recorded.event)
            yield recorded

    state = resumed_from(noting())
    if first is None or last is None:
        raise SessionError(
            f"session {folder.session_id} cannot go on: its beginning cannot be read",
            hint=f"see what is left of it: agentui replay {folder.session_id}",
        )
    project = Path(first.project)
    if not project.is_dir():
        raise SessionError(
            f"session {folder.session_id} cannot go on: its project {project} is not there",
            hint=f"it can be looked at: agentui replay {folder.session_id}",
        )
    standing.take(StateChanged("starting", "none"))
    kept = Journal((last,))
    return Continued(folder, writer, kept, state, cards, standing, project, _warning(folder, scan), is_branch)


def _begins_branch(event: Event, is_branch: bool) -> bool:
    """Whether the files are still to be those of now: it may have been killed before they were."""
    match event:
        case NoticeQueued(text):
            return is_branch or text == BRANCHED
        case WorkspaceSeeded() | RunStarted():
            return False
        case _:
            return is_branch


def _warning(folder: SessionFolder, scan: JournalScan) -> Warned | None:
    if not scan.damage:
        return None
    where = scan.damage[0]
    return Warned(
        "journal_damaged",
        f"{plural(len(scan.damage), 'place')} of this session's journal cannot be read (the first: "
        f"{where.file} line {where.line}); what they held is missing from the conversation",
        hint=f"agentui sessions verify {folder.session_id}",
    )
