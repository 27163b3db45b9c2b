"""A curve over time in braille, drawn by plotext."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

MIN_HEIGHT = 4
MIN_WIDTH = 20


class Curve(NamedTuple):
    """Points in time order: seconds and values.

    `top` is the upper end of the axis, ``None`` for the highest value; `unit` stands behind its figure.
    """

    seconds: Sequence[float]
    values: Sequence[float]
    top: float | None = None
    unit: str = ""


class DepthCurve(NamedTuple):
    """Speeds in tokens per second at depths of the context in tokens, in any order."""

    depths: Sequence[int]
    speeds: Sequence[float]


def chart_strips(curve: Curve, width: int, height: int, style: Style) -> list[Strip]:
    """The curve as `height` rows; empty with fewer than two points or too little room. Costs some 6 ms."""
    if len(curve.values) < 2 or width < MIN_WIDTH or height < MIN_HEIGHT:
        return []
    last = curve.seconds[-1]
    minutes = [(second - last) / 60 for second in curve.seconds]
    high = curve.top if curve.top else max(curve.values)
    marks = _minute_marks(minutes[0])
    line = _Line(minutes, curve.values, marks, [_ago(mark) for mark in marks], (minutes[0], minutes[-1]))
    return _drawn(line, high if high > 0 else 1.0, curve.unit, width, height, style)


def depth_strips(curve: DepthCurve, width: int, height: int, style: Style) -> list[Strip]:
    """Speed over depth as `height` rows, both from zero up; empty as for `chart_strips`."""
    if len(curve.depths) < 2 or width < MIN_WIDTH or height < MIN_HEIGHT:
        return []
    points = sorted(zip(curve.depths, curve.speeds, strict=True))
    deepest = float(points[-1][0])
    marks = _token_marks(deepest)
    line = _Line(
        [float(depth) for depth, _ in points],
        [speed for _, speed in points],
        marks,
        [f"{mark / 1000:g}k" for mark in marks],
        (0.0, deepest),
    )
    high = max(curve.speeds)
    return _drawn(line, high if high > 0 else 1.0, " tok/s", width, height, style)


class _Line(NamedTuple):
    """One curve to draw; `ends` are those of the horizontal axis."""

    xs: Sequence[float]
    ys: Sequence[float]
    marks: Sequence[float]
    labels: Sequence[str]
    ends: tuple[float, float]


def _drawn(line: _Line, high: float, unit: str, width: int, height: int, style: Style) -> list[Strip]:
    # plotext costs 60 ms to import: only when the first curve is drawn
    import plotext

    figure = plotext.figure
    # the figure is one global: it is drawn and built here without giving way to anything else
    figure.clear.all()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.draw(figure.signal(list(line.xs), list(line.ys), marker="braille").lines())
    figure.axes(False)
    figure.ruler("y").lim(0, high)
    figure.ruler("y").ticks([0, high], [f"{0:.1f}", f"{high:.1f}{unit}"])
    figure.ruler("x").lim(*line.ends)
    figure.ruler("x").ticks(list(line.marks), list(line.labels))
    text = Text.from_ansi(figure.build().string(), no_wrap=True)
    return [_row(row.plain, width, style) for row in text.split("\n", allow_blank=True)[:height]]


def _token_marks(deepest: float) -> list[float]:
    """Round depths from zero to the deepest, not at the very ends."""
    steps = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
    step = next((s for s in steps if s * 6 >= deepest), 100_000)
    return [float(mark) for mark in range(step, int(deepest * 0.95), step)]


def _minute_marks(first: float) -> list[float]:
    """Round minutes between `first` (below zero) and now, not at the very ends."""
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if s * 3 >= -first), 30.0)
    marks: list[float] = []
    mark = -step
    while mark > first * 0.95:
        marks.append(mark)
        mark -= step
    return marks


def _ago(minutes: float) -> str:
    """How long before now, in words that need no arithmetic."""
    return f"{round(-minutes * 60)} s ago" if minutes > -1 else f"{-minutes:g} min ago"


def _row(text: str, width: int, style: Style) -> Strip:
    return Strip([Segment(text[:width].ljust(width), style)], width)
