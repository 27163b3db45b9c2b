"""Review: the changes file by file, each to apply, leave or discard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from agentui.control import Apply, Control, Discard
from agentui.errors import AgentuiError
from agentui.events import Change
from agentui.text import clean, clean_line, plural
from agentui.tui.present_bars import ask_first, change_row
from agentui.tui.screens.overlay import Overlay
from agentui.tui.services import Services
from agentui_widgets.changes import ChangeList
from agentui_widgets.line_bar import Fact, FactRows, TitleBar
from agentui_widgets.text_view import TextView

log = logging.getLogger(__name__)

_PROSE = frozenset((".md", ".markdown", ".mdx", ".txt", ".rst", ".adoc", ".org", ".tex", ".textile", ".typ"))
_KEYS = (
    (("↑ ↓", "file"), ("pgup pgdn", "scroll the diff"), ("j k", "by a line"), ("esc", "close")),
    (
        ("space", "mark"),
        ("enter", "apply marked"),
        ("a", "apply this"),
        ("d", "discard this"),
        ("u", "undo"),
        ("U", "redo"),
    ),
)


class DiffScreen(Overlay[None]):
    """The files at the left, the diff of the chosen one at the right; stays until Esc.

    Marks are collected here; Enter sends one `Apply` for the marked files, so that one review is one unit.

    Args:
        services: Where diffs come from.
        changes: What waits; `show_changes` says so later.
        start: The path to begin with.
        send: Asks something of the run.
        undo: Asks whether to undo (or with True to redo), and does.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
        Binding("down,right,n", "go(1)", "Next", priority=True),
        Binding("up,left,p", "go(-1)", "Previous", priority=True),
        Binding("pagedown", "page(1)", "Scroll on", priority=True),
        Binding("pageup", "page(-1)", "Scroll back", priority=True),
        Binding("j", "line(1)", "A line on"),
        Binding("k", "line(-1)", "A line back"),
        Binding("space", "mark", "Mark", priority=True),
        Binding("enter", "apply", "Apply", priority=True),
        Binding("a", "apply_this", "Apply this"),
        Binding("d", "discard", "Discard"),
        Binding("u", "undo", "Undo"),
        Binding("U,shift+u", "redo", "Redo"),
    ]

    def __init__(
        self,
        services: Services,
        changes: Sequence[Change],
        start: str = "",
        *,
        send: Callable[[Control], None],
        undo: Callable[[bool], None],
    ) -> None:
        super().__init__()
        self._services = services
        self._send = send
        self._ask_undo = undo
        self._changes = ask_first(changes)
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
        yield FactRows(id="review-keys")

    def on_mount(self) -> None:
        """Show the first file."""
        rows = [
            [Fact(f"{key} {words}", "dim", rank) for rank, (key, words) in enumerate(row, 1)] for row in _KEYS
        ]
        self.query_one("#review-keys", FactRows).show(rows)
        self.query_one(TextView).focus()
        self.call_after_refresh(self._show)

    def show_changes(self, changes: Sequence[Change]) -> None:
        """Other changes wait now: the chosen file stays chosen, marks stay, new free ones are marked."""
        changes = ask_first(changes)
        if changes == self._changes:
            return
        known = {change.path for change in self._changes}
        chosen = self._chosen
        self._changes = changes
        paths = [change.path for change in changes]
        self._marked &= set(paths)
        self._marked |= {
            change.path for change in changes if change.rule == "free" and change.path not in known
        }
        if chosen is not None and chosen.path in paths:
            self._place = paths.index(chosen.path)
        self._place = max(0, min(self._place, len(paths) - 1))
        self._show()

    @property
    def _chosen(self) -> Change | None:
        return self._changes[self._place] if self._changes else None

    def _show(self) -> None:
        self._show_list()
        if (change := self._chosen) is not None:
            self._load(change)
            return
        self.query_one("#diff-title", TitleBar).show([Fact("nothing waits", "dim", 0)])
        self.query_one(TextView).show(
            "No changes wait in the private copy.\nu undoes the last apply, esc closes."
        )

    def _show_list(self) -> None:
        rows = []
        for index, change in enumerate(self._changes):
            pointer = "▸" if index == self._place else " "
            box = "[x]" if change.path in self._marked else "[ ]"
            rows.append(change_row(change, prefix=f"{pointer}{box}"))
        files = self.query_one(ChangeList)
        files.show(rows)
        files.reveal(self._place)
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
        self.query_one(TextView).show(clean(text), is_diff=True, has_word_marks=is_prose(change.path))

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

    def action_page(self, step: int) -> None:
        """Scroll the diff by a page."""
        view = self.query_one(TextView)
        view.scroll_relative(y=step * max(1, view.size.height - 2), animate=False)

    def action_line(self, step: int) -> None:
        """Scroll the diff by a line."""
        self.query_one(TextView).scroll_relative(y=step, animate=False)

    def action_mark(self) -> None:
        """Mark or unmark the file on show; what may never be applied cannot be marked."""
        if (change := self._chosen) is not None and change.rule not in ("never", "conflict"):
            self._marked ^= {change.path}
            self._show_list()

    def action_apply(self) -> None:
        """Apply the marked files as one unit."""
        self._apply([change for change in self._changes if change.path in self._marked])

    def action_apply_this(self) -> None:
        """Apply the file on show."""
        if (change := self._chosen) is not None and change.rule not in ("never", "conflict"):
            self._apply([change])

    def _apply(self, changes: Sequence[Change]) -> None:
        if changes:
            asked = any(change.rule == "ask" for change in changes)
            self._send(Apply(paths=tuple(change.path for change in changes), include_ask=asked))

    def action_discard(self) -> None:
        """Drop the file on show from the copy."""
        if (change := self._chosen) is not None:
            self._send(Discard((change.path,)))

    def action_undo(self) -> None:
        """Take back the last apply, after a yes."""
        self._ask_undo(False)

    def action_redo(self) -> None:
        """Bring the last undone apply again."""
        self._ask_undo(True)

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss()


def is_prose(path: str) -> bool:
    """Whether a file holds paragraphs, so that words and not lines are what changes in it."""
    pure = PurePosixPath(path)
    return pure.suffix.lower() in _PROSE or (not pure.suffix and pure.name.isupper())
