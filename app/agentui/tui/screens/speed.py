"""Speed over the depth of the context, for the whole session: the curve that tells when to compact."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from agentui.tui.present_depth import depth_curve, depth_rows
from agentui.tui.screens.overlay import Overlay
from agentui.view.gauges import Gauges
from agentui_widgets.depth_chart import DepthChart
from agentui_widgets.footer import FooterBar
from agentui_widgets.line_bar import Fact, FactRows, TitleBar

_LOOK_S = 1.0


class SpeedScreen(Overlay[None]):
    """Follows the session while it is open; Esc closes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Close")]

    def __init__(self, gauges: Gauges) -> None:
        super().__init__()
        self._gauges = gauges

    def compose(self) -> ComposeResult:
        """Title, curve, the same in words, keys."""
        yield TitleBar(id="speed-title")
        yield DepthChart(id="speed-chart")
        yield FactRows(id="speed-rows")
        yield FooterBar(id="speed-footer")

    def on_mount(self) -> None:
        """Fill in, and look again every second."""
        words = "Decode speed over the depth of the context"
        self.query_one("#speed-title", TitleBar).show([Fact(words, "text", 0)])
        self.query_one("#speed-footer", FooterBar).show([Fact("esc close", "dim", 0)])
        self._look()
        self.set_interval(_LOOK_S, self._look)

    def _look(self) -> None:
        self.query_one(DepthChart).show(depth_curve(self._gauges))
        self.query_one("#speed-rows", FactRows).show(depth_rows(self._gauges))

    def action_close(self) -> None:
        """Back to the dashboard."""
        self.dismiss()
