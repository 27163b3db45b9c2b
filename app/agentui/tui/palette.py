"""The command palette: every slash command that needs no argument, and the themes."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import SystemCommand

from agentui.tui.commands import COMMANDS, Deck


def palette_commands(deck: Deck) -> Iterator[SystemCommand]:
    """Entries of the palette for `deck`."""
    for command in COMMANDS:
        if command.argument and not command.argument.startswith("["):
            continue
        run = command.run
        yield SystemCommand(f"/{command.name}", command.words, lambda run=run: run(deck, ""))
