"""What a list of sessions shows of each: found by looking only at the lines that tell it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agentui.errors import SessionError
from agentui.events import (
    Event,
    RunEnded,
    RunStarted,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    SteerQueued,
    TurnStarted,
)
from agentui.session.journal import decode_record
from agentui.session.parts import all_parts, read_blocks, size_bytes
from agentui.session.store import SessionInfo

# Most lines are samples and pieces of text; to parse them would take a hundred times as long.
_TELLING = re.compile(
    rb'^[^\n]*?"type":"(?:SessionStarted|SessionResumed|SessionEnded|RunStarted|RunEnded|TurnStarted|SteerQueued)"'
    rb"[^\n]*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """A session in a line. `ended`: done, failed …, as its last run; ``saved``, ``crashed`` or ``open``."""

    session_id: str
    journal: Path
    project: str
    started_utc: datetime
    task: str
    model: str
    turns: int
    runs: int
    ended: str
    size_bytes: int

    @property
    def is_empty(self) -> bool:
        """Nothing was asked in it: there is nothing to go on with."""
        return not self.task


@dataclass(slots=True)
class _Fold:
    task: str = ""
    model: str = ""
    turns: int = 0
    runs: int = 0
    ended: str = "open"

    def take(self, event: Event) -> None:
        match event:
            case SessionStarted() | SessionResumed():
                self.ended = "crashed"
            case RunStarted(task, model):
                self.task = self.task or task
                self.model = model.display_name or model.model
                self.runs += 1
                self.ended = "crashed"
            case SteerQueued(_, text):
                self.task = self.task or text
            case TurnStarted():
                self.turns += 1
            case RunEnded(reason, is_saved=is_saved):
                self.ended = "saved" if is_saved else reason
            case SessionEnded() if not self.runs:
                self.ended = "closed"
            case _:
                pass


def summarise(info: SessionInfo) -> Summary:
    """The summary of one session. Blocks: reads the journal, some 5 ms per MiB; damaged lines are skipped."""
    fold = _Fold()
    for part in all_parts(info.journal):
        try:
            for block in read_blocks(part):
                _take_block(fold, block.content)
        except OSError:
            continue
    return Summary(
        info.session_id,
        info.journal,
        info.project,
        info.started_utc,
        fold.task,
        fold.model,
        fold.turns,
        fold.runs,
        fold.ended,
        size_bytes(info.journal),
    )


def _take_block(fold: _Fold, content: bytes) -> None:
    for match in _TELLING.finditer(content):
        try:
            fold.take(decode_record(match[0])[0].event)
        except SessionError:
            continue
