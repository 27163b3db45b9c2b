"""`agentui watch`: the gauges alone, beside any client of the server; starts no run and loads no model."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentui.cli.arguments import Start, add_settings, agreed, start
from agentui.cli.ports import Watching
from agentui.cli.readings import plain_lines, reading_object
from agentui.errors import UsageError
from agentui.events import Recorded
from agentui.text import clean
from agentui.view.fold import View

if TYPE_CHECKING:
    from agentui.wire import WatchSession

LEAST_INTERVAL_S = 0.1
MOST_INTERVAL_S = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui watch`."""
    parser.add_argument("--once", action="store_true", help="print one reading and end")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per reading and line")
    form.add_argument("--plain", action="store_true", help="words, one fact per line (what --once prints)")
    parser.add_argument(
        "--interval", type=float, metavar="S", help="print a reading every S seconds until interrupted"
    )
    parser.add_argument(
        "--gateway",
        type=int,
        metavar="PORT",
        help="also listen here for clients, pass everything on to the server and measure it (0: any port)",
    )
    add_settings(parser, ("url", "model", "theme"))


def run(args: argparse.Namespace) -> int:
    """Watch until the user leaves.

    Raises:
        UsageError: If flags make no sense, there is no terminal for the screen, or the port is taken.
    """
    _check(args)
    begun = start(args)
    is_screen = not (args.once or args.interval)
    if is_screen:
        from agentui.cli.run_cmd import need_terminal

        need_terminal()
    begun = agreed(begun, may_ask=sys.stdin.isatty() and sys.stderr.isatty())
    if is_screen:
        return asyncio.run(_on_screen(begun, args.gateway))
    try:
        asyncio.run(_printed(begun, args))
    except KeyboardInterrupt:
        return 0 if args.interval else 130
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.interval is not None and not LEAST_INTERVAL_S <= args.interval <= MOST_INTERVAL_S:
        raise UsageError(f"--interval must be {LEAST_INTERVAL_S} to {MOST_INTERVAL_S} s, not {args.interval}")
    if args.once and args.interval is not None:
        raise UsageError("--once prints one reading, --interval many: choose one")
    if args.once and args.gateway is not None:
        raise UsageError("--gateway needs to go on listening; use it with --interval or on the screen")
    if (args.json or args.plain) and not (args.once or args.interval):
        raise UsageError("--json and --plain need --once or --interval S")
    if args.gateway is not None and not 0 <= args.gateway < 65536:
        raise UsageError(f"{args.gateway} is not a port")


async def _printed(begun: Start, args: argparse.Namespace) -> None:
    from agentui import wire

    session = wire.WatchSession(begun.loaded.settings, args.gateway)
    view = View()

    def fold(recorded: Recorded) -> None:
        view.apply(recorded)

    session.subscribe(fold)
    try:
        if args.once:
            await session.read_once()
            _print(session, view, args.json)
            return
        await session.start()
        _tell_gateway(session)
        while True:
            await asyncio.sleep(args.interval)
            _print(session, view, args.json)
    finally:
        await session.aclose()


def _print(session: Watching, view: View, is_json: bool) -> None:
    if is_json:
        at_utc = datetime.now(UTC).isoformat(timespec="milliseconds")
        print(json.dumps(reading_object(session, view, at_utc), separators=(",", ":")), flush=True)
        return
    print("\n".join(plain_lines(session, view)) + "\n", flush=True)


def _tell_gateway(session: WatchSession) -> None:
    if session.gateway_port is not None:
        url = f"http://127.0.0.1:{session.gateway_port}/v1"
        print(f"agentui: clients that use {clean(url)} are measured", file=sys.stderr, flush=True)


async def _on_screen(begun: Start, gateway_port: int | None) -> int:
    from agentui import wire
    from agentui.cli.run_cmd import ended_by_signals
    from agentui.tui.watch_app import WatchApp

    settings = begun.loaded.settings
    session = wire.WatchSession(settings, gateway_port)
    app = WatchApp(session, theme=settings.theme)
    try:
        with ended_by_signals(app.leave):
            await app.run_async()
    finally:
        await session.aclose()
    if app.failure is not None:
        raise app.failure
    return 0
