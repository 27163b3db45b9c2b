"""`agentui [TASK]`: the flags, and the choice between the dashboard and running without a screen."""

from __future__ import annotations

import argparse

from agentui.cli import continuing
from agentui.cli.arguments import Start, add_settings, start
from agentui.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui`."""
    parser.add_argument("task", nargs="?", metavar="TASK", help="what the agent is to do")
    parser.add_argument(
        "-p",
        "--print",
        action="store_true",
        dest="prints",
        help="run without a screen; ends with the exit code of the run (below)",
    )
    parser.add_argument("--mode", choices=("text", "json"), help="with -p: plain text, or one event per line")
    parser.add_argument("--samples", action="store_true", help="with --mode json: memory and speed samples too")
    parser.add_argument("--demo", action="store_true", help="a simulated model works on a scratch project")
    parser.add_argument(
        "--demo-speed",
        type=_speed,
        metavar="X",
        help="with --demo: so many times as fast (default: 1, with -p 4)",
    )
    parser.add_argument(
        "--trust-project",
        action="store_true",
        help="from now on use this folder's .agentui/config.toml, until it changes",
    )
    continuing.add_arguments(parser)
    add_settings(parser)


def _speed(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1000:
        raise argparse.ArgumentTypeError("a speed goes from 0.1 to 1000")
    return value


_NOT_IN_DEMO = {
    "url": "--url",
    "model": "--model",
    "context_tokens": "--context",
    "directory": "-C",
    "trust_project": "--trust-project",
}


def refuse_senseless(args: argparse.Namespace) -> None:
    """Refuse typed flags of which one would silently be without effect.

    Raises:
        UsageError: If there are such; names both.
    """
    if not args.prints and args.mode:
        raise UsageError("--mode needs -p", hint="the dashboard shows everything by itself")
    if args.samples and args.mode != "json":
        raise UsageError("--samples needs --mode json")
    if args.prints and args.theme is not None:
        raise UsageError("--theme is for the dashboard and cannot go with -p")
    if args.demo_speed is not None and not args.demo:
        raise UsageError("--demo-speed needs --demo")
    for name, flag in _NOT_IN_DEMO.items():
        if args.demo and getattr(args, name):
            raise UsageError(
                f"--demo and {flag} exclude each other",
                hint="the demo has a simulated model server and a scratch project of its own",
            )


def is_typed(begun: Start, name: str) -> bool:
    """Whether a setting was given as a flag; what was typed wins over what the demo does by itself."""
    return begun.loaded.origins[name].kind == "flag"


def run(args: argparse.Namespace) -> int:
    """Run the task, or open the dashboard.

    Raises:
        UsageError: If flags do not go together.
    """
    refuse_senseless(args)
    journal = continuing.wanted_session(args)
    begun = start(args)
    accepts = args.demo and not is_typed(begun, "apply")
    if args.prints:
        from agentui.cli import print_cmd

        return print_cmd.run_printing(args, begun, accepts_changes=accepts, journal=journal)
    from agentui.cli import run_cmd

    return run_cmd.run_dashboard(args, begun, accepts_changes=accepts, journal=journal)
