"""Small line charts as SVG text, for exports: our own numbers and words only, and no script."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentui.text import clock_time

WIDTH, HEIGHT = 720, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 12, 24, 24
_POINTS = 500
COLOURS = 4
"""Lines get the classes ``l0``, ``l1``, … in turn; the page's style gives them their colours."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One named line of a chart."""

    name: str
    points: Sequence[Point]


def line_chart(title: str, lines: Sequence[Line], last_s: float, words: Callable[[float], str]) -> str:
    """An ``<svg>`` of values over the seconds from 0 to `last_s`; empty without a point.

    `words` writes a value with its unit.
    """
    shown = [Line(line.name, thinned(line.points)) for line in lines if line.points]
    if not shown:
        return ""
    last_s = max(last_s, *(t_s for line in shown for t_s, _ in line.points))
    top = max(value for line in shown for _, value in line.points)
    scale = 1 / top if top > 0 else 0.0
    room_x, room_y = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(point: Point) -> str:
        x = _LEFT + room_x * (point[0] / (last_s or 1.0))
        y = _TOP + room_y * (1 - max(0.0, point[1] * scale))
        return f"{x:.1f},{y:.1f}"

    floor = HEIGHT - _BOTTOM
    parts = [
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<title>{html.escape(title)}</title>",
        f'<text x="{_LEFT}" y="14" class="t">{html.escape(title)}</text>',
        f'<line x1="{_LEFT}" y1="{floor}" x2="{WIDTH - _RIGHT}" y2="{floor}" class="a"/>',
        f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{floor}" class="a"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{html.escape(words(top))}</text>',
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
        f'<text x="{_LEFT}" y="{HEIGHT - 6}">{clock_time(0)}</text>',
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{clock_time(last_s)}</text>',
    ]
    for number, line in enumerate(shown):
        colour = f"l{number % COLOURS}"
        x = WIDTH - _RIGHT - 130 * (len(shown) - 1 - number)
        name = html.escape(line.name)
        parts.append(f'<text x="{x}" y="14" text-anchor="end" class="{colour}">{name}</text>')
        points = " ".join(place(point) for point in line.points)
        parts.append(f'<polyline points="{points}" class="{colour}"/>')
    return "".join([*parts, "</svg>"])


def thinned(points: Sequence[Point], most: int = _POINTS) -> list[Point]:
    """At most `most` points: of each stretch the highest, so that no peak is lost."""
    step = -(-len(points) // most)
    if step <= 1:
        return list(points)
    return [max(points[at : at + step], key=lambda p: p[1]) for at in range(0, len(points), step)]
