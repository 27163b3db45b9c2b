"""The gauges: rows of figures, a stacked bar, and a curve where there is room for one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from agentui_widgets.chart import MIN_HEIGHT, Curve, chart_strips
from agentui_widgets.line_bar import Fact, fit
from agentui_widgets.toned import Toned
from agentui_widgets.wrapping import Span, cells, make_strip, truncate

_FILLS = {
    "weights": "█",
    "kv": "▓",
    "checkpoint": "▒",
    "compute": "▚",
    "sandbox": "░",
    "own": "▞",
    "rest": "▪",
}
_WALLS = {"wall": "│", "end": "▐"}


class TextRow(NamedTuple):
    """Facts in one row; `label` stands in a column of its own."""

    facts: tuple[Fact, ...]
    label: str = ""


class BarPart(NamedTuple):
    """A share of the bar, 0..1, named in the legend under it; `name` chooses colour and pattern."""

    name: str
    ratio: float
    text: str


class BarRow(NamedTuple):
    """A stacked bar, as long as all there is: its end is a limit. `wall_ratio` marks another one before it."""

    parts: tuple[BarPart, ...]
    wall_ratio: float | None = None


class LegendRow(NamedTuple):
    """The names and sizes of a bar's parts."""

    parts: tuple[BarPart, ...]


GaugeRow: TypeAlias = TextRow | BarRow | LegendRow
LABEL_WIDTH = 9


class GaugePanel(Toned):
    """Rows above, a curve in whatever height is left, rows below; the curve is drawn only when it changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._above: tuple[GaugeRow, ...] = ()
        self._below: tuple[GaugeRow, ...] = ()
        self._curve = Curve((), ())
        self._chart: list[Strip] = []
        self._chart_key: tuple[int, int] | None = None

    def show(self, above: Sequence[GaugeRow], below: Sequence[GaugeRow]) -> None:
        """Set the rows above and below the curve; only those that look different are drawn again."""
        before, now = (self._above, self._below), (tuple(above), tuple(below))
        if before == now:
            return
        self._above, self._below = now
        if [len(rows) for rows in before] != [len(rows) for rows in now] or not self.size:
            self.refresh()
            return
        for first_y, old, new in zip((0, self._below_y), before, now, strict=True):
            for y, (row, other) in enumerate(zip(old, new, strict=True), first_y):
                if row != other and self._looks_different(row, other):
                    self.refresh(Region(0, y, self.content_size.width, 1))

    def show_curve(self, curve: Curve) -> None:
        """Set the curve; call at most once a second, drawing it costs some 6 ms. Free while out of sight."""
        self._curve = curve
        self._chart_key = None
        self.refresh()

    def notify_style_update(self) -> None:
        """Draw the curve in the new colours."""
        super().notify_style_update()
        self._chart_key = None

    def _chart_strips(self, width: int, height: int) -> list[Strip]:
        """The curve for that room; drawn when it is painted first, so never for a hidden panel."""
        if height < MIN_HEIGHT:
            return []
        if self._chart_key != (width, height):
            self._chart_key = (width, height)
            style = self.get_component_rich_style("gauge--curve")
            self._chart = chart_strips(self._curve, width - 2, height, style)
        return self._chart

    @property
    def _below_y(self) -> int:
        """Where the rows below the curve begin."""
        return max(len(self._above), self.content_size.height - len(self._below))

    def _looks_different(self, row: GaugeRow, other: GaugeRow) -> bool:
        """Whether a cell differs: a bar's share changes with every reading, its cells seldom do."""
        width, base = self.content_size.width, self.get_component_rich_style("rows--text")
        return self._row(row, width, base) != self._row(other, width, base)

    def render_line(self, y: int) -> Strip:
        """One row of the panel."""
        width, height = self.content_size
        base = self.get_component_rich_style("rows--text")
        if y < len(self._above):
            return self._row(self._above[y], width, base)
        below = y - self._below_y
        if 0 <= below < len(self._below):
            return self._row(self._below[below], width, base)
        chart = self._chart_strips(width, height - len(self._above) - len(self._below))
        place = y - len(self._above)
        if place < len(chart):
            return Strip.join([Strip.blank(1, base), chart[place]]).adjust_cell_length(width, base)
        return Strip.blank(width, base)

    def _row(self, row: GaugeRow, width: int, base: Style) -> Strip:
        match row:
            case TextRow():
                return make_strip(self._text_spans(row, width), width, base)
            case BarRow():
                return make_strip(self._bar_spans(row, width), width, base)
            case LegendRow():
                return make_strip(self._legend_spans(row, width), width, base)

    def _text_spans(self, row: TextRow, width: int) -> list[Span]:
        tone = self.get_component_rich_style
        label = row.label.ljust(LABEL_WIDTH) if row.label else ""
        spans: list[Span] = [(f" {label}", tone("rows--dim"))]
        facts, _ = fit(row.facts, (), width - 2 - len(label))
        left = width - 2 - len(label)
        for number, fact in enumerate(facts):
            gap = "  " if number else ""
            text = truncate(fact.text, max(0, left - len(gap)))
            left -= len(gap) + cells(text)
            spans += [(gap, tone("rows--text")), (text, tone(f"rows--{fact.tone}"))]
        return spans

    def _bar_spans(self, row: BarRow, width: int) -> list[Span]:
        room = max(1, width - 2)
        style = self.get_component_rich_style
        names = ["free"] * room
        position = 0.0
        for part in row.parts:
            start, position = position, position + part.ratio * room
            end = max(round(position), round(start) + 1) if part.ratio > 0 else round(start)
            for cell in range(round(start), min(end, room)):
                names[cell] = part.name
        if row.wall_ratio is not None and row.wall_ratio < 1:
            names[min(room - 1, round(row.wall_ratio * room))] = "wall"
        if row.parts:
            names[-1] = "end"
        spans: list[Span] = [(" ", style("rows--text"))]
        for name, run in itertools.groupby(names):
            fill = _WALLS.get(name) or _FILLS.get(name, "─")
            spans.append((fill * len(list(run)), style(f"gauge--{name if name != 'end' else 'wall'}")))
        return spans

    def _legend_spans(self, row: LegendRow, width: int) -> list[Span]:
        style = self.get_component_rich_style
        spans: list[Span] = []
        used = 1
        for part in row.parts:
            text = f"{part.text}"
            if used + cells(text) + 4 > width:
                break
            used += cells(text) + 4
            spans += [(f" {_FILLS.get(part.name, '─')} ", style(f"gauge--{part.name}"))]
            spans += [(f"{text} ", style("rows--text"))]
        return spans
