"""The command line: the only modules that print or exit.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> int``; its docstring is its help. It is
imported only when it is asked for. Slow imports (openai, docker, textual, aiohttp) stand inside functions.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import sys
from collections.abc import Sequence

from agentui import __version__
from agentui.cli.help_text import HelpFormatter
from agentui.cli.outputs import forget_unread
from agentui.errors import (
    AgentuiError,
    AuthenticationFailed,
    BackendUnavailable,
    HarnessUnavailable,
    ProjectBusy,
    ProjectUnfit,
    SandboxUnavailable,
    SessionBusy,
    UsageError,
)

COMMANDS: dict[str, tuple[str, str]] = {
    "replay": ("agentui.cli.replay", "play a recorded session again"),
    "status": ("agentui.cli.status", "how the sessions that run stand"),
    "pause": ("agentui.cli.pause", "hold a running session at its next safe point"),
    "resume": ("agentui.cli.resume", "let a held session go on"),
    "step": ("agentui.cli.step", "let a held session go on to its next safe point"),
    "steer": ("agentui.cli.steer", "say something to the agent of a running session"),
    "interrupt": ("agentui.cli.interrupt", "end the run of a session"),
    "sessions": ("agentui.cli.sessions", "list recorded sessions, show their run cards, remove them"),
    "compare": ("agentui.cli.compare", "the same task with different models, beside each other"),
    "export": ("agentui.cli.export", "write a session as Markdown, JSON or one HTML file"),
    "models": ("agentui.cli.models", "list the server's models"),
    "load": ("agentui.cli.load", "load a model"),
    "unload": ("agentui.cli.unload", "remove a model from memory"),
    "watch": ("agentui.cli.watch", "the gauges alone, beside any client of the server"),
    "kv": ("agentui.cli.kv", "what a model's KV cache takes, before it is loaded"),
    "sandbox": ("agentui.cli.sandbox", "run commands in the sandbox; diff, apply and undo what they changed"),
    "checks": ("agentui.cli.checks", "run your tests and the like outside of the agent's shell"),
    "pi": ("agentui.cli.pi", "get the Pi that --harness pi runs: its image, or onto this machine"),
    "simulate": ("agentui.cli.simulate", "serve a simulated LM Studio"),
    "doctor": ("agentui.cli.doctor", "what was found, what is missing, what to do"),
}
"""Name of each command: its module, and its help in one line."""

_JSON_ERRORS = frozenset({"models", "load", "unload"})
"""Commands whose ``--json`` promises one object in any case: of an error, what it says."""

UNAVAILABLE = 75
INTERRUPTED = 130
EXIT_CODES = """exit codes: 0 done, 1 failed, 2 usage, 75 model server, sandbox or project not available,
            130 interrupted"""
"""What most commands mean by theirs; a module with others has an ``EXIT_CODES`` of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code. Prints errors made for people, never a stack trace of those."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except AgentuiError as error:
        _tell(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 1  # whoever read our output has gone
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"agentui: nothing more can be written: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        forget_unread()


def exit_code(error: AgentuiError) -> int:
    """The exit code that stands for an error: 2 usage, 75 server, sandbox or project not available, else 1."""
    match error:
        case UsageError() | ProjectUnfit():
            return 2
        case (
            BackendUnavailable()
            | AuthenticationFailed()
            | SandboxUnavailable()
            | HarnessUnavailable()
            | ProjectBusy()
            | SessionBusy()
        ):
            return UNAVAILABLE
        case _:
            return 1


def _dispatch(words: list[str]) -> int:
    command = COMMANDS.get(words[0]) if words else None
    try:
        if command is None:
            return _run_task(words)
        module = importlib.import_module(command[0])
        parser = argparse.ArgumentParser(
            prog=f"agentui {words[0]}", description=module.__doc__, formatter_class=HelpFormatter
        )
        parser.epilog = getattr(module, "EXIT_CODES", EXIT_CODES)
        module.add_arguments(parser)
        args = parser.parse_args(words[1:])
        try:
            return int(module.run(args))
        except AgentuiError as error:
            if words[0] in _JSON_ERRORS and args.json:
                print(json.dumps({"error": error.message, "hint": error.hint}))
            raise
    except SystemExit as stop:  # argparse ends this way, after --help and after a usage error
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2


def _run_task(words: list[str]) -> int:
    from agentui.cli import task

    parser = argparse.ArgumentParser(
        prog="agentui",
        usage="agentui [flags] [TASK]\n       agentui COMMAND [flags]",
        description="Run a coding agent on a local model in a sandbox, and see the machine under it.",
        epilog=_commands_help(),
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"agentui {__version__}")
    task.add_arguments(parser)
    args = parser.parse_args(words)
    if "--" not in words and args.task in COMMANDS:
        raise UsageError(
            f"{args.task!r} is a command and comes first: agentui {args.task} …",
            hint=f"if it is your task, put -- before it: agentui … -- {args.task}",
        )
    return task.run(args)


def _commands_help() -> str:
    lines = [f"  {name:<11}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "commands (agentui COMMAND --help tells more):",
            *lines,
            "",
            "A TASK that equals a command's name needs -- before it.",
            "",
            "exit codes: with -p those of the run: 0 done, 1 failed, 2 usage, 3 a limit (turns, tokens,",
            "            a loop, a task longer than the context), 4 memory guard, 75 model server, sandbox or",
            "            project not available, 130 interrupted",
        ]
    )


def _tell(error: AgentuiError) -> None:
    from agentui.text import clean

    print(f"agentui: {clean(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"         {clean(error.hint)}", file=sys.stderr)
