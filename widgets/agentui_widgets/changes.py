"""The list of changes that wait in the private copy."""

from __future__ import annotations

from typing import NamedTuple

from agentui_widgets.block_view import BlockView
from agentui_widgets.transcript import Tone
from agentui_widgets.wrapping import Rows, cells, make_strip, truncate


class ChangeRow(NamedTuple):
    """One changed path, cleaned for display; `why` says what stands in the way of applying it."""

    key: str
    version: int
    mark: str
    path: str
    counts: str = ""
    why: str = ""
    tone: Tone = "text"
    is_folded: bool = False


class ChangeList(BlockView[ChangeRow]):
    """One row per path; a click or Enter asks for its diff."""

    HAS_CURSOR = True
    STICKS_TO_END = False

    def estimate(self, item: ChangeRow, width: int, is_folded: bool) -> int:
        """Always one row."""
        return 1

    def draw(self, item: ChangeRow, width: int, is_folded: bool) -> Rows:
        """Mark, path, counts, and why it waits."""
        text, dim = self.style_of("text"), self.style_of("dim")
        right = f" {item.counts}" if item.counts else ""
        room = max(4, width - 2 - cells(item.mark) - cells(right))
        why = f"  {item.why}" if item.why else ""
        path = truncate(item.path, room)
        why = truncate(why, max(0, room - cells(path)))
        pad = " " * max(0, room - cells(path) - cells(why))
        style = self.style_of(item.tone)
        spans = [(f" {item.mark} ", style), (path, text if item.tone == "text" else style), (why, style)]
        rows = Rows()
        rows.add(make_strip([*spans, (pad, text), (right, dim)], width, text), gutter=2 + cells(item.mark))
        return rows

    def show(self, rows: list[ChangeRow]) -> None:
        """Replace the list; free when it is the same."""
        kept = [self.item(index) for index in range(self.block_count)]
        if rows == [row._replace(version=0) for row in kept]:
            return
        if [row.key for row in kept] != [row.key for row in rows]:
            self.clear()
            kept = []
        for index, row in enumerate(rows):
            if index >= len(kept):
                self.put(index, row)
            elif kept[index]._replace(version=0) != row:
                # drawn rows are kept by version: what looks different is another one
                self.put(index, row._replace(version=kept[index].version + 1))
        self.commit()

    def reveal(self, index: int) -> None:
        """Scroll just so far that a row is in sight."""
        height = self.scrollable_content_region.height
        if not self.scroll_offset.y <= index < self.scroll_offset.y + height:
            y = index if index < self.scroll_offset.y else index - height + 1
            self.scroll_to(y=y, animate=False, force=True)
