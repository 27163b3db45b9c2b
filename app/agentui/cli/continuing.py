"""`-c` and `-r`: which session goes on, and in which folder."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.errors import SessionBusy, SessionError, UsageError
from agentui.paths import Places, places

if TYPE_CHECKING:
    from agentui.config import Loaded
    from agentui.session.store import SessionInfo, SessionStore
    from agentui.tui.services import SessionChoice

PICK = ""
"""``-r`` without an id: choose on the screen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``-c`` and ``-r``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-c",
        "--continue",
        action="store_true",
        dest="continues",
        help="go on with the session of this folder that was worked on last",
    )
    which.add_argument(
        "-r",
        "--resume",
        dest="resume",
        nargs="?",
        const=PICK,
        metavar="ID|PATH",
        help="go on with this session; without an id choose one on the screen",
    )


def wanted_session(args: argparse.Namespace) -> Path | None:
    """The journal to go on with, if that was asked for; the folder and kind of `args` follow from it.

    Raises:
        UsageError: If flags do not go together.
        SessionError: If there is no such session.
    """
    if args.resume == PICK and args.prints:
        raise UsageError("-r needs an id with -p: there is no screen to choose on")
    if not args.continues and not args.resume:
        return None
    from agentui.session.store import SessionStore

    where = places()
    store = SessionStore(where.sessions)
    if args.continues:
        return _newest(store, where, args)
    journal = store.find(args.resume)
    _stay_in_its_folder(args, store, journal, where)
    return journal


def _newest(store: SessionStore, where: Places, args: argparse.Namespace) -> Path:
    """The session of the folder that was written last and in which anything was asked."""
    from agentui.session.listing import summarise

    project = os.path.realpath(args.directory or Path.cwd())
    newest: SessionInfo | None = None
    for info in store.last_written():
        is_ours = is_of_demo(info, where) if args.demo else info.project == project
        if is_ours and summarise(info).has_text:
            return info.journal
        newest = newest or (info if is_ours else None)
    if newest is not None:
        return newest.journal
    of = "the demo" if args.demo else project
    raise SessionError(f"there is no session of {of} yet", hint="agentui -r lists those of other folders")


def kept(loaded: Loaded) -> frozenset[str]:
    """What goes on as it was in the session, since no flag says otherwise: who thinks, and where."""
    return frozenset(name for name in ("harness", "pi_place") if loaded.origins[name].kind != "flag")


def is_of_demo(info: SessionInfo, where: Places) -> bool:
    """Whether the session was one of the demo."""
    return where.demo in Path(info.project).parents


def _stay_in_its_folder(args: argparse.Namespace, store: SessionStore, journal: Path, where: Places) -> None:
    info = next((info for info in store.sessions() if info.journal == journal), None)
    if info is None or not info.project:
        return
    if is_of_demo(info, where):
        args.demo = True
        return
    if args.demo:
        raise UsageError(f"{info.session_id} is no session of the demo", hint="leave --demo away")
    asked = os.path.realpath(args.directory) if args.directory else info.project
    if asked != info.project:
        raise UsageError(f"{info.session_id} is a session of {info.project}, not of {asked}")
    if Path(info.project).is_dir():
        args.directory = info.project


def why_busy(journal: Path) -> str:
    """Why the session can only be looked at; empty if it can go on."""
    from agentui.session.store import SessionStore

    try:
        SessionStore(places().sessions).open(journal.parent).close()
    except SessionBusy as busy:
        return f"{busy.message}: nothing is sent from here"
    except SessionError:
        return ""  # opening it will say what is wrong
    return ""


async def session_choices() -> list[SessionChoice]:
    """All sessions in which anything was said, the newest first."""
    return await asyncio.to_thread(_choices)


def _choices() -> list[SessionChoice]:
    from agentui.session.listing import summarise
    from agentui.session.store import SessionStore
    from agentui.tui.services import SessionChoice

    choices: list[SessionChoice] = []
    for info in SessionStore(places().sessions).sessions():
        summary = summarise(info)
        if not summary.has_text:
            continue
        choices.append(
            SessionChoice(
                info.session_id,
                info.project,
                summary.said,
                ", ".join(summary.models),
                info.started_utc.astimezone().strftime("%Y-%m-%d %H:%M"),
                summary.ending,
                summary.turns,
                summary.size_bytes,
            )
        )
    return choices
