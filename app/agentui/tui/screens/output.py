"""A command's full output, over the dashboard."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from agentui.tui.screens.overlay import Overlay
from agentui_widgets.footer import FooterBar
from agentui_widgets.line_bar import Fact, TitleBar
from agentui_widgets.text_view import TextView


class OutputScreen(Overlay[None]):
    """Shows a text that was cleaned before; Esc closes.

    Args:
        title: What it is the output of; cleaned.
        text: The text; cleaned.
        aside: Facts at the right of the title.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
        Binding("home", "home", "Top"),
        Binding("end", "end", "End"),
    ]

    def __init__(self, title: str, text: str, aside: str = "") -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._aside = aside

    def compose(self) -> ComposeResult:
        """Title, text, keys."""
        yield TitleBar(id="text-title")
        yield TextView(id="text-view")
        yield FooterBar(id="text-footer")

    def on_mount(self) -> None:
        """Fill in and focus the text."""
        aside = [Fact(self._aside, "dim", 2)] if self._aside else []
        self.query_one("#text-title", TitleBar).show([Fact(self._title, "text", 0)], aside)
        keys = [Fact("esc close", "dim", 0), Fact("↑ ↓ page up page down home end", "dim", 1)]
        self.query_one("#text-footer", FooterBar).show(keys)
        view = self.query_one(TextView)
        view.focus()
        self.call_after_refresh(view.show, self._text)

    def action_close(self) -> None:
        """Back to the dashboard."""
        self.dismiss()

    def action_home(self) -> None:
        """To the first line."""
        self.query_one(TextView).scroll_to(y=0, animate=False)

    def action_end(self) -> None:
        """To the last line."""
        self.query_one(TextView).scroll_end(animate=False)
