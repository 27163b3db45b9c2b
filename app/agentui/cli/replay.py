"""`agentui replay FILE|ID`: a recorded session on the dashboard again, or printed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from agentui.cli.arguments import add_settings, start
from agentui.cli.print_cmd import make_printer
from agentui.cli.printers import Printer
from agentui.errors import SessionError, UsageError
from agentui.events import Recorded, RunEnded, RunStarted
from agentui.session.journal import Journal, read_journal
from agentui.session.replay import paced, parse_speed
from agentui.session.store import SessionStore
from agentui.text import clean, plural, read_clock_time

_SHOWN_DAMAGE = 5

EXIT_CODES = "exit codes: 0 played; 1 no such session, or nothing of it can be read; 2 usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui replay`."""
    parser.add_argument(
        "session",
        nargs="?",
        metavar="FILE|ID",
        help="a journal, a session's folder, or the beginning of its id (default: the last one of this folder)",
    )
    parser.add_argument(
        "--speed",
        default="1",
        metavar="N|max",
        help="times the recorded pace (default: 1); max waits for nothing",
    )
    parser.add_argument("--at", metavar="TIME", help="begin at a time of the session: 1:02:30, 12:30, 90, 5m")
    parser.add_argument("--mode", choices=("text", "json"), help="print instead of opening the dashboard")
    parser.add_argument("--samples", action="store_true", help="with --mode json: memory and speed samples too")
    add_settings(parser, ("theme",))


def run(args: argparse.Namespace) -> int:
    """Play the session.

    Raises:
        UsageError: If flags make no sense.
        SessionError: If there is no such session, or nothing of it can be read.
    """
    try:
        speed = parse_speed(args.speed)
    except ValueError:
        raise UsageError(f"--speed must be a number over 0, or max; not {args.speed!r}") from None
    at_s = _time(args.at)
    if args.samples and args.mode != "json":
        raise UsageError("--samples needs --mode json")
    begun = start(args)
    store = SessionStore(begun.places.sessions)
    path = store.find(args.session) if args.session else store.newest(begun.project)
    journal = read_session(path)
    if args.mode:
        records = [r for r in journal.records if at_s is None or r.t_s >= at_s]
        asyncio.run(_print(records, speed, make_printer(args.mode, samples=args.samples)))
        if is_cut(records):
            print("agentui: the recording ends here: the run was cut", file=sys.stderr)
        return 0
    from agentui.cli.run_cmd import replay_on_dashboard

    return replay_on_dashboard(journal.records, speed, path.parent, begun, at_s)


def _time(text: str | None) -> float | None:
    try:
        return None if text is None else read_clock_time(text)
    except ValueError:
        raise UsageError(f"--at must be a time such as 1:02:30, 12:30, 90 or 5m; not {text!r}") from None


async def _print(records: Sequence[Recorded], speed: float | None, printer: Printer) -> None:
    async for recorded in paced(records, speed):
        printer.take(recorded)


def is_cut(records: Sequence[Recorded]) -> bool:
    """Whether the last run has no end: its process was killed, or it still runs."""
    bounds = [r.event for r in records if isinstance(r.event, RunStarted | RunEnded)]
    return bool(bounds) and isinstance(bounds[-1], RunStarted)


def read_session(path: Path) -> Journal:
    """A session's journal; damage is told on standard error. Blocks; O(bytes).

    Raises:
        SessionError: If nothing of it can be read.
    """
    journal = read_journal(path)
    tell_damage(journal)
    if not journal.records:
        why = f": {journal.damage[0].text}" if journal.damage else ""
        hint = "agentui sessions list shows what there is"
        raise SessionError(f"{path} holds no readable record{why}", hint=hint)
    return journal


def tell_damage(journal: Journal) -> None:
    """Say on standard error which lines could not be used."""
    for damage in journal.damage[:_SHOWN_DAMAGE]:
        print(f"agentui: {damage.file} line {damage.line}: {clean(damage.text)}", file=sys.stderr)
    more = len(journal.damage) - _SHOWN_DAMAGE
    if more > 0:
        print(f"agentui: and {plural(more, 'more damaged line')}", file=sys.stderr)
    if journal.torn_bytes:
        print("agentui: the last record was not finished and is left out", file=sys.stderr)
