"""A scrolling view of many blocks of rows that stays cheap however long it gets.

One line-API widget: blocks are drawn when they come into sight, their rows cached by key, version and width,
and only the newest few thousand rows kept. What is out of sight has an estimated height. Nothing is mounted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from agentui_widgets.block_item import BlockChosen, BlockItem
from agentui_widgets.column import Column, DrawnAs, RowCache, Slot
from agentui_widgets.toned import Toned
from agentui_widgets.wrapping import Rows

_REVERSE = Style(reverse=True)
SCROLL_STEP_ROWS = 6
"""While text grows at the end, the view scrolls by so many rows at once."""
# mypy and pyright read a reactive of a class differently; `Any` satisfies both
_VIRTUAL_SIZE: Any = Widget.virtual_size


ItemT = TypeVar("ItemT", bound=BlockItem)


class BlockView(Toned, ScrollView, Generic[ItemT], can_focus=True):
    """Base of the transcript and the tool log. Subclasses draw one block; this class places and scrolls them.

    `put` collects, `commit` shows: call `commit` once for many `put`s. The view stays at the end while it is
    there; a user who scrolled up is left alone.
    """

    DEFAULT_CSS = """
    BlockView { overflow-y: scroll; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    STICKS_TO_END: ClassVar[bool] = True
    """Whether the view starts at its end and stays there; a list starts at its top."""
    HAS_CURSOR: ClassVar[bool] = False
    """Whether Up and Down choose a block instead of scrolling; Enter then activates it."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "activate", "Open", show=False)]

    class Activated(Message):
        """A block was clicked, or chosen with Enter."""

        def __init__(self, view: Widget, key: str, *, is_click: bool) -> None:
            super().__init__()
            self.view = view
            self.key = key
            self.is_click = is_click

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._column: Column[ItemT] = Column()
        self._drawn = RowCache()
        self._toggled: set[str] = set()
        self._styles: dict[str, Style] = {}
        self._must_repaint = False
        self._stale_row: int | None = None
        self._row_width = 1
        self._follows = self.STICKS_TO_END
        self._cursor: int | None = None

    # --- for subclasses

    def draw(self, item: ItemT, width: int, is_folded: bool) -> Rows:
        """All rows of a block, each exactly `width` cells."""
        raise NotImplementedError

    def estimate(self, item: ItemT, width: int, is_folded: bool) -> int:
        """About how many rows `draw` will give; must be cheap."""
        raise NotImplementedError

    def margin_between(self, before: ItemT, item: ItemT) -> int:
        """Empty rows above `item`."""
        return 0

    def grow(self, before: ItemT, item: ItemT, rows: Rows, width: int) -> int | None:
        """Update `rows` in place from `before` to `item`; returns the first changed row.

        ``None`` when the block must be drawn anew.
        """
        return None

    @property
    def is_growing(self) -> bool:
        """Whether rows are being added at the end all the time."""
        return False

    def style_of(self, name: str) -> Style:
        """The style of a component ``rows--name`` on this widget's background."""
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self.get_component_rich_style(f"rows--{name}")
        return style

    # --- content

    @property
    def block_count(self) -> int:
        """How many blocks there are."""
        return len(self._column.slots)

    @property
    def follows_end(self) -> bool:
        """True while new rows pull the view along."""
        return self._follows

    def item(self, index: int) -> ItemT:
        """The block at a place."""
        return self._column.slots[index].item

    def put(self, index: int, item: ItemT) -> None:
        """Set the block at `index`, or append it when `index` is one past the last."""
        width = self._row_width
        if index == self.block_count:
            before = self._column.slots[-1].item if self._column.slots else None
            margin = 0 if before is None else self.margin_between(before, item)
            height = self.estimate(item, width, self.is_folded(item))
            self._stale_from(self._column.height)
            self._column.add(Slot(item, margin, height))
            return
        slot = self._column.slots[index]
        before, slot.item = slot.item, item
        if self._grown_in_place(slot, before, item, index):
            return
        if index > 0:
            slot.margin = self.margin_between(self._column.slots[index - 1].item, item)
        self._stale_from(self._column.top_of(index))
        slot.is_measured = False
        slot.height = self.estimate(item, width, self.is_folded(item))
        self._column.touch(index)

    def commit(self) -> None:
        """Show everything that was put; costs as much as changed and is in sight."""
        if self._stale_row is None and not self._must_repaint:
            return
        old_end = self._column.height
        self._place()
        stale, self._stale_row = self._stale_row, None
        if self._must_repaint or stale is None:
            self._must_repaint = False
            self.refresh()
            return
        top = self.scroll_offset.y
        end = min(max(old_end, self._column.height), top + self.size.height)
        if max(stale, top) < end:
            self.refresh_lines(max(stale, top), end - max(stale, top))

    def _stale_from(self, row: int) -> None:
        self._stale_row = row if self._stale_row is None else min(row, self._stale_row)

    def clear(self) -> None:
        """Remove all blocks."""
        self._column.clear()
        self._toggled.clear()
        self._cursor = None
        self._drawn.clear()
        self._must_repaint = True
        self.commit()

    # --- choosing

    @property
    def cursor_item(self) -> ItemT | None:
        """The chosen block; while nothing was chosen the last one, in a list the first."""
        if not self._column.slots:
            return None
        return self._column.slots[min(self._cursor_place, self.block_count - 1)].item

    @property
    def _cursor_place(self) -> int:
        if self._cursor is None:
            return self.block_count - 1 if self.STICKS_TO_END else 0
        return self._cursor

    def action_scroll_up(self) -> None:
        """Choose the block before, or scroll."""
        self._move(-1) if self.HAS_CURSOR else super().action_scroll_up()

    def action_scroll_down(self) -> None:
        """Choose the block after, or scroll."""
        self._move(1) if self.HAS_CURSOR else super().action_scroll_down()

    def action_activate(self) -> None:
        """Open the chosen block."""
        if self.HAS_CURSOR and (item := self.cursor_item) is not None:
            self.post_message(self.Activated(self, item.key, is_click=False))

    def _move(self, step: int) -> None:
        if not self._column.slots:
            return
        self._cursor = max(0, min(self._cursor_place + step, self.block_count - 1))
        self.post_message(BlockChosen(self, self._column.slots[self._cursor].item.key))
        top = self._column.tops[self._cursor]
        height = self.scrollable_content_region.height
        if not self.scroll_offset.y <= top < self.scroll_offset.y + height:
            self.scroll_to(y=top if step < 0 else top - height + 1, animate=False, force=True)
        self.refresh()

    def on_focus(self) -> None:
        """Show the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.refresh()

    # --- folding

    def is_folded(self, item: ItemT) -> bool:
        """Whether a block is folded now."""
        return item.is_folded != (item.key in self._toggled)

    def toggle(self, key: str) -> None:
        """Fold or unfold one block."""
        self._toggled ^= {key}
        self._remeasure(lambda item: item.key == key)

    def set_all_folded(self, is_folded: bool) -> None:
        """Fold or unfold all blocks."""
        self._toggled = {s.item.key for s in self._column.slots if s.item.is_folded != is_folded}
        self._remeasure(lambda item: True)

    def _remeasure(self, concerns: Callable[[ItemT], bool]) -> None:
        width = self._row_width
        self._must_repaint = True
        for index, slot in enumerate(self._column.slots):
            if concerns(slot.item):
                slot.is_measured = False
                slot.height = self.estimate(slot.item, width, self.is_folded(slot.item))
                self._column.touch(index)
        self.commit()

    # --- placing

    def _drawn_as(self, item: ItemT) -> DrawnAs:
        return DrawnAs(item.version, self._row_width, self.is_folded(item))

    def _grown_in_place(self, slot: Slot[ItemT], before: ItemT, item: ItemT, index: int) -> bool:
        cached = self._drawn.get(item.key)
        if cached is None or not slot.is_measured or cached[0] != self._drawn_as(before):
            return False
        rows = cached[1]
        first = self.grow(before, item, rows, self._row_width)
        if first is None:
            return False
        self._drawn.put(item.key, self._drawn_as(item), rows)
        self._stale_from(self._column.top_of(index) + slot.margin + first)
        if len(rows) != slot.height:
            slot.height = len(rows)
            self._column.touch(index)
        return True

    def _place(self) -> None:
        """Bring the places up to date, draw what is in sight, and stay at the end if we were there."""
        if not self.is_attached or not self.size.height:
            return
        self._column.settle()
        while self._measure_in_sight():  # each round measures a block more at least, so it ends
            self._must_repaint = True
            self._column.settle()
        height = self._column.height
        if self._follows and self.is_growing:
            # scrolling paints every row in sight, a row more at the end only itself: scroll by some at a time
            height = -(-height // SCROLL_STEP_ROWS) * SCROLL_STEP_ROWS
        size = Size(self._row_width, max(height, self.scrollable_content_region.height))
        if self.virtual_size != size:
            # Setting `virtual_size` plainly lays the whole screen out again; the scroll bar is always there,
            # so its size is all that changes.
            self.set_reactive(_VIRTUAL_SIZE, size)
            self._scroll_update(size)
        if self._follows and round(self.scroll_y) != self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def _measure_in_sight(self) -> bool:
        """Draw unmeasured blocks in sight; True when a height turned out to be another."""
        column = self._column
        height = self.scrollable_content_region.height
        top = max(0, column.height - height) if self._follows else self.scroll_offset.y
        index = column.index_at(top)
        while index < self.block_count and column.tops[index] < top + height:
            slot = column.slots[index]
            if not slot.is_measured:
                rows = self._rows_of(slot)
                slot.is_measured = True
                if len(rows) != slot.height:
                    slot.height = len(rows)
                    column.touch(index)
            index += 1
        return column.is_stale

    def _rows_of(self, slot: Slot[ItemT]) -> Rows:
        wanted = self._drawn_as(slot.item)
        cached = self._drawn.get(slot.item.key)
        if cached is not None and cached[0] == wanted:
            return cached[1]
        rows = self.draw(slot.item, wanted.width, wanted.is_folded)
        self._drawn.put(slot.item.key, wanted, rows)
        return rows

    # --- Textual's side

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Note whether the view is at its end, and measure what came into sight."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = self.STICKS_TO_END and round(new_value) >= self.max_scroll_y
        if not self._follows and self.block_count and not self._column.is_stale:
            self._place()

    def on_resize(self, event: events.Resize) -> None:
        """Wrap again for the new width, what is in sight first."""
        self._row_width = max(1, self.scrollable_content_region.width)
        if self._row_width != self.virtual_size.width:
            self._remeasure(lambda item: True)
        self._must_repaint = True
        self.commit()

    def notify_style_update(self) -> None:
        """Throw away rows drawn with the old colours."""
        super().notify_style_update()
        if hasattr(self, "_drawn"):
            self._drawn.clear()
            self._styles.clear()
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Post `Activated` for the block under the mouse."""
        place = self._column.locate(event.y + self.scroll_offset.y)
        if place is not None and not self.screen.get_selected_text():
            self.post_message(self.Activated(self, self._column.slots[place[0]].item.key, is_click=True))

    def render_line(self, y: int) -> Strip:
        """One row in sight."""
        width = self._row_width
        line = y + self.scroll_offset.y
        place = self._column.locate(line)
        if place is None:
            return Strip.blank(width, self.style_of("text"))
        rows = self._rows_of(self._column.slots[place[0]])
        if place[1] >= len(rows):
            return Strip.blank(width, self.style_of("text"))
        strip = rows.strip(place[1])
        if self.HAS_CURSOR and place[1] == 0 and self.has_focus and place[0] == self._cursor_place:
            strip = Strip(strip.apply_style(_REVERSE))
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(line)) is not None:
            strip = self._selected(strip, span)
        return strip.apply_offsets(0, line)

    def _selected(self, strip: Strip, span: tuple[int, int]) -> Strip:
        text = strip.text
        start, end = span
        end = len(text) if end == -1 else min(end, len(text))
        low, high = cell_len(text[:start]), cell_len(text[:end])
        chosen = self.screen.get_component_rich_style("screen--selection")
        style = Style(bgcolor=chosen.bgcolor, reverse=chosen.reverse)
        # Over the text's own style, which has a background too; the text keeps its colour.
        marked = Strip(Segment.apply_style(strip.crop(low, high), post_style=style))
        return Strip.join([strip.crop(0, low), marked, strip.crop(high, strip.cell_length)])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text as it was written: without gutters, wrapped rows joined again."""
        if not self._column.slots:
            return None
        first = 0 if selection.start is None else selection.start.y
        last = self._column.height - 1 if selection.end is None else selection.end.y
        out: list[str] = []
        for y in range(max(0, first), min(last, self._column.height - 1) + 1):
            span = selection.get_span(y)
            place = self._column.locate(y)
            if span is None or place is None:
                out.append("\n" if out else "")
                continue
            rows = self._rows_of(self._column.slots[place[0]])
            if place[1] >= len(rows):
                continue
            text = rows.strip(place[1]).text
            start, end = span
            shown = text[max(start, rows.gutters[place[1]]) : None if end == -1 else end].rstrip()
            joint = " " if rows.joins[place[1]] else "\n"
            out.append((joint if out else "") + shown)
        return "".join(out), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Repaint what is in sight."""
        self.refresh()
