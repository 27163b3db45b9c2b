"""The turns of a session, to go back to one of them."""

from __future__ import annotations

from collections.abc import Iterable

from agentui.events import Recorded, TextDelta, ToolStarted, TurnEnded, TurnStarted
from agentui.text import clean_line
from agentui.tui.screens.pick import Choice

_TEXT_CHARS = 60


def turn_choices(records: Iterable[Recorded]) -> list[Choice]:
    """The finished turns, counted from 1 over all runs, with what was done; the newest first. O(records)."""
    choices: list[Choice] = []
    commands: list[str] = []
    text = ""
    for recorded in records:
        match recorded.event:
            case TurnStarted():
                commands, text = [], ""
            case TextDelta(_, piece) if len(text) < _TEXT_CHARS:
                text += piece
            case ToolStarted(_, _, command):
                commands.append(command)
            case TurnEnded():
                did = "; ".join(f"$ {command}" for command in commands) or text
                choices.append(Choice(str(len(choices) + 1), clean_line(did)[:_TEXT_CHARS]))
            case _:
                pass
    return choices[::-1]
