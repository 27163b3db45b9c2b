"""Choose one of a few: a model, a context length, a theme."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from agentui.errors import AgentuiError
from agentui.frozen import frozen
from agentui.text import clean_line
from agentui.tui.screens.overlay import Overlay
from agentui_widgets.line_bar import Fact, FactRows, TitleBar

log = logging.getLogger(__name__)


@frozen
class Choice:
    """What can be chosen: `value` is handed back, `text` and `note` stand in columns; cleaned when drawn."""

    value: str
    text: str = ""
    note: str = ""
    is_current: bool = False


class PickScreen(Overlay[str | None]):
    """A list that Enter takes one of; the current one is highlighted first.

    Args:
        title: Of what.
        load: Gives the choices; may ask a server.
        note: What choosing costs, below the list; empty for nothing.
        none: What to say when there is nothing to choose.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Close")]

    def __init__(
        self, title: str, load: Callable[[], Awaitable[Sequence[Choice]]], *, note: str = "", none: str = ""
    ) -> None:
        super().__init__()
        self._title = title
        self._load = load
        self._note = note
        self._none = none
        self._choices: list[Choice] = []

    def compose(self) -> ComposeResult:
        """Title, list, and a line for cost or trouble."""
        with Vertical(id="pick-box"):
            yield TitleBar(id="pick-title")
            yield OptionList(id="pick-list", markup=False)
            yield FactRows(id="pick-note")

    def on_mount(self) -> None:
        """Ask for the choices."""
        self.query_one(TitleBar).show([Fact(self._title)], [Fact("enter uses, esc closes", "dim", 2)])
        self.query_one(FactRows).show([[Fact("looking …", "dim", 0)]])
        self._fill()

    @work(exclusive=True, group="pick")
    async def _fill(self) -> None:
        note = self.query_one(FactRows)
        try:
            self._choices = list(await self._load())
        except AgentuiError as error:
            note.show([[Fact(clean_line(error.message), "error", 0)], [Fact(clean_line(error.hint), "dim", 0)]])
            return
        except Exception:
            log.exception("the choices of %s could not be listed", self._title)
            note.show([[Fact("the list could not be made; the log says why", "error", 0)]])
            return
        self._show()

    def _show(self) -> None:
        options = self.query_one(OptionList)
        rows = [tuple(map(clean_line, (c.value, c.text, c.note))) for c in self._choices]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        for row, choice in zip(rows, self._choices, strict=True):
            mark = "● " if choice.is_current else "  "
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width)
            options.add_option(Option(Text(mark + "  ".join(cells))))
        trouble = [] if self._choices else [[Fact(self._none, "warning", 0)]]
        cost = [[Fact(self._note, "dim", 0)]] if self._note and self._choices else []
        self.query_one(FactRows).show([*trouble, *cost])
        current = next((i for i, choice in enumerate(self._choices) if choice.is_current), 0)
        options.highlighted = current if self._choices else None
        options.focus()

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Use the chosen one."""
        self.dismiss(self._choices[message.option_index].value)

    def action_close(self) -> None:
        """Keep things as they are."""
        self.dismiss(None)
