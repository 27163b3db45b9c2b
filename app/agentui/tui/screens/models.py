"""Choose a model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from agentui.errors import AgentuiError
from agentui.text import clean_line, human_bytes, human_context
from agentui.tui.services import ModelChoice, Services
from agentui_widgets.line_bar import Fact, FactRows, TitleBar

log = logging.getLogger(__name__)


class ModelsScreen(ModalScreen[ModelChoice | None]):
    """The server's models, loaded ones first; Enter uses one from the next request on."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Close")]

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._choices: list[ModelChoice] = []

    def compose(self) -> ComposeResult:
        """Title, list, and a line for trouble."""
        with Vertical(id="models-box"):
            yield TitleBar(id="models-title")
            yield OptionList(id="models-list", markup=False)
            yield FactRows(id="models-note")

    def on_mount(self) -> None:
        """Ask the server."""
        self.query_one(TitleBar).show([Fact("Models")], [Fact("enter uses, esc closes", "dim", 2)])
        self.query_one(FactRows).show([[Fact("asking the server …", "dim", 0)]])
        self._load()

    @work(exclusive=True, group="models")
    async def _load(self) -> None:
        note = self.query_one(FactRows)
        try:
            found = await self._services.models()
        except AgentuiError as error:
            note.show([[Fact(clean_line(error.message), "error", 0)], [Fact(clean_line(error.hint), "dim", 0)]])
            return
        except Exception:
            log.exception("the models could not be listed")
            note.show([[Fact("the models could not be listed; the log says why", "error", 0)]])
            return
        self._show(found)

    def _show(self, found: Sequence[ModelChoice]) -> None:
        self._choices = sorted(found, key=lambda choice: (not choice.is_loaded, choice.name))
        options = self.query_one(OptionList)
        width = max((len(clean_line(choice.name)) for choice in self._choices), default=0) + 2
        for choice in self._choices:
            options.add_option(Option(Text(clean_line(choice.name).ljust(width) + _facts(choice))))
        note = [] if self._choices else [[Fact("the server has no models", "warning", 0)]]
        self.query_one(FactRows).show(note)
        options.highlighted = 0 if self._choices else None
        options.focus()

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Use the chosen model."""
        self.dismiss(self._choices[message.option_index])

    def action_close(self) -> None:
        """Keep the model."""
        self.dismiss(None)


def _facts(choice: ModelChoice) -> str:
    parts = [clean_line(choice.quantization or ""), human_bytes(choice.size_bytes)]
    if choice.is_loaded:
        parts.append(f"loaded, ctx {human_context(choice.loaded_context_tokens)}")
    elif choice.max_context_tokens is not None:
        parts.append(f"up to {human_context(choice.max_context_tokens)}")
    parts.append(clean_line(choice.fit))
    return "  ".join(part for part in parts if part)
