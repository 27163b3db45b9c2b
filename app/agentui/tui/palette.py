"""The command palette: every slash command that needs no argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from textual import on
from textual.app import SystemCommand
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.widgets import Input

from agentui.tui.commands import COMMANDS, Deck


class Palette(CommandPalette):
    """Textual's palette, in which Enter takes what was typed: a search that still runs is waited for."""

    @on(Input.Submitted)
    async def wait_for_search(self) -> None:
        """Let the list follow the last letter before Textual's own handler takes the highlighted row."""
        for search in [worker for worker in self.workers if worker.node is self and worker.is_running]:
            await search.wait()

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close, unless that was done, as `Overlay` does it."""
        return super().dismiss(result) if self.is_active else AwaitComplete()


def palette_commands(deck: Deck, start: Callable[[Callable[[], None]], None]) -> Iterator[SystemCommand]:
    """Entries of the palette for `deck`; a chosen one is handed to `start`."""
    for command in COMMANDS:
        if command.argument and not command.argument.startswith("["):
            continue
        run = command.run
        yield SystemCommand(f"/{command.name}", command.words, lambda run=run: start(lambda: run(deck, "")))
