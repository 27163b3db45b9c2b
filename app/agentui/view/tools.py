"""The tool log's part of the fold: one entry per command, with the tail of its output, and per connection."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import field

from agentui.events import (
    CallId,
    EgressDecided,
    Recorded,
    ToolEnded,
    ToolFrozen,
    ToolLabel,
    ToolOutcome,
    ToolOutput,
    ToolStarted,
    ToolThawed,
)
from agentui.frozen import mutable
from agentui.text import CleanStream, clean, clean_line
from agentui.view.blocks import BlockId

TAIL_LINES = 200
"""How many lines of a command's output the view keeps; all of it lies in a file."""
LINE_LIMIT_CHARS = 2000


@mutable
class OutputTail:
    """The last lines of an output that grows; the last one may still be open."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    open_line: str = ""
    total_lines: int = 0

    def append(self, text: str) -> None:
        """Add cleaned text; costs as much as it is long."""
        first, *rest = text.split("\n")
        self.open_line = (self.open_line + first)[:LINE_LIMIT_CHARS]
        for line in rest:
            self.lines.append(self.open_line)
            self.total_lines += 1
            self.open_line = line[:LINE_LIMIT_CHARS]

    def shown(self) -> list[str]:
        """The lines that are kept, with the open one when it holds something."""
        return [*self.lines, self.open_line] if self.open_line else list(self.lines)


@mutable
class ToolEntry:
    """A command from start to end. `outcome` is ``None`` while it runs; times are seconds of the session.

    With `is_connection` it is one that a command asked for, over from the start: allowed is ``ok``.
    """

    call_id: CallId
    command: str
    cwd: str
    label: ToolLabel
    started_t_s: float
    at_utc: str
    check: str | None = None
    timeout_s: float | None = None
    outcome: ToolOutcome | None = None
    exit_code: int | None = None
    wall_s: float | None = None
    output_bytes: int = 0
    dropped_bytes: int = 0
    output_path: str | None = None
    message: str = ""
    is_frozen: bool = False
    is_connection: bool = False
    tail: OutputTail = field(default_factory=OutputTail)
    version: int = 0

    @property
    def is_running(self) -> bool:
        """True until `ToolEnded`."""
        return self.outcome is None


def tool_id(call_id: CallId) -> BlockId:
    """The id under which an entry of the tool log reports its changes."""
    return BlockId(f"@tool-{call_id}")


@mutable
class ToolLog:
    """Commands in the order in which they started."""

    entries: list[ToolEntry] = field(default_factory=list)
    index_of: dict[CallId, int] = field(default_factory=dict)
    _streams: dict[CallId, CleanStream] = field(default_factory=dict, compare=False)

    def entry(self, call_id: CallId) -> ToolEntry | None:
        """The entry of that call, if it started."""
        index = self.index_of.get(call_id)
        return None if index is None else self.entries[index]

    def running(self) -> set[int]:
        """Indexes of what runs."""
        return {self.index_of[call_id] for call_id in self._streams}

    def copy(self) -> ToolLog:
        """An independent state that shares the entries of commands that ended. O(commands)."""
        entries = [copy.deepcopy(entry) if entry.is_running else entry for entry in self.entries]
        index_of = {entry.call_id: index for index, entry in enumerate(entries)}
        return ToolLog(entries, index_of, copy.deepcopy(self._streams))

    def apply(self, recorded: Recorded) -> frozenset[BlockId]:
        """Fold one event; costs as much as the output it brings."""
        event = recorded.event
        match event:
            case EgressDecided():
                return frozenset((tool_id(self._connect(recorded, event)),))
            case ToolStarted():
                self._start(recorded, event)
            case ToolOutput(call_id, _, text) if entry := self.entry(call_id):
                entry.tail.append(self._streams[call_id].feed(text))
            case ToolFrozen(call_id) if entry := self.entry(call_id):
                entry.is_frozen = True
            case ToolThawed(call_id) if entry := self.entry(call_id):
                entry.is_frozen = False
            case ToolEnded() if entry := self.entry(event.call_id):
                self._end(entry, event)
            case _:
                return frozenset()
        self.entries[self.index_of[event.call_id]].version += 1
        return frozenset((tool_id(event.call_id),))

    def _start(self, recorded: Recorded, event: ToolStarted) -> None:
        self.index_of[event.call_id] = len(self.entries)
        self._streams[event.call_id] = CleanStream()
        self.entries.append(
            ToolEntry(
                call_id=event.call_id,
                command=clean(event.command),
                cwd=clean_line(event.cwd),
                label=event.label,
                check=None if event.check is None else clean_line(event.check),
                timeout_s=event.timeout_s,
                started_t_s=recorded.t_s,
                at_utc=recorded.at_utc,
            )
        )

    def _connect(self, recorded: Recorded, event: EgressDecided) -> CallId:
        call_id = CallId(f"@connection-{recorded.seq}")
        self.index_of[call_id] = len(self.entries)
        self.entries.append(
            ToolEntry(
                call_id=call_id,
                command=f"connection to {clean_line(event.target)}",
                cwd="",
                label="command",
                started_t_s=recorded.t_s,
                at_utc=recorded.at_utc,
                outcome="ok" if event.verdict == "allowed" else "refused",
                message=clean_line(event.why),
                is_connection=True,
            )
        )
        return call_id

    def _end(self, entry: ToolEntry, event: ToolEnded) -> None:
        stream = self._streams.pop(event.call_id, None)
        if stream is not None:
            entry.tail.append(stream.close())
        entry.outcome = event.outcome
        entry.exit_code = event.exit_code
        entry.wall_s = event.wall_s
        entry.output_bytes = event.output_bytes
        entry.dropped_bytes = event.dropped_bytes
        entry.output_path = event.output_path
        entry.message = clean(event.message)
        entry.is_frozen = False
