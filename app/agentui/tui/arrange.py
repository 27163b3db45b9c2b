"""Where the panes stand: four layouts that follow width and height, as plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from textual.containers import Container
from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from agentui.frozen import frozen

LayoutKind = Literal["wide", "tall", "short", "one"]
Pane = Literal["transcript", "gauges", "tools", "changes"]
PANES: tuple[Pane, ...] = ("transcript", "tools", "gauges", "changes")
LAYOUTS: tuple[LayoutKind, ...] = ("wide", "tall", "short", "one")
GAUGE_ROWS = 7
"""Title and six rows of figures."""
MAX_CHANGES = 9


EDGE_ROWS = 2
"""Rows of the terminal that are none of the panes': header and footer."""
# A layout that cannot fit shows one pane. What is typed counts for nothing: panes must not come and go with it.
_LEAST: dict[LayoutKind, tuple[int, int]] = {
    "wide": (90, 20),
    "tall": (50, 28),
    "short": (120, 8),
    "one": (10_000, 0),
}


@frozen
class Wants:
    """How many rows the parts of variable height would like; `zoom` shows one pane alone."""

    prompt_rows: int = 2
    changes: int = 0
    tools: int = 0
    zoom: Pane | None = None


def layout_for(width: int, height: int) -> LayoutKind:
    """The layout for a terminal of that size."""
    if width >= 150 and height < 24:
        return "short"
    if width >= 110 and height >= 24:
        return "wide"
    if height >= 34:
        return "tall"
    return "one"


def arrange(kind: LayoutKind, width: int, height: int, wants: Wants) -> dict[str, Region]:
    """A region for every pane that is shown, and for the prompt; together they fill the space."""
    prompt = min(height, max(2, min(wants.prompt_rows, height - 3)))
    least_width, least_height = _LEAST[kind]
    if wants.zoom is not None or width < least_width or height < least_height:
        return {
            wants.zoom or "transcript": Region(0, 0, width, height - prompt),
            "prompt": Region(0, height - prompt, width, prompt),
        }
    if kind == "wide":
        return _wide(width, height, prompt, wants)
    if kind == "tall":
        return _tall(width, height, prompt, wants)
    return _short(width, height, prompt, wants)


def _wide(width: int, height: int, prompt: int, wants: Wants) -> dict[str, Region]:
    left = max(60, width * 11 // 20)
    side, x = width - left - 1, left + 1
    changes = _changes_rows(wants, height // 4)
    gauges = max(GAUGE_ROWS, min(18, (height - changes) // 2))
    return {
        "transcript": Region(0, 0, left, height - prompt),
        "prompt": Region(0, height - prompt, left, prompt),
        "gauges": Region(x, 0, side, gauges),
        "tools": Region(x, gauges, side, height - gauges - changes),
        "changes": Region(x, height - changes, side, changes),
    }


def _tall(width: int, height: int, prompt: int, wants: Wants) -> dict[str, Region]:
    prompt = min(prompt, height - GAUGE_ROWS - 7)
    left = height - GAUGE_ROWS - prompt
    changes = _changes_rows(wants, min(5, left - 6))
    tools = max(2, min(9, left - changes - 5))
    transcript = left - tools - changes
    y = GAUGE_ROWS + transcript
    return {
        "gauges": Region(0, 0, width, GAUGE_ROWS),
        "transcript": Region(0, GAUGE_ROWS, width, transcript),
        "tools": Region(0, y, width, tools),
        "changes": Region(0, y + tools, width, changes),
        "prompt": Region(0, height - prompt, width, prompt),
    }


def _short(width: int, height: int, prompt: int, wants: Wants) -> dict[str, Region]:
    left = width * 2 // 5
    middle = min(64, width * 3 // 10)
    x = left + 1 + middle + 1
    right = width - x
    changes = _changes_rows(wants, max(1, height // 3))
    return {
        "transcript": Region(0, 0, left, height - prompt),
        "prompt": Region(0, height - prompt, left, prompt),
        "gauges": Region(left + 1, 0, middle, height),
        "tools": Region(x, 0, right, height - changes),
        "changes": Region(x, height - changes, right, changes),
    }


def _changes_rows(wants: Wants, most: int) -> int:
    """The title alone while nothing changed."""
    return max(1, min(1 + wants.changes, most, MAX_CHANGES))


class DashboardLayout(Layout):
    """Textual's side of `arrange`: children are found by their id, what has no region is not shown."""

    name: ClassVar[str] = "dashboard"

    def __init__(self, regions: Callable[[Size], Mapping[str, Region]]) -> None:
        self._regions = regions

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Place the children; their visibility is the screen's business."""
        regions = self._regions(size)
        placements: ArrangeResult = []
        for child in children:
            region = regions.get(child.id or "")
            if region is not None:
                placements.append(WidgetPlacement(region, NULL_OFFSET, Spacing(), child))
        return placements


class Body(Container):
    """The container of the panes. Textual's styles take only its own layouts by name, hence the property."""

    def __init__(self, regions: Callable[[Size], Mapping[str, Region]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._dashboard_layout = DashboardLayout(regions)

    @property
    def layout(self) -> Layout:
        """The dashboard's own layout."""
        return self._dashboard_layout

    def place_again(self) -> None:
        """Ask for the regions anew.

        A widget's own `refresh` with ``layout`` forgets where its ancestors put things and keeps where it put
        its children itself, so the request has to come from one of those.
        """
        for child in self.children[:1]:
            child.refresh(layout=True)
