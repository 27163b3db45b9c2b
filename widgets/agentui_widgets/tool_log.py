"""The tool log: one row per command, and under it as much of its output as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agentui_widgets.block_view import BlockView
from agentui_widgets.transcript import Tone
from agentui_widgets.wrapping import Rows, cells, expand_tabs, make_strip, truncate, wrap_spans

LIVE_LINES = 4
"""How many lines of a running command's output are shown under it."""


class ToolRow(NamedTuple):
    """A command as shown, already cleaned. `facts` are lines about it, `tail` the last lines of its output."""

    key: str
    version: int
    time: str
    command: str
    result: str
    duration: str
    tone: Tone = "text"
    facts: Sequence[str] = ()
    tail: Sequence[str] = ()
    is_running: bool = False
    is_folded: bool = True


class ToolLog(BlockView[ToolRow]):
    """Time, command, result and duration in columns; a click or Enter opens a row."""

    HAS_CURSOR = True

    def estimate(self, item: ToolRow, width: int, is_folded: bool) -> int:
        """One row, and the tail when it is open."""
        if is_folded:
            return 1 + (min(len(item.tail), LIVE_LINES) if item.is_running else 0)
        return 1 + len(item.facts) + len(item.tail)

    def draw(self, item: ToolRow, width: int, is_folded: bool) -> Rows:
        """The row of a command and what is open under it."""
        rows = Rows()
        self._draw_head(item, width, is_folded, rows)
        dim, text = self.style_of("dim"), self.style_of("text")
        if is_folded and not item.is_running:
            return rows
        indent = 3
        room = max(1, width - indent)
        if is_folded:
            for line in list(item.tail)[-LIVE_LINES:]:
                shown = truncate(expand_tabs(line), room)
                rows.add(make_strip([(" " * indent, dim), (shown, dim)], width, text), gutter=indent)
            return rows
        self._draw_command(item, width, rows)
        for line, style in [(fact, dim) for fact in item.facts] + [(line, text) for line in item.tail]:
            for number, row in enumerate(wrap_spans([(expand_tabs(line), style)], room)):
                rows.add(make_strip([(" " * indent, dim), *row], width, text), gutter=indent, joins=number > 0)
        return rows

    def _draw_head(self, item: ToolRow, width: int, is_folded: bool, rows: Rows) -> None:
        mark = "▸" if is_folded else "▾"
        right = (
            f"  {item.result:<9} {item.duration:>9} "
            if width >= 72
            else f" {item.result:<8}{item.duration:>8} "
        )
        left = f" {item.time}  " if width >= 60 else f" {item.time[:5]} "
        if width < 44:
            left, right = " ", f" {item.result} "
        room = max(4, width - len(left) - len(right) - 1)
        first, more, _ = item.command.partition("\n")
        command = truncate(f"{first} …" if more else first, room)
        pad = " " * max(0, room - cells(command))
        dim = self.style_of("dim")
        spans = [
            (left, dim),
            (command, self.style_of("text")),
            (pad, dim),
            (right, self.style_of(item.tone)),
            (mark, dim),
        ]
        rows.add(make_strip(spans, width, self.style_of("text")), gutter=len(left))

    def _draw_command(self, item: ToolRow, width: int, rows: Rows) -> None:
        """The whole command when its row could not hold it."""
        lines = item.command.split("\n")
        if len(lines) == 1 and cells(lines[0]) + 40 < width:
            return
        code, text = self.style_of("code"), self.style_of("text")
        for line in lines:
            for number, row in enumerate(wrap_spans([(expand_tabs(line), code)], max(1, width - 3))):
                rows.add(make_strip([("   ", code), *row], width, text), gutter=3, joins=number > 0)
