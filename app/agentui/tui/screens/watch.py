"""The gauges alone: what a server does for all of its clients, and the machine under it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from agentui.tui import present_gauges as figures
from agentui.tui import present_watch as rows
from agentui.tui.bridge import Bridge
from agentui.tui.watch_services import WatchServices
from agentui_widgets.footer import FooterBar
from agentui_widgets.gauges import GaugePanel
from agentui_widgets.header import HeaderBar
from agentui_widgets.line_bar import Fact, FactRows, TitleBar

FIGURES_S = 1.0
"""How often figures change on the screen: eyes cannot follow them faster, and they repaint most of it."""
CURVE_MOVING_S = 2.0


class WatchScreen(Screen[None]):
    """Header, gauges, the server's slots, footer; nothing to type into."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,escape,ctrl+c", "app.quit", "Quit", show=False)]

    class Due(Message):
        """The bridge has events to take."""

    def __init__(self, services: WatchServices) -> None:
        super().__init__(id="watch")
        self._services = services
        self._bridge = Bridge(services, self._wake)
        self._late: Timer | None = None
        self._curve_key: tuple[float, int | None] = (float("-inf"), None)

    def _wake(self) -> None:
        self.post_message(self.Due())

    def compose(self) -> ComposeResult:
        """The rows from above."""
        yield HeaderBar(id="header")
        with Vertical(id="watch-body"):
            yield FactRows(id="trouble")
            yield TitleBar(id="gauges-title")
            yield GaugePanel(id="gauges-view")
            yield TitleBar(id="slots-title")
            yield FactRows(id="slots")
        yield FooterBar(id="footer")

    def on_mount(self) -> None:
        """Listen."""
        self._bridge.open()
        self.paint()

    def on_unmount(self) -> None:
        """Listen no more."""
        self._bridge.close()

    @on(Due)
    def _due(self) -> None:
        self._bridge.take()
        if self._late is None:
            self._late = self.set_timer(FIGURES_S, self._paint_late)
            self.paint()

    def _paint_late(self) -> None:
        self._late = None
        self.paint()

    def paint(self) -> None:
        """Draw everything; widgets that would look the same are left alone."""
        view, services = self._bridge.view, self._services
        self.query_one(HeaderBar).show(*rows.header(view, services))
        self.query_one(FooterBar).show(*rows.footer(view, services))
        self.query_one("#trouble", FactRows).show(rows.trouble_rows(services))
        gauges = view.gauges
        panel = self.query_one(GaugePanel)
        panel.show(figures.rows_above(gauges), figures.rows_below(gauges))
        self.query_one("#gauges-title", TitleBar).show([Fact("Memory")], figures.forecast_facts(gauges))
        slots = rows.slot_rows(services.slots())
        title = self.query_one("#slots-title", TitleBar)
        title.display = bool(slots)
        title.show([Fact("Slots")])
        self.query_one("#slots", FactRows).show(slots)
        if not gauges.kv_history:
            return
        newest = gauges.kv_history[-1]
        drawn_s, filled = self._curve_key
        if newest.filled_bytes != filled and newest.t_s - drawn_s >= CURVE_MOVING_S:
            self._curve_key = (newest.t_s, newest.filled_bytes)
            panel.show_curve(figures.kv_curve(gauges))
