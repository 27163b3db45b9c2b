"""Whether a session's files are what was written: checksums, numbering, and the outputs that events name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agentui.errors import SessionError
from agentui.events import Recorded, SessionEnded, SessionStarted, ToolEnded
from agentui.session.journal import Damage, JournalScan, scan_journal
from agentui.session.output_file import HEAD_BYTES, OUTPUTS, TAIL_BYTES
from agentui.session.parts import all_parts, size_bytes

_NOTE_BYTES = 1 << 10
"""What the note between head and tail of a long output may take."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `line` counts from 1 in `file`; 0 where it is no matter of a line."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. A session that a crash cut off is clean, also before its first record was whole.

    `torn_bytes` are of a record in the making.
    """

    journal: Path
    session_id: str
    records: int
    parts: int
    size_bytes: int
    torn_bytes: int
    was_closed: bool
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Whether everything that was written can be read."""
        return not self.findings


def verify(journal: Path) -> Verdict:
    """Read a whole session and check it. Blocks; O(session). Changes nothing.

    Raises:
        SessionError: If a file of it cannot be read at all.
    """
    parts = all_parts(journal)
    if not parts:
        raise SessionError(f"there is no session at {journal}")
    scan = JournalScan()
    findings: list[Finding] = []
    count, session_id, was_closed = 0, "", False
    for recorded in scan_journal(journal, scan):
        if count == 0 and not isinstance(recorded.event, SessionStarted):
            text = f"begins with {type(recorded.event).__name__} and not with SessionStarted"
            findings.append(Finding(parts[0].name, 1, text))
        if isinstance(recorded.event, SessionStarted):
            session_id = session_id or recorded.event.session_id
        was_closed = isinstance(recorded.event, SessionEnded)
        count += 1
        findings.extend(_output_findings(journal.parent, recorded))
    findings.extend(_damage(damage) for damage in scan.damage)
    if count == 0 and (scan.damage or (journal.parent / OUTPUTS).is_dir()):
        findings.append(Finding(journal.name, 0, "holds no record that can be read"))
    return Verdict(
        journal,
        session_id or journal.parent.name,
        count,
        len(parts),
        size_bytes(journal),
        scan.torn_bytes,
        was_closed,
        tuple(findings),
    )


def _damage(damage: Damage) -> Finding:
    return Finding(damage.file, damage.line, damage.text)


def _output_findings(folder: Path, recorded: Recorded) -> list[Finding]:
    """Whether the output that a command's end names is there and no larger than outputs are."""
    event = recorded.event
    if not isinstance(event, ToolEnded) or event.output_path is None:
        return []
    path = folder / event.output_path
    if folder.resolve() not in path.resolve().parents:
        return [Finding(event.output_path, 0, f"record {recorded.seq} names a file outside the session")]
    try:
        size = path.stat().st_size
    except OSError:
        return [Finding(event.output_path, 0, f"the output that record {recorded.seq} names is missing")]
    if size > HEAD_BYTES + TAIL_BYTES + _NOTE_BYTES:
        return [Finding(event.output_path, 0, f"has {size:,} bytes, more than an output is given")]
    return []
