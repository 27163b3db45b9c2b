"""`agentui -p TASK`: a run without a screen, for scripts and pipes."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import select
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from agentui.cli import continuing
from agentui.cli.arguments import Start, agreed
from agentui.cli.outputs import forget_unread
from agentui.cli.ports import LiveSession
from agentui.cli.printers import JsonPrinter, Printer, TextPrinter
from agentui.control import Interrupt, Quit
from agentui.errors import UsageError
from agentui.events import EndReason, Recorded, RunEnded, RunStarted
from agentui.text import plural
from agentui.workspace.fitness import refuse_unfit

EXIT_CODES: dict[EndReason, int] = {
    "done": 0,
    "failed": 1,
    "limit": 3,
    "guard": 4,
    "unavailable": 75,
    "interrupted": 130,
}

MAX_INPUT_BYTES = 4 << 20
"""Longer input would fit no context; it is refused instead of cut."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 2.0
_UNWATCHED_SPEED = 4.0
"""Nobody watches the words of a demo without a screen arrive: two minutes become half a minute."""


def run_printing(
    args: argparse.Namespace, begun: Start, *, accepts_changes: bool, journal: Path | None = None
) -> int:
    """Run the task of `args` and print it; returns the exit code of how the run ended.

    With `accepts_changes` all changes are applied without asking. With `journal` that session goes on: with the
    task, or without one with the run that was stopped.

    Raises:
        UsageError: If there is no task, or something would have to ask.
        ProjectUnfit: If the folder cannot be a project.
    """
    if begun.loaded.settings.approve == "ask":
        raise UsageError(
            f"approve = ask ({begun.loaded.origins['approve']}) cannot go with -p: there is nobody to ask",
            hint="add --approve never, or leave -p away",
        )
    if not args.demo:
        begun = agreed(begun, may_ask=False)
        refuse_unfit(begun.project, begun.places.state, begun.places.home)
    given = read_input(sys.stdin)
    goes_on = journal is not None and not (args.task or given.strip())
    task = None if goes_on else joined_task(_typed_task(args), given)
    printer = make_printer(args.mode or "text", samples=args.samples)

    def open_session() -> LiveSession:
        from agentui import wire

        return wire.open_session(
            begun.loaded.settings,
            project=begun.project,
            demo=args.demo,
            demo_speed=args.demo_speed or _UNWATCHED_SPEED,
            accepts_changes=accepts_changes,
            resume=journal,
            kept=continuing.kept(begun.loaded),
        )

    return asyncio.run(print_run(open_session, task, printer, tells_past=journal is None))


def _typed_task(args: argparse.Namespace) -> str | None:
    if args.task or not args.demo:
        task: str | None = args.task
        return task
    from agentui import wire

    return wire.DEMO_TASK


def make_printer(mode: str, *, samples: bool) -> Printer:
    """The printer of a ``--mode``, on our standard output and standard error."""
    out, err = _writer(sys.stdout), _writer(sys.stderr)
    return JsonPrinter(out, err, samples=samples) if mode == "json" else TextPrinter(out, err)


def _writer(stream: TextIO) -> Callable[[str], None]:
    # Text is clean, but a terminal of another encoding may lack a character: better a mark than the end.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write


def joined_task(task: str | None, given: str) -> str:
    """The task with what came by standard input below it.

    Raises:
        UsageError: If both are empty.
    """
    parts = [part for part in ((task or "").strip(), given.strip("\n")) if part.strip()]
    if not parts:
        raise UsageError("-p needs a task", hint='give one: agentui -p "write tests for cart.py"')
    return "\n\n".join(parts)


def read_input(stream: TextIO) -> str:
    """All of a pipe or file on standard input; nothing from a terminal or a closed one. Blocks.

    Raises:
        UsageError: If it is longer than `MAX_INPUT_BYTES`.
    """
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
    except (OSError, ValueError, AttributeError):
        return ""
    if stat.S_ISCHR(mode):
        return ""
    if not select.select([fd], [], [], _PATIENCE_S)[0]:
        print("agentui: reading standard input until it ends (</dev/null to go on without)", file=sys.stderr)
    content = bytearray()
    while chunk := os.read(fd, 1 << 16):
        content += chunk
        if len(content) > MAX_INPUT_BYTES:
            raise UsageError(
                f"standard input is over {MAX_INPUT_BYTES >> 20} MiB, more than any context holds",
                hint="name the file in the task instead; the agent can read it",
            )
    return content.decode("utf-8", "replace")


async def print_run(
    open_session: Callable[[], LiveSession], task: str | None, printer: Printer, *, tells_past: bool = True
) -> int:
    """Run one task, printing until its `RunEnded`; signals and a closed pipe end it.

    Ctrl+C and a closed pipe interrupt it for good; SIGTERM and SIGHUP save it, so that the session can go on.
    Without a task the run goes on that was stopped. What comes after `RunEnded` is recorded but not printed,
    nor is what was recorded before, unless `tells_past`. The exit code is that of the run.
    """
    session = open_session()
    has_begun, is_over = tells_past, False
    asked: Interrupt | Quit | None = None

    def end(control: Interrupt | Quit) -> None:
        nonlocal asked
        asked = control
        if not is_over:
            session.services.send(control)

    def hear(recorded: Recorded) -> None:
        nonlocal has_begun, is_over
        has_begun = has_begun or isinstance(recorded.event, RunStarted)
        if asked is not None and isinstance(recorded.event, RunStarted):
            session.services.send(asked)  # when it was asked for there was no run yet that could end
        if is_over or (isinstance(recorded.event, RunEnded) and not has_begun):
            return  # before it began, it is the end of a run that a crash left open
        is_over = isinstance(recorded.event, RunEnded)
        try:
            printer.take(recorded)
        except BrokenPipeError:
            forget_unread()
            end(Interrupt())
            is_over = True

    with ended_by_signals(end):
        try:
            for recorded in session.recorder.past if tells_past else ():
                hear(recorded)
            session.recorder.subscribe(hear)
            ended = await session.run_task(task)
            if task is None and not has_begun:
                is_over = True
                _tell_before(session, printer)
        finally:
            await session.aclose()
    if lost := session.recorder.unwritten:
        tell_unwritten(lost)
    return EXIT_CODES[ended.reason]


def tell_unwritten(records: int) -> None:
    """Say on standard error what a full disk cost."""
    print(f"agentui: the disk did not take {plural(records, 'record')} of this session", file=sys.stderr)


def _tell_before(session: LiveSession, printer: Printer) -> None:
    """The run that was to go on had ended; its end is printed once more, since whoever asks waits for one."""
    last = next(r for r in reversed(session.recorder.past) if isinstance(r.event, RunEnded))
    printer.take(last)
    print("agentui: the run was done before; a task begins another", file=sys.stderr)


@contextmanager
def ended_by_signals(end: Callable[[Interrupt | Quit], object]) -> Iterator[None]:
    """The first signal ends the run and saves it; a second one ends whatever does not.

    A SIGHUP that is ignored stays so: whoever types nohup wants the run to outlive the terminal.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    asked = 0

    def on_signal(number: signal.Signals) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            print(f"agentui: {number.name}: ending the run, saving the session", file=sys.stderr, flush=True)
            end(Interrupt() if number == signal.SIGINT else Quit())
        elif running is not None:
            running.cancel()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number in before:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    except asyncio.CancelledError:
        if not asked:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
