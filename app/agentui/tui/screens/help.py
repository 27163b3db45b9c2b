"""Keys and commands on one screen."""

from __future__ import annotations

from agentui.tui.commands import COMMANDS
from agentui.tui.keys import FIXED, KEYS, shown_key
from agentui.tui.screens.output import OutputScreen

_GROUPS = {"run": "Run", "prompt": "Prompt", "changes": "Changes", "screen": "Screen", "app": "Program"}


def help_text(rebound: dict[str, str] | None = None) -> str:
    """The help as plain text; `rebound` maps ids of bindings to the keys they have now."""
    lines: list[str] = []
    for group, title in _GROUPS.items():
        lines.append(title)
        for key in KEYS:
            if key.group == group:
                keys = (rebound or {}).get(key.id, key.keys)
                shown = " ".join(shown_key(name) for name in keys.split(","))
                where = "  (empty prompt)" if key.is_for_empty_prompt else ""
                lines.append(f"  {shown:<12} {key.words}{where}")
        if group == "prompt":
            lines += [f"  {key:<12} {words}" for key, words in FIXED]
        lines.append("")
    lines.append("Commands")
    lines += [f"  /{(c.name + ' ' + c.argument).strip():<24} {c.words}" for c in COMMANDS]
    lines += ["", "  @path completes a file of the project, !command runs in the sandbox."]
    lines += ["", "Numbers: ~ is an estimate, ? is unknown."]
    return "\n".join(lines)


class HelpScreen(OutputScreen):
    """The help; Esc closes."""

    def __init__(self, rebound: dict[str, str] | None = None) -> None:
        super().__init__("Help", help_text(rebound))
