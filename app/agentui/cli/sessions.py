"""`agentui sessions`: list recorded sessions, show their run cards, verify and remove them.

Without an action the sessions of this folder's project are listed. WORDS of `list` are searched in project,
task, model, id and how the session ended.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from agentui.card_text import card_rows, card_title
from agentui.cli import sessions_verify
from agentui.cli.arguments import Start, start
from agentui.cli.replay import read_session
from agentui.errors import UsageError
from agentui.event_json import plain
from agentui.events import RunCard
from agentui.session.card import run_cards
from agentui.session.listing import Retention, SessionSummary, beyond, remove_session, summarise
from agentui.session.store import SessionStore
from agentui.text import clean_line, human_bytes, plural

_TASK_CHARS = 48
EXIT_CODES = """exit codes: 0 done, also an empty list; 1 no such session, verify found damage, or remove kept
            one that can be undone; 2 usage; 75 another agentui writes the session that was to be removed"""
_REMOVE_CODES = "exit codes: 0 removed, 1 one is kept since it can be undone, 75 another agentui writes it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui sessions`."""
    parser.add_argument("-C", dest="directory", metavar="DIR", help="work in this folder instead")
    actions = parser.add_subparsers(dest="action", metavar="list|show|remove|verify")
    listed = actions.add_parser("list", help="sessions, the newest first")
    # What was said before the action must not be taken back by the action's own defaults.
    for owner, default in ((parser, None), (listed, argparse.SUPPRESS)):
        owner.add_argument("--json", action="store_true", default=default, help="one JSON object")
        owner.add_argument("--all", action="store_true", default=default, help="of all projects")
        owner.add_argument("--limit", type=_count, metavar="N", default=default, help="only the newest N")
    listed.add_argument("words", nargs="*", metavar="WORDS", help="only sessions that hold all of them")
    shown = actions.add_parser("show", help="the card of each run", epilog="exit codes: 0, 1 no such session")
    shown.add_argument("session", nargs="?", metavar="ID", help="default: the last one of this folder")
    shown.add_argument("--json", action="store_true", help="one JSON object")
    removed = actions.add_parser("remove", help="delete sessions with all their files", epilog=_REMOVE_CODES)
    removed.add_argument("sessions", nargs="*", metavar="ID")
    removed.add_argument("--beyond", action="store_true", help="all that the settings sessions.* do not keep")
    removed.add_argument("--yes", action="store_true", help="also those whose applies can still be undone")
    removed.add_argument("--json", action="store_true", help="one JSON object")
    verified = actions.add_parser(
        "verify", help="whether everything can still be read", epilog="exit codes: 0 clean, 1 damaged"
    )
    sessions_verify.add_arguments(verified)


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not count:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return count


def run(args: argparse.Namespace) -> int:
    """Do what was asked.

    Raises:
        SessionError: If there is no such session, or it cannot be removed.
        UsageError: If flags make no sense.
    """
    begun = start(args)
    store = SessionStore(begun.places.sessions)
    match args.action:
        case "show":
            return _show(args, begun, store)
        case "remove":
            return _remove(args, begun, store)
        case "verify":
            return sessions_verify.run(args, store)
        case _:
            return _list(args, begun, store)


def _list(args: argparse.Namespace, begun: Start, store: SessionStore) -> int:
    words: Sequence[str] = getattr(args, "words", ())
    infos = store.sessions()
    if not args.all:
        here = str(begun.project.resolve())
        infos = [info for info in infos if info.project == here]
    fitting = (session for info in infos if (session := summarise(info)).matches(words))
    found = list(islice(fitting, args.limit))
    if args.json:
        print(json.dumps({"sessions": [summary_object(session) for session in found]}))
        return 0
    for line in list_lines(found, has_project=args.all):
        print(line)
    if not found:
        where = "" if args.all else " of this folder; --all lists those of all"
        print(f"no sessions{where}", file=sys.stderr)
    return 0


def summary_object(session: SessionSummary) -> dict[str, Any]:
    """A session as JSON; sizes in bytes."""
    info = session.info
    return {
        "id": info.session_id,
        "project": info.project,
        "started_utc": info.started_utc.isoformat(),
        "size_bytes": session.size_bytes,
        "is_open": session.is_open,
        "tasks": list(session.tasks),
        "waiting": list(session.waiting),
        "models": list(session.models),
        "ended": session.ending,
        "reason": session.reason,
        "is_saved": session.is_saved,
        "turns": session.turns,
        "applied": session.applied,
    }


def list_lines(sessions: Sequence[SessionSummary], *, has_project: bool) -> list[str]:
    """Sessions as a table of clean text."""
    rows = [("ID", "WHEN", "ENDED", "TURNS", "SIZE", "MODEL", "PROJECT" if has_project else "", "TASK")]
    for session in sessions:
        project = session.info.project.rstrip("/").rpartition("/")[2] if has_project else ""
        rows.append(
            (
                session.session_id.rpartition("-")[2],
                session.info.started_utc.astimezone().strftime("%Y-%m-%d %H:%M"),
                session.ending,
                str(session.turns),
                human_bytes(session.size_bytes),
                clean_line(", ".join(session.models)).rpartition("/")[2] or "?",
                clean_line(project),
                _short(session.said or "(no task)"),
            )
        )
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    kept = [column for column, width in enumerate(widths) if width]
    return ["  ".join(row[column].ljust(widths[column]) for column in kept).rstrip() for row in rows]


def _short(text: str) -> str:
    line = clean_line(text)
    return line if len(line) <= _TASK_CHARS else line[: _TASK_CHARS - 1] + "…"


def _show(args: argparse.Namespace, begun: Start, store: SessionStore) -> int:
    path = store.find(args.session) if args.session else store.newest(begun.project)
    journal = read_session(path)
    cards = run_cards(journal.records)
    if args.json:
        print(json.dumps({"journal": str(path), "runs": [card_object(card) for card in cards]}))
        return 0
    for number, card in enumerate(cards, start=1):
        if number > 1:
            print()
        print(f"{number}. {_short(card.task)}  ({card.started_utc})")
        print(f"   {card_title(card)}")
        rows = card_rows(card)
        width = max(len(label) for label, _ in rows)
        for label, text in rows:
            print(f"   {label:<{width}}  {text}")
    if not cards:
        print("no task was run in this session", file=sys.stderr)
    return 0


def card_object(card: RunCard) -> dict[str, Any]:
    """A card as JSON, with whether each check passed."""
    held: dict[str, Any] = plain(card)
    held["checks"] = [{**asdict(check), "is_passed": check.is_passed} for check in card.checks]
    return held


def _remove(args: argparse.Namespace, begun: Start, store: SessionStore) -> int:
    if bool(args.sessions) == args.beyond:
        raise UsageError("name sessions to remove, or say --beyond", hint="agentui sessions list shows them")
    if args.beyond:
        chosen = _beyond(begun, store)
    else:
        journals = [store.find(name) for name in args.sessions]
        folders = {path.parent for path in journals}
        chosen = [summarise(info) for info in store.sessions() if info.folder in folders]
        if len(chosen) != len(folders):
            raise UsageError("only sessions of this user can be removed, not other files")
    gone, kept = [], []
    for session in chosen:
        if session.applied and not (args.yes or _agreed(session)):
            kept.append(session)
            continue
        remove_session(store, session.info)
        gone.append(session)
    if args.json:
        names = {"removed": [s.session_id for s in gone], "kept": [s.session_id for s in kept]}
        print(json.dumps(names))
    else:
        size = sum(session.size_bytes for session in gone)
        print(f"{plural(len(gone), 'session')} removed, {human_bytes(size)}")
    for session in kept:
        print(f"agentui: {session.session_id} is kept: its applies can still be undone", file=sys.stderr)
        print("         agentui sessions remove --yes removes it all the same", file=sys.stderr)
    return 1 if kept and not args.beyond else 0


def _beyond(begun: Start, store: SessionStore) -> list[SessionSummary]:
    settings = begun.loaded.settings
    retention = Retention(settings.keep_days, settings.keep_bytes)
    if not retention.is_bounded:
        raise UsageError(
            "the settings keep every session", hint="set keep_days or keep_size below [sessions] in config.toml"
        )
    going, asking = beyond(retention, store.sessions(), datetime.now(UTC))
    return [*going, *asking]


def _agreed(session: SessionSummary) -> bool:
    """Ask before undo history goes; where nobody can be asked the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    what = f"{session.session_id} ({_short(session.said)})"
    applies = plural(session.applied, "apply" if session.applied == 1 else "applie")
    print(f"{what}: {applies} can still be undone. Remove it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
