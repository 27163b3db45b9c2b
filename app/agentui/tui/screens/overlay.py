"""Screens over the dashboard close once, however fast their key is pressed again."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType


class Overlay(ModalScreen[ScreenResultType]):
    """Of keys that come in one go the second finds its screen closed: it closes nothing else then.

    Textual would take the next screen from the stack, and end with an error below the last one.
    """

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close with a result, unless that was done."""
        return super().dismiss(result) if self.is_active else AwaitComplete()
