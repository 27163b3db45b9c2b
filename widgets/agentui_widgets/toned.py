"""Parts of a widget that the style sheets name, looked up when they are first drawn."""

from __future__ import annotations

from textual.css.styles import RenderStyles
from textual.dom import DOMNode
from textual.widget import Widget


class Toned(Widget):
    """A widget drawn in the styles of components such as ``rows--dim``, without a list of them.

    Textual applies the style sheets to each name in ``COMPONENT_CLASSES`` of each widget, twice, before the
    first frame, at 0.3 ms each: a dozen widgets with up to twenty names would be a good part of the start.
    """

    def on_mount(self) -> None:
        """Follow changes of the theme."""
        self.app.theme_changed_signal.subscribe(self, self._forget_tones)

    def _forget_tones(self, _theme: object) -> None:
        self._component_styles.clear()
        self.notify_style_update()
        self.refresh()

    def get_component_styles(self, *names: str) -> RenderStyles:
        """The styles of components; the sheets are applied for each name once."""
        for name in names:
            if name not in self._component_styles:
                # as `Stylesheet` does it for the names that a class lists
                part = DOMNode(classes=name)
                part._attach(self)
                self.app.stylesheet.apply(part, animate=False)
                self._component_styles[name] = part.styles
        return super().get_component_styles(*names)
