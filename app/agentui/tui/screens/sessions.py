"""Choose a recorded session to go on with: a list, and words that narrow it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from agentui.errors import AgentuiError
from agentui.text import clean_line, human_bytes, plural
from agentui.tui.screens.overlay import Overlay
from agentui.tui.services import SessionChoice
from agentui_widgets.line_bar import Fact, FactRows, TitleBar

log = logging.getLogger(__name__)

ListSessions = Callable[[], Awaitable[Sequence[SessionChoice]]]
_MOST_SHOWN = 200


def fits(choice: SessionChoice, words: str) -> bool:
    """Whether each of the words is somewhere in the session's columns; case does not count."""
    held = "\n".join((choice.session_id, choice.project, choice.task, *_columns(choice))).casefold()
    return all(word in held for word in words.casefold().split())


class SessionsScreen(Overlay[str | None]):
    """Sessions, the newest first; typing searches, Enter goes on with the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close"),
        Binding("up", "move(-1)", "Up", priority=True),
        Binding("down", "move(1)", "Down", priority=True),
    ]

    def __init__(self, load: ListSessions) -> None:
        super().__init__()
        self._load = load
        self._sessions: Sequence[SessionChoice] = ()
        self._shown: list[SessionChoice] = []

    def compose(self) -> ComposeResult:
        """Title, search line, list, and a line for trouble."""
        with Vertical(id="sessions-box"):
            yield TitleBar(id="sessions-title")
            yield Input(placeholder="search in all columns", id="sessions-search")
            yield FactRows(id="sessions-head")
            yield OptionList(id="sessions-list", markup=False)
            yield FactRows(id="sessions-note")

    def on_mount(self) -> None:
        """Ask for the sessions."""
        self.query_one(TitleBar).show([Fact("Sessions")], [Fact("enter goes on, esc closes", "dim", 2)])
        self.query_one("#sessions-head", FactRows).show([[Fact(_HEAD, "dim", 0)]])
        self._note.show([[Fact("looking …", "dim", 0)]])
        self.query_one(Input).focus()
        self._fill()

    @property
    def _note(self) -> FactRows:
        return self.query_one("#sessions-note", FactRows)

    @work(exclusive=True, group="sessions")
    async def _fill(self) -> None:
        try:
            self._sessions = await self._load()
        except AgentuiError as error:
            self._note.show([[Fact(clean_line(error.message), "error", 0)]])
            return
        except Exception:
            log.exception("the sessions could not be listed")
            self._note.show([[Fact("they could not be listed; the log says why", "error", 0)]])
            return
        self._show(self.query_one(Input).value)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Narrow the list."""
        self._show(message.value)

    def _show(self, words: str) -> None:
        options = self.query_one(OptionList)
        found = [choice for choice in self._sessions if fits(choice, words)]
        self._shown = found[:_MOST_SHOWN]
        options.clear_options()
        options.add_options(
            [Option(Text(_row(_columns(choice)), no_wrap=True, overflow="ellipsis")) for choice in self._shown]
        )
        options.highlighted = 0 if self._shown else None
        more = len(found) - len(self._shown)
        note = f"and {more:,} more; search narrows them" if more else ""
        none = "no session fits" if self._sessions else "there are no sessions yet"
        self._note.show([[Fact(note if self._shown else none, "dim", 0)]])

    def action_move(self, step: int) -> None:
        """Move the highlight; the search line keeps the focus."""
        options = self.query_one(OptionList)
        if self._shown:
            options.highlighted = ((options.highlighted or 0) + step) % len(self._shown)

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Use the highlighted one."""
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is not None and self._shown:
            self.dismiss(self._shown[highlighted].session_id)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Use the one that was clicked."""
        self.dismiss(self._shown[message.option_index].session_id)

    def action_close(self) -> None:
        """Keep things as they are."""
        self.dismiss(None)


def _columns(choice: SessionChoice) -> tuple[str, ...]:
    """When, how it ended, turns, size, project, model and task, as clean text."""
    project = clean_line(choice.project).rstrip("/").rpartition("/")[2] or "?"
    model = clean_line(choice.model).rpartition("/")[2] or "?"
    turns, size = plural(choice.turns, "turn"), human_bytes(choice.size_bytes)
    return choice.when, choice.ended, turns, size, project, model, clean_line(choice.task) or "(no task)"


def _row(columns: Sequence[str]) -> str:
    when, ended, turns, size, project, model, task = columns
    return f"{when:<16}  {ended:<11}  {turns:>9}  {size:>9}  {project[:16]:<16}  {model[:18]:<18}  {task}"


_HEAD = _row(("when", "ended", "turns", "size", "project", "model", "task"))
