"""How fast the model writes over how full its context is."""

from __future__ import annotations

from textual.strip import Strip

from agentui_widgets.chart import DepthCurve, depth_strips
from agentui_widgets.toned import Toned


class DepthChart(Toned):
    """The curve in all the room there is; it is drawn only when it or the room changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._curve = DepthCurve((), ())
        self._strips: list[Strip] = []
        self._key: tuple[int, int] | None = None

    def show(self, curve: DepthCurve) -> None:
        """Set the curve; free when it is the same."""
        if curve == self._curve:
            return
        self._curve, self._key = curve, None
        self.refresh()

    def notify_style_update(self) -> None:
        """Draw it in the new colours."""
        super().notify_style_update()
        self._key = None

    def render_line(self, y: int) -> Strip:
        """One row of the chart."""
        width, height = self.content_size
        base = self.get_component_rich_style("rows--text")
        if self._key != (width, height):
            self._key = (width, height)
            style = self.get_component_rich_style("gauge--curve")
            self._strips = depth_strips(self._curve, width, height, style)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, base)
