"""A question of the screen's own, such as whether to quit."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from agentui.tui.screens.overlay import Overlay


class QuestionScreen(Overlay[bool]):
    """Yes or no; Esc and Ctrl+C are no. Enter is neither: it may be one too many from the prompt.

    Args:
        question: Written by us; shown without markup.
        detail: More about it, cleaned.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", priority=True),
        Binding("n,escape,ctrl+c", "answer(False)", "No", priority=True),
    ]

    def __init__(self, question: str, detail: str = "") -> None:
        super().__init__()
        self._question = question
        self._detail = detail

    def compose(self) -> ComposeResult:
        """Question, detail, keys."""
        with Vertical(id="question-box"):
            yield Static(self._question, markup=False, id="question-text")
            if self._detail:
                yield Static(self._detail, markup=False, id="question-detail")
            yield Static("y yes   n no", markup=False, id="question-keys")

    def action_answer(self, is_yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(is_yes)


class QuitQuestion(QuestionScreen):
    """Whether to quit: Ctrl+C again is yes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+c", "answer(True)", "Yes", priority=True)]
