"""A long text in one scrolling view: a command's full output, or a diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentui_widgets.block_view import BlockView
from agentui_widgets.wrapping import Rows, expand_tabs, make_strip, wrap_spans

CHUNK_LINES = 200


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Some lines of a text, already cleaned; drawn when they come into sight."""

    key: str
    lines: Sequence[str]
    is_diff: bool = False
    version: int = 0
    is_folded: bool = False


class TextView(BlockView[TextChunk]):
    """Wraps only what is in sight, so that a text of many megabytes opens at once."""

    STICKS_TO_END = False

    def show(self, text: str, *, is_diff: bool = False) -> None:
        """Replace the text; starts at its top."""
        self.clear()
        lines = expand_tabs(text).split("\n")
        for index, start in enumerate(range(0, len(lines), CHUNK_LINES)):
            self.put(index, TextChunk(str(start), lines[start : start + CHUNK_LINES], is_diff))
        self.commit()
        self.scroll_to(y=0, animate=False, force=True)

    def estimate(self, item: TextChunk, width: int, is_folded: bool) -> int:
        """At least a row for each line."""
        return sum(1 + max(0, len(line) - 1) // width for line in item.lines)

    def draw(self, item: TextChunk, width: int, is_folded: bool) -> Rows:
        """Each line wrapped; lines of a diff coloured by their mark."""
        rows = Rows()
        base = self.style_of("text")
        for line in item.lines:
            style = self.style_of(_diff_tone(line)) if item.is_diff else base
            for number, row in enumerate(wrap_spans([(line, style)], width)):
                rows.add(make_strip(row, width, base), joins=number > 0)
        return rows


def _diff_tone(line: str) -> str:
    if line.startswith(("+++", "---", "diff ", "index ")):
        return "strong"
    return {"+": "good", "-": "error", "@": "accent"}.get(line[:1], "text")
