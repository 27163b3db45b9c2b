"""Breaking text into rows of a terminal, by cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from rich.cells import cell_len, get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Span: TypeAlias = tuple[str, Style]
TAB_SIZE = 4


def expand_tabs(text: str) -> str:
    """Tabs as spaces: a terminal's own tab stops would break the columns."""
    return text.expandtabs(TAB_SIZE) if "\t" in text else text


def cells(text: str) -> int:
    """How many cells `text` takes; the plain case costs nothing."""
    return len(text) if text.isascii() else cell_len(text)


def wrap_offsets(text: str, width: int) -> list[tuple[int, int]]:
    """Ranges of `text` that each fit into `width` cells, broken at spaces where there are any.

    The spaces at a break belong to no range. Linear in the length of `text`; there is at least one range.
    """
    if width < 1:
        return [(0, len(text))]
    if text.isascii():
        return _wrap_ascii(text, width)
    return _wrap_cells(text, width)


def _wrap_ascii(text: str, width: int) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    start, size = 0, len(text)
    while size - start > width:
        cut = text.rfind(" ", start + 1, start + width + 1)
        if cut <= start or not text[start:cut].strip(" "):
            ranges.append((start, start + width))
            start += width
            continue
        ranges.append((start, cut))
        start = cut + 1
    ranges.append((start, size))
    return ranges


def _wrap_cells(text: str, width: int) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    start = used = 0
    last_space = -1
    for index, character in enumerate(text):
        size = get_character_cell_size(character)
        if used + size > width and index > start:
            if character == " ":
                ranges.append((start, index))
                start, used, last_space = index + 1, 0, -1
                continue
            if last_space > start:
                ranges.append((start, last_space))
                start = last_space + 1
                used = sum(map(get_character_cell_size, text[start:index]))
            else:
                ranges.append((start, index))
                start, used = index, 0
            last_space = -1
        if character == " ":
            last_space = index
        used += size
    ranges.append((start, len(text)))
    return ranges


def wrap_spans(spans: Sequence[Span], width: int) -> list[list[Span]]:
    """Styled text as rows of at most `width` cells; newlines in it end a row."""
    rows: list[list[Span]] = []
    for line in split_spans(spans):
        text = "".join(part for part, _ in line)
        rows.extend(slice_spans(line, start, end) for start, end in wrap_offsets(text, width))
    return rows


def split_spans(spans: Iterable[Span]) -> list[list[Span]]:
    """Styled text cut at its newlines."""
    lines: list[list[Span]] = [[]]
    for text, style in spans:
        first, *rest = text.split("\n")
        if first:
            lines[-1].append((first, style))
        lines.extend([(part, style)] if part else [] for part in rest)
    return lines


def slice_spans(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """The characters from `start` to `end` of styled text."""
    out: list[Span] = []
    position = 0
    for text, style in spans:
        if position >= end:
            break
        low, high = max(start - position, 0), min(end - position, len(text))
        if low < high:
            out.append((text[low:high], style))
        position += len(text)
    return out


def truncate(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis where something was cut."""
    if len(text) <= width and cells(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    used = 0
    for index, character in enumerate(text):
        used += get_character_cell_size(character)
        if used > width - 1:
            return text[:index] + "…"
    return text


def make_strip(spans: Iterable[Span], width: int, base: Style) -> Strip:
    """One row exactly `width` cells wide, padded in the `base` style."""
    segments = [Segment(text, style) for text, style in spans if text]
    used = sum(cells(segment.text) for segment in segments)
    if used < width:
        segments.append(Segment(" " * (width - used), base))
    strip = Strip(segments, max(used, width))
    return strip if used <= width else strip.crop(0, width)


@dataclass(slots=True)
class Rows:
    """Finished rows: `joins` says which go on with the line of the row before, `gutters` what copying skips.

    Kept as segments, each row with its width: a strip brings 1 KB of caches, which only rows in sight can use.
    """

    segments: list[tuple[tuple[Segment, ...], int]] = field(default_factory=list)
    joins: list[bool] = field(default_factory=list)
    gutters: list[int] = field(default_factory=list)

    def add(self, strip: Strip, *, gutter: int = 0, joins: bool = False) -> None:
        """Append a row; the first `gutter` characters are decoration."""
        self.segments.append((tuple(strip), strip.cell_length))
        self.gutters.append(gutter)
        self.joins.append(joins)

    def strip(self, row: int) -> Strip:
        """A row, to be painted."""
        segments, width = self.segments[row]
        return Strip(segments, width)

    def cut(self, start: int) -> None:
        """Drop the rows from `start` on."""
        del self.segments[start:], self.joins[start:], self.gutters[start:]

    def __len__(self) -> int:
        return len(self.segments)
