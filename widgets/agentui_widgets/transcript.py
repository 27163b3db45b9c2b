"""The transcript: what was said, thought and done, in one scrolling view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.style import Style
from textual.strip import Strip

from agentui_widgets.block_view import BlockView
from agentui_widgets.growing import GrowingRows
from agentui_widgets.markdown_rows import markdown_lines
from agentui_widgets.wrapping import Rows, Span, cells, expand_tabs, make_strip, truncate, wrap_spans

EntryKind = Literal["user", "agent", "system", "thinking", "call", "notice", "question"]
Tone = Literal["text", "dim", "accent", "good", "warning", "error"]
GUTTER = 7
_HINT_KEY = 9
_COMPACT: frozenset[EntryKind] = frozenset(("call", "notice", "thinking"))


class Entry(NamedTuple):
    """One block of the transcript, already cleaned of terminal control.

    `parts` only grows while `is_open`; `title` is one line above the text (the whole of it when folded);
    `aside` stands at the right end of the title.
    """

    key: str
    kind: EntryKind
    version: int = 0
    label: str = ""
    title: str = ""
    aside: str = ""
    aside_tone: Tone = "dim"
    parts: Sequence[str] = ()
    hint: str = ""
    tone: Tone = "text"
    is_open: bool = False
    is_folded: bool = False


@dataclass(slots=True)
class _Growth:
    """What is known of a block that is still being written."""

    rows: GrowingRows
    used_parts: int
    head_rows: int


class Transcript(BlockView[Entry]):
    """Draws finished answers as Markdown, once; of growing ones only the new text is wrapped."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._growth: dict[str, _Growth] = {}
        self._hints: tuple[tuple[str, str], ...] = ()
        self._hints_at = 0

    def show_hints(self, hints: tuple[tuple[str, str], ...]) -> None:
        """What stands below the blocks while nothing was said: keys and what they do."""
        if hints != self._hints:
            self._hints = hints
            self.refresh()

    def commit(self) -> None:
        """Show what was put; the hints below move with the blocks."""
        super().commit()
        if self._hints and self._hints_at != self._column.height:
            self._hints_at = self._column.height
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row in sight: of a block, or of the hints below the last one."""
        number = y + self.scroll_offset.y - self._column.height - 1
        if not 0 <= number < len(self._hints):
            return super().render_line(y)
        key, words = self._hints[number]
        width = self._row_width
        words = truncate(words, max(1, width - GUTTER - _HINT_KEY))
        spans = [(" " * GUTTER + key.ljust(_HINT_KEY), self.style_of("text")), (words, self.style_of("dim"))]
        return make_strip(spans, width, self.style_of("text"))

    @property
    def is_growing(self) -> bool:
        """While the last block is being written."""
        if not self.block_count:
            return False
        last = self.item(self.block_count - 1)
        return last.is_open and not self.is_folded(last)

    def margin_between(self, before: Entry, item: Entry) -> int:
        """Air around what is said; calls and notices stand close together."""
        is_thought_out = before.kind == "thinking" and item.kind == "agent"
        return 0 if is_thought_out or (before.kind in _COMPACT and item.kind in _COMPACT) else 1

    def estimate(self, item: Entry, width: int, is_folded: bool) -> int:
        """From the length of the text and its line ends."""
        room = max(1, width - GUTTER)
        head = 1 if item.title else 0
        if is_folded:
            return max(1, head)
        rows = sum(len(part) // room + part.count("\n") for part in item.parts)
        return head + rows + (1 if item.parts else 0) + (1 if item.hint else 0)

    def draw(self, item: Entry, width: int, is_folded: bool) -> Rows:
        """All rows of a block."""
        rows = Rows()
        self._draw_title(item, width, is_folded, rows)
        if is_folded:
            return rows
        room = max(1, width - GUTTER)
        if item.is_open:
            growing = GrowingRows(room, is_code=item.kind == "call")
            growth = self._growth[item.key] = _Growth(growing, 0, len(rows))
            self._feed(growth, item, rows, width)
            return rows
        self._growth.pop(item.key, None)
        text = "".join(item.parts).strip("\n")
        if item.kind == "agent":
            for line in markdown_lines(text, room, self.style_of):
                self._add(rows, item, line.spans, width, line.joins)
        elif text:
            self._draw_plain(item, text, width, rows)
        if item.hint:
            for row in wrap_spans([(item.hint, self.style_of("dim"))], room):
                self._add(rows, item, row, width)
        if not rows.segments:
            self._add(rows, item, [], width)
        return rows

    def grow(self, before: Entry, item: Entry, rows: Rows, width: int) -> int | None:
        """Wrap only the parts that are new."""
        growth = self._growth.get(item.key)
        if growth is None or not item.is_open or before.parts is not item.parts or self.is_folded(item):
            return None
        first = self._feed(growth, item, rows, width)
        if item.title and item.title != before.title:
            title = Rows()
            self._draw_title(item, width, False, title)
            rows.segments[0] = title.segments[0]
            return 0
        return first

    # --- parts of a block

    def _draw_title(self, item: Entry, width: int, is_folded: bool, rows: Rows) -> None:
        if not item.title:
            return
        room = max(1, width - GUTTER)
        aside = f"  {item.aside}" if item.aside else ""
        title = truncate(item.title, max(4, room - len(aside)))
        pad = " " * max(0, room - len(aside) - cells(title))
        style = self.style_of(item.tone)
        spans = [(title, style), (pad, style), (aside, self.style_of(item.aside_tone))]
        self._add(rows, item, spans, width)

    def _draw_plain(self, item: Entry, text: str, width: int, rows: Rows) -> None:
        style = self.style_of("code" if item.kind == "call" else _BODY_TONES.get(item.kind, item.tone))
        for line in expand_tabs(text).split("\n"):
            for number, row in enumerate(wrap_spans([(line, style)], max(1, width - GUTTER))):
                self._add(rows, item, row, width, joins=number > 0)

    def _feed(self, growth: _Growth, item: Entry, rows: Rows, width: int) -> int:
        text = "".join(item.parts[growth.used_parts :])
        growth.used_parts = len(item.parts)
        first = growth.rows.feed(text)
        start = growth.head_rows + first
        rows.cut(start)
        is_thinking = item.kind == "thinking"
        for number in range(first, len(growth.rows.texts)):
            kind = "dim" if is_thinking else growth.rows.kinds[number]
            spans: list[Span] = [(growth.rows.texts[number], self.style_of(kind))]
            self._add(rows, item, spans, width, growth.rows.joins[number])
        return start

    def _add(self, rows: Rows, item: Entry, spans: Sequence[Span], width: int, joins: bool = False) -> None:
        label = item.label if not rows.segments else ""
        gutter = (" " + truncate(label, GUTTER - 2).ljust(GUTTER - 1), self._label_style(item))
        rows.add(make_strip([gutter, *spans], width, self.style_of("text")), gutter=GUTTER, joins=joins)

    def _label_style(self, item: Entry) -> Style:
        if item.kind in ("user", "agent"):
            return self.style_of(item.kind)
        return self.style_of("dim" if item.tone == "text" else item.tone)


_BODY_TONES: dict[EntryKind, str] = {"user": "strong", "thinking": "dim", "system": "dim"}
