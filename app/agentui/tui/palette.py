"""The command palette: every slash command that needs no argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from textual.app import SystemCommand

from agentui.tui.commands import COMMANDS, Deck


def palette_commands(deck: Deck, start: Callable[[Callable[[], None]], None]) -> Iterator[SystemCommand]:
    """Entries of the palette for `deck`; a chosen one is handed to `start`."""
    for command in COMMANDS:
        if command.argument and not command.argument.startswith("["):
            continue
        run = command.run
        yield SystemCommand(f"/{command.name}", command.words, lambda run=run: start(lambda: run(deck, "")))
