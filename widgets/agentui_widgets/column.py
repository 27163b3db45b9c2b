"""Blocks of different heights under each other, and the rows drawn for some of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from agentui_widgets.wrapping import Rows

ItemT = TypeVar("ItemT")
CACHED_ROWS = 4000
"""Rows kept drawn; some 1 KB each."""


@dataclass(slots=True)
class Slot(Generic[ItemT]):
    """A block's place: empty rows above it, and its height, which is a guess until it was drawn."""

    item: ItemT
    margin: int
    height: int
    is_measured: bool = False


@dataclass(slots=True)
class Column(Generic[ItemT]):
    """Slots in order with their first rows. Changing one costs as much as there are slots after it."""

    slots: list[Slot[ItemT]] = field(default_factory=list)
    tops: list[int] = field(default_factory=list)
    height: int = 0
    _stale_from: int = 0

    @property
    def is_stale(self) -> bool:
        """True when heights changed since the last `settle`."""
        return self._stale_from < len(self.slots)

    def add(self, slot: Slot[ItemT]) -> None:
        """Append a block."""
        self.touch(len(self.slots))
        self.slots.append(slot)

    def touch(self, index: int) -> None:
        """Say that the height of a block changed."""
        self._stale_from = min(self._stale_from, index)

    def settle(self) -> None:
        """Bring the first rows up to date."""
        start = self._stale_from
        if start >= len(self.slots):
            return
        del self.tops[start:]
        position = 0
        if start > 0:
            before = self.slots[start - 1]
            position = self.tops[start - 1] + before.margin + before.height
        for slot in self.slots[start:]:
            self.tops.append(position)
            position += slot.margin + slot.height
        self.height = position
        self._stale_from = len(self.slots)

    def clear(self) -> None:
        """Remove all blocks."""
        self.slots.clear()
        self.tops.clear()
        self.height = self._stale_from = 0

    def top_of(self, index: int) -> int:
        """The first row of a block's margin; its old one, or the end, while heights are stale."""
        return self.tops[index] if index < len(self.tops) else self.height

    def index_at(self, y: int) -> int:
        """The block that holds the row `y` or the margin there; 0 above all."""
        return max(0, bisect_right(self.tops, y) - 1)

    def locate(self, y: int) -> tuple[int, int] | None:
        """The block and its row at row `y`; ``None`` in a margin or past the end."""
        index = bisect_right(self.tops, y) - 1
        if index < 0 or index >= len(self.slots):
            return None
        slot = self.slots[index]
        row = y - self.tops[index] - slot.margin
        return (index, row) if 0 <= row < slot.height else None


class DrawnAs(NamedTuple):
    """What rows were drawn from: anything else needs other rows."""

    version: int
    width: int
    is_folded: bool


class RowCache:
    """Drawn rows by key; the longest unused go when there are too many."""

    def __init__(self, most_rows: int = CACHED_ROWS) -> None:
        self._most_rows = most_rows
        self._drawn: OrderedDict[str, tuple[DrawnAs, Rows, int]] = OrderedDict()
        self._count = 0

    @property
    def row_count(self) -> int:
        """How many rows are kept."""
        return self._count

    def get(self, key: str) -> tuple[DrawnAs, Rows] | None:
        """What is kept under `key`; counts as used."""
        found = self._drawn.get(key)
        if found is None:
            return None
        self._drawn.move_to_end(key)
        return found[0], found[1]

    def put(self, key: str, drawn_as: DrawnAs, rows: Rows) -> None:
        """Keep rows; also after they grew in place."""
        old = self._drawn.get(key)
        self._count += len(rows) - (old[2] if old is not None else 0)
        self._drawn[key] = (drawn_as, rows, len(rows))
        self._drawn.move_to_end(key)
        while self._count > self._most_rows and len(self._drawn) > 1:
            _, (_, _, size) = self._drawn.popitem(last=False)
            self._count -= size

    def clear(self) -> None:
        """Forget everything."""
        self._drawn.clear()
        self._count = 0
