"""Decode speed over the depth of the context: the points, and the same in words."""

from __future__ import annotations

from agentui.text import human_context, human_percent, human_rate, human_tokens, plural
from agentui.view.gauges import DepthPoint, Gauges
from agentui_widgets.chart import DepthCurve
from agentui_widgets.line_bar import Fact

_MOST_BANDS = 8
_BANDS = (1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)


def depth_curve(gauges: Gauges) -> DepthCurve:
    """A point for each answer that was long enough."""
    points = gauges.depths
    return DepthCurve(
        tuple(point.depth_tokens for point in points), tuple(point.decode_tok_per_s for point in points)
    )


def depth_rows(gauges: Gauges) -> list[list[Fact]]:
    """Means by bands of depth, and how the deepest compares with the fastest."""
    points = list(gauges.depths)
    if not points:
        return [[Fact("no answer was long enough yet: one needs 16 tokens", "dim", 0)]]
    if len(points) == 1:
        only = points[0]
        words = f"{human_rate(only.decode_tok_per_s)} tok/s at {human_tokens(only.depth_tokens)} tokens"
        return [[Fact(f"one answer so far: {words}; a curve needs two", "dim", 0)]]
    bands = _banded(points)
    rows = [_band_row(low, high, inside) for low, high, inside in bands]
    fastest = max(_mean(inside) for _, _, inside in bands)
    deepest = _mean(bands[-1][2])
    share = deepest / fastest if fastest else None
    words = f"at the deepest {human_rate(deepest)} tok/s, {human_percent(share)} of the fastest"
    tone = "warning" if share is not None and share < 0.7 else "text"
    hint = "; /compact makes room, which is faster" if tone == "warning" else ""
    return [*rows, [Fact(words + hint, "warning" if tone == "warning" else "text", 0)]]


def _banded(points: list[DepthPoint]) -> list[tuple[int, int, list[DepthPoint]]]:
    """The points in bands of equal width, without empty ones; as narrow as `_MOST_BANDS` allow."""
    deepest = max(point.depth_tokens for point in points)
    width = next((band for band in _BANDS if deepest // band < _MOST_BANDS), _BANDS[-1])
    inside: dict[int, list[DepthPoint]] = {}
    for point in points:
        inside.setdefault(point.depth_tokens // width, []).append(point)
    return [(place * width, (place + 1) * width, inside[place]) for place in sorted(inside)]


def _band_row(low: int, high: int, inside: list[DepthPoint]) -> list[Fact]:
    return [
        Fact(f"{human_context(low) if low else '0'} to {human_context(high)}".ljust(14), "dim", 0),
        Fact(f"{human_rate(_mean(inside))} tok/s".rjust(14), "text", 0),
        Fact(plural(len(inside), "answer"), "dim", 1),
    ]


def _mean(points: list[DepthPoint]) -> float:
    return sum(point.decode_tok_per_s for point in points) / len(points)
