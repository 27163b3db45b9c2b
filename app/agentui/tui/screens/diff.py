"""Review: the changes file by file, each to apply, leave or discard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen

from agentui.control import Apply, Control, Discard
from agentui.errors import AgentuiError
from agentui.events import Change
from agentui.text import clean, clean_line, plural
from agentui.tui.present_bars import change_row
from agentui.tui.services import Services
from agentui_widgets.changes import ChangeList
from agentui_widgets.footer import FooterBar
from agentui_widgets.line_bar import Fact, TitleBar
from agentui_widgets.text_view import TextView

log = logging.getLogger(__name__)


class DiffScreen(ModalScreen[Control | None]):
    """The files at the left, the diff of the chosen one at the right.

    Marks are collected here; Enter sends one `Apply` for the marked files, so that one review is one unit.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
        Binding("n,j,right", "go(1)", "Next"),
        Binding("p,k,left", "go(-1)", "Previous"),
        Binding("space", "mark", "Mark", priority=True),
        Binding("enter", "apply", "Apply", priority=True),
        Binding("d", "discard", "Discard"),
    ]

    def __init__(self, services: Services, changes: Sequence[Change], start: str = "") -> None:
        super().__init__()
        self._services = services
        self._changes = list(changes)
        self._place = next((i for i, change in enumerate(self._changes) if change.path == start), 0)
        self._marked = {change.path for change in changes if change.rule == "free"}

    def compose(self) -> ComposeResult:
        """List and diff side by side, keys below."""
        with Horizontal(id="review"):
            with Vertical(id="review-list"):
                yield TitleBar(id="review-title")
                yield ChangeList(id="review-files")
            with Vertical(id="review-diff"):
                yield TitleBar(id="diff-title")
                yield TextView(id="text-view")
        yield FooterBar(id="text-footer")

    def on_mount(self) -> None:
        """Show the first file."""
        keys = ("space mark", "enter apply marked", "d discard this", "← → file", "↑ ↓ scroll", "esc close")
        facts = [Fact(key, "dim", rank) for rank, key in enumerate(keys)]
        self.query_one("#text-footer", FooterBar).show(facts)
        self.query_one(TextView).focus()
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        self._show_list()
        if self._changes:
            self._load(self._changes[self._place])

    def _show_list(self) -> None:
        rows = []
        for index, change in enumerate(self._changes):
            pointer = "▸" if index == self._place else " "
            box = "[x]" if change.path in self._marked else "[ ]"
            rows.append(change_row(change, prefix=f"{pointer}{box}"))
        self.query_one(ChangeList).show(rows)
        title = [
            Fact("Review"),
            Fact(f"{len(self._marked)} of {plural(len(self._changes), 'file')} marked", "accent"),
        ]
        self.query_one("#review-title", TitleBar).show(title)

    @work(exclusive=True, group="diff")
    async def _load(self, change: Change) -> None:
        """Fetch the diff off the paint path; a later choice cancels an earlier fetch."""
        title = self.query_one("#diff-title", TitleBar)
        title.show([Fact(clean_line(change.path), "text", 0)], [Fact(clean_line(change.why), "error", 2)])
        try:
            text = await self._services.diff_text(change.path)
        except AgentuiError as error:
            text = f"{error.message}\n{error.hint}"
        except Exception:
            log.exception("the diff of %r could not be made", change.path)
            text = "the diff could not be made; the log says why"
        self.query_one(TextView).show(clean(text), is_diff=True)

    def on_block_view_activated(self, message: ChangeList.Activated) -> None:
        """A click on a file."""
        message.stop()
        paths = [change.path for change in self._changes]
        if message.key in paths:
            self._place = paths.index(message.key)
            self._show()

    def action_go(self, step: int) -> None:
        """To the next or previous file."""
        if self._changes:
            self._place = (self._place + step) % len(self._changes)
            self._show()

    def action_mark(self) -> None:
        """Mark or unmark the file on show; what may never be applied cannot be marked."""
        if self._changes and self._changes[self._place].rule not in ("never", "conflict"):
            self._marked ^= {self._changes[self._place].path}
            self._show_list()

    def action_apply(self) -> None:
        """Apply the marked files as one unit."""
        paths = tuple(change.path for change in self._changes if change.path in self._marked)
        if paths:
            asked = any(change.rule == "ask" and change.path in self._marked for change in self._changes)
            self.dismiss(Apply(paths=paths, include_ask=asked))

    def action_discard(self) -> None:
        """Drop the file on show from the copy."""
        if self._changes:
            self.dismiss(Discard((self._changes[self._place].path,)))

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)
