"""`agentui [TASK]`: the flags, and the choice between the dashboard and running without a screen."""

from __future__ import annotations

import argparse

from agentui.cli.arguments import add_settings, start
from agentui.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui`."""
    parser.add_argument("task", nargs="?", metavar="TASK", help="what the agent is to do")
    parser.add_argument("-p", "--print", action="store_true", dest="prints", help="run without a screen")
    parser.add_argument("--mode", choices=("text", "json"), help="with -p: plain text, or one event per line")
    parser.add_argument("--samples", action="store_true", help="with --mode json: memory and speed samples too")
    parser.add_argument("--demo", action="store_true", help="a simulated model works on a scratch project")
    parser.add_argument(
        "--demo-speed", type=_speed, default=1.0, metavar="X", help="with --demo: so many times as fast"
    )
    parser.add_argument(
        "--trust-project",
        action="store_true",
        help="from now on use this folder's .agentui/config.toml, until it changes",
    )
    add_settings(parser)


def _speed(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1000:
        raise argparse.ArgumentTypeError("a speed goes from 0.1 to 1000")
    return value


def run(args: argparse.Namespace) -> int:
    """Run the task, or open the dashboard.

    Raises:
        UsageError: If flags do not go together.
    """
    if not args.prints and args.mode:
        raise UsageError("--mode needs -p", hint="the dashboard shows everything by itself")
    if args.samples and args.mode != "json":
        raise UsageError("--samples needs --mode json")
    begun = start(args)
    if args.prints:
        from agentui.cli import print_cmd

        return print_cmd.run_printing(args, begun)
    from agentui.cli import run_cmd

    return run_cmd.run_dashboard(args, begun)
