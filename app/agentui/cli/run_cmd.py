"""The dashboard on a live session, or on a recorded one."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.cli import continuing
from agentui.cli.arguments import Start, agreed, start
from agentui.control import Submit
from agentui.errors import UsageError
from agentui.events import Recorded, SessionStarted
from agentui.paths import places
from agentui.text import clean_line

if TYPE_CHECKING:
    from agentui.session.replay import ReplayServices
    from agentui.tui.services import Services, Wanted
    from agentui.view.timeline import Timeline
    from agentui.wire import OpeningServices

log = logging.getLogger(__name__)

GC_AFTER_OBJECTS = 20_000
"""New objects between two searches for cycles. With Python's 700 a tenth of the start goes into them."""
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def run_dashboard(
    args: argparse.Namespace, begun: Start, *, accepts_changes: bool, journal: Path | None = None
) -> int:
    """Open the dashboard and stay until the user quits; `accepts_changes` applies all without asking.

    Raises:
        UsageError: If there is no terminal.
        SessionError: If the session cannot be kept.
    """
    need_terminal()
    gc.set_threshold(GC_AFTER_OBJECTS)
    while True:
        if not args.demo:
            begun = agreed(begun, may_ask=True)
        wanted = asyncio.run(_live(args, begun, accepts_changes, journal))
        if wanted is None:
            return 0
        args.task, args.continues, args.directory, args.demo = None, False, None, False
        args.resume = wanted.session_id
        journal = continuing.wanted_session(args)
        if wanted.branch_turn is not None and journal is not None:
            journal = _branched(journal, wanted.branch_turn)
        begun = start(args)
        accepts_changes = args.demo and begun.loaded.origins["apply"].kind != "flag"


def _branched(journal: Path, turn: int) -> Path:
    from agentui.wire.resuming import branch

    return branch(places(), journal, turn)


async def _live(
    args: argparse.Namespace, begun: Start, accepts_changes: bool, journal: Path | None
) -> Wanted | None:
    """Show one session until the user leaves it; what they want instead."""
    from agentui import wire
    from agentui.tui.app import AgentuiApp

    settings = begun.loaded.settings
    gc.freeze()  # all that was imported stays: no search needs to look at it again
    busy = continuing.why_busy(journal) if journal is not None else ""
    own = None if busy else _opening(args, begun, accepts_changes, journal)
    services: Services = own or _followed(journal)
    picks = args.resume == continuing.PICK
    task = args.task or (wire.DEMO_TASK if args.demo and journal is None and not picks else None)
    if task:
        services.send(Submit(task))
    begun_sessions: list[str] = []
    services.subscribe(lambda recorded: _note_session(recorded, begun_sessions))
    app = AgentuiApp(
        services,
        theme=settings.theme,
        keymap=dict(settings.keymap),
        apply_asks=settings.apply == "ask" and not accepts_changes,
        list_sessions=continuing.session_choices,
        picks_first=picks,
        read_only_words=busy,
    )
    try:
        with ended_by_signals(app.leave):
            await app.run_async()
    finally:
        await services.stop()
    if own is not None and own.unwritten:
        from agentui.cli.print_cmd import tell_unwritten

        tell_unwritten(own.unwritten)
    if app.failure is not None:
        raise app.failure
    if app.wanted is None and not busy and begun_sessions:
        _say_farewell(begun_sessions[-1], goes_on=not args.demo)
    return app.wanted


def _followed(journal: Path | None) -> Services:
    """A session that another agentui writes."""
    from agentui.session.follow import FollowServices

    assert journal is not None, "only a session that goes on can be busy"
    return FollowServices(journal)


def _opening(
    args: argparse.Namespace, begun: Start, accepts_changes: bool, journal: Path | None
) -> OpeningServices:
    """A session of our own, which opens behind the first frame."""
    from agentui import wire

    def open_session() -> wire.LiveSession:
        return wire.open_session(
            begun.loaded.settings,
            project=begun.project,
            demo=args.demo,
            demo_speed=args.demo_speed or 1.0,
            accepts_changes=accepts_changes,
            interactive=True,
            resume=journal,
            kept=continuing.kept(begun.loaded),
        )

    return wire.OpeningServices(open_session, has_past=journal is not None)


def _note_session(recorded: Recorded, begun: list[str]) -> None:
    if isinstance(recorded.event, SessionStarted):
        begun.append(recorded.event.session_id)


def _say_farewell(session_id: str, *, goes_on: bool) -> None:
    try:
        print(_farewell(session_id, goes_on=goes_on), flush=True)
    except OSError as error:
        log.info("the terminal was closed: %s", error)


def _farewell(session_id: str, *, goes_on: bool) -> str:
    """What is left behind, and the ways back to it; the demo's folder is a new one each time."""
    ways = ["agentui -c goes on"] if goes_on else []
    return " · ".join([f"session {clean_line(session_id)}", *ways, f"agentui replay {clean_line(session_id)}"])


def replay_on_dashboard(
    records: Sequence[Recorded], speed: float | None, folder: Path, begun: Start, at_s: float | None = None
) -> int:
    """Play `records` through the same dashboard, from `at_s` on, without a run behind it.

    Outputs of commands lie in `folder`.

    Raises:
        UsageError: If there is no terminal.
    """
    need_terminal()
    from agentui.session.replay import ReplayServices
    from agentui.view.timeline import Timeline

    timeline = Timeline(records)
    gc.freeze()  # the session stays as it is: a search through all of it takes longer than a seek
    services = ReplayServices(records, speed, folder)
    if at_s is not None:
        at_s = min(at_s, timeline.duration_s)
        services.seek(timeline.place_at(at_s), at_s)
    return asyncio.run(_replayed(services, timeline, begun))


async def _replayed(services: ReplayServices, timeline: Timeline, begun: Start) -> int:
    from agentui.tui.app import AgentuiApp
    from agentui.tui.screens.replay import ReplayScreen

    settings = begun.loaded.settings
    app = AgentuiApp(
        services,
        theme=settings.theme,
        keymap=dict(settings.keymap),
        ground=lambda: ReplayScreen(services, timeline),
    )
    try:
        with ended_by_signals(app.leave):
            await app.run_async()
    finally:
        await services.stop()
    return 0


def need_terminal() -> None:
    """Make sure that a screen can be shown.

    Raises:
        UsageError: If standard input or output is no terminal, or one that cannot place text.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the dashboard needs a terminal", hint="without one: agentui -p TASK")
    if os.environ.get("TERM") == "dumb":
        hint = "without a screen: agentui -p TASK"
        raise UsageError("this terminal (TERM=dumb) cannot show the dashboard", hint=hint)


@contextmanager
def ended_by_signals(end: Callable[[], object]) -> Iterator[None]:
    """Call `end` when the system or the terminal asks us to go, so that the session is saved first."""
    loop = asyncio.get_running_loop()
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in _ENDING_SIGNALS:
            loop.remove_signal_handler(number)
