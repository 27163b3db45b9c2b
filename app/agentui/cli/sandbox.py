"""`agentui sandbox`: commands in the sandbox from the command line, and the changes they made.

A command works on a private copy of the project; nothing comes to the project but by `apply`.
"""

from __future__ import annotations

import argparse
import importlib

from agentui.cli.help_text import HelpFormatter

ACTIONS: dict[str, tuple[str, str]] = {
    "run": ("agentui.cli.sandbox_run", "run a command on a copy of the project"),
    "diff": ("agentui.cli.sandbox_changes", "show what commands changed in the copy"),
    "apply": ("agentui.cli.sandbox_changes", "bring changes to the project, as one unit"),
    "discard": ("agentui.cli.sandbox_changes", "drop changes from the copy"),
    "undo": ("agentui.cli.sandbox_changes", "take back the last apply"),
    "redo": ("agentui.cli.sandbox_changes", "bring the last undone apply again"),
    "list": ("agentui.cli.sandbox_copies", "list the copies that are kept"),
    "remove": ("agentui.cli.sandbox_copies", "remove copies for good; what undo needs stays"),
    "trash": ("agentui.cli.sandbox_copies", "show what applies replaced; --empty deletes it for good"),
    "selftest": ("agentui.cli.sandbox_selftest", "try to get out of the sandbox; says what held"),
    "build": ("agentui.cli.sandbox_build", "build the image; the only step that may use the network"),
}
"""Name of each action: its module, and its help in one line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of `agentui sandbox`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (module, text) in ACTIONS.items():
        inner = actions.add_parser(name, help=text, description=text, formatter_class=HelpFormatter)
        importlib.import_module(module).add_arguments(inner, name)


def run(args: argparse.Namespace) -> int:
    """Do one action; returns the exit code.

    Raises:
        AgentuiError: What stood against it.
    """
    return int(importlib.import_module(ACTIONS[args.action][0]).run(args))
