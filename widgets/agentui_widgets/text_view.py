"""A long text in one scrolling view: a command's full output, or a diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentui_widgets.block_view import BlockView
from agentui_widgets.word_diff import Range, changed_words
from agentui_widgets.wrapping import Rows, Span, expand_tabs, make_strip, wrap_spans

CHUNK_LINES = 200


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Some lines of a text, already cleaned; drawn when they come into sight.

    `marks` are the changed words of a diff, as ranges of characters by the line's place in the chunk.
    """

    key: str
    lines: Sequence[str]
    is_diff: bool = False
    marks: Mapping[int, Sequence[Range]] = field(default_factory=dict)
    version: int = 0
    is_folded: bool = False


class TextView(BlockView[TextChunk]):
    """Wraps only what is in sight, so that a text of many megabytes opens at once."""

    STICKS_TO_END = False

    def show(self, text: str, *, is_diff: bool = False, has_word_marks: bool = False) -> None:
        """Replace the text; starts at its top. In a diff `has_word_marks` marks the words that changed."""
        self.clear()
        lines = expand_tabs(text).split("\n")
        marks = changed_words(lines) if is_diff and has_word_marks else {}
        for index, start in enumerate(range(0, len(lines), CHUNK_LINES)):
            end = start + CHUNK_LINES
            own = {line - start: ranges for line, ranges in marks.items() if start <= line < end}
            self.put(index, TextChunk(str(start), lines[start:end], is_diff, own))
        self.commit()
        self.scroll_to(y=0, animate=False, force=True)

    def estimate(self, item: TextChunk, width: int, is_folded: bool) -> int:
        """At least a row for each line."""
        return sum(1 + max(0, len(line) - 1) // width for line in item.lines)

    def draw(self, item: TextChunk, width: int, is_folded: bool) -> Rows:
        """Each line wrapped; lines of a diff coloured by their mark."""
        rows = Rows()
        base = self.style_of("text")
        for place, line in enumerate(item.lines):
            spans = self._diff_spans(line, item.marks.get(place, ())) if item.is_diff else [(line, base)]
            for number, row in enumerate(wrap_spans(spans, width)):
                rows.add(make_strip(row, width, base), joins=number > 0)
        return rows

    def _diff_spans(self, line: str, marks: Sequence[Range]) -> list[Span]:
        style = self.style_of(_diff_tone(line))
        if not marks:
            return [(line, style)]
        marked = self.style_of("word-added" if line.startswith("+") else "word-removed")
        spans: list[Span] = []
        at = 0
        for start, end in marks:
            spans += [(line[at:start], style), (line[start:end], marked)]
            at = end
        return [*spans, (line[at:], style)]


def _diff_tone(line: str) -> str:
    if line.startswith(("+++", "---", "diff ", "index ")):
        return "strong"
    return {"+": "good", "-": "error", "@": "accent"}.get(line[:1], "text")
