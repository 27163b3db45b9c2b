"""`agentui sandbox run`: one command on a private copy of the project, and how it ended."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentui.cli import UNAVAILABLE
from agentui.cli.arguments import Start, add_settings, start
from agentui.cli.sandbox_output import Capture, StreamOut, json_line
from agentui.errors import AgentuiError, SandboxUnavailable, UsageError, WorkspaceError
from agentui.events import EgressDecided, Event, ToolOutcome
from agentui.sandbox.base import Command, CommandResult, OnOutput, OutputChunk
from agentui.text import clean, clean_line

if TYPE_CHECKING:
    from agentui.wire import Bench

EXIT_CODES: dict[ToolOutcome, int] = {"timeout": 124, "killed": 137, "oom": 137, "lost": 75, "refused": 75}
"""Outcomes that have an exit code of their own; else it is the command's."""

_EPILOG = """\
A single COMMAND is a line for bash; several words are quoted and joined. It runs on a copy of DIR that is
thrown away afterwards, with --keep on the copy that belongs to DIR, with --workspace on that copy. The copy has
what git tracks and what is untracked but not ignored, and no secrets; --all copies everything. Nothing is
applied.

exit codes: the command's own; 124 it ran out of time; 137 it was killed or ran out of memory;
            75 what became of it is not known, or it was refused because there is no safe place for it; 2 usage
--json:     one object on one line: exit_code (null if lost or refused), outcome (ok, error, timeout, killed,
            oom, lost, refused), wall_s, stdout, stderr, stdout_bytes, stderr_bytes, workspace; of long output
            the texts keep beginning and end; why it ended so is said on standard error
"""


def add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """Declare the flags of `agentui sandbox run`."""
    parser.epilog = _EPILOG
    add_settings(parser, ("sandbox", "profile", "research_allow", "seed_limit_bytes"))
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="end it after so many seconds")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--workspace", metavar="ID", help="work on this copy and keep it")
    which.add_argument("--keep", action="store_true", help="work on the project's own copy and keep it")
    parser.add_argument("--all", action="store_true", help="copy everything: ignored files and secrets too")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="what to run, after --")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 604_800:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code, or the one that stands for how it ended.

    Raises:
        UsageError: If there is no such workspace.
        AgentuiError: Without ``--json``: why it was refused.
    """
    begun = start(args)
    from agentui import wire

    bench = wire.open_bench(
        begun.loaded.settings,
        begun.places,
        begun.project,
        workspace_id=args.workspace,
        is_kept=args.keep,
        everything=args.all,
    )
    if args.workspace and args.directory and bench.project != begun.project:
        raise UsageError(f"{args.workspace} is a copy of {bench.project}, not of {begun.project}")
    command = _command(args, begun)
    return asyncio.run(_report(bench, command) if args.json else _stream(bench, command))


def _command(args: argparse.Namespace, begun: Start) -> Command:
    words: list[str] = args.command
    text = words[0] if len(words) == 1 else shlex.join(words)
    if "\0" in text:
        raise UsageError("a command cannot hold a NUL byte")
    return Command(text, timeout_s=args.timeout or begun.loaded.settings.command_timeout_s)


async def _stream(bench: Bench, command: Command) -> int:
    """Print output as it comes."""
    output = StreamOut(sys.stdout.buffer, sys.stderr.buffer, sys.stdout.isatty(), sys.stderr.isatty())
    try:
        result = await _run(bench, command, output.take)
    except WorkspaceError as error:
        # It did not run, whatever the reason is: the same code as without an engine.
        raise SandboxUnavailable(f"the command did not run: {error.message}", hint=error.hint) from error
    finally:
        output.close()
    _tell_why(result)
    return _code(result)


def _tell_why(result: CommandResult) -> None:
    if result.message and result.outcome not in ("ok", "error"):
        print(f"agentui: {clean(result.message)}", file=sys.stderr)


async def _report(bench: Bench, command: Command) -> int:
    """Print one JSON object at the end."""
    capture = Capture()
    try:
        result = await _run(bench, command, capture.take)
    except AgentuiError as error:
        text = f"{error.message}\n{' ' * 9}{error.hint}".rstrip()
        result = CommandResult("refused", None, 0.0, message=text)
    record = {
        "exit_code": _known_code(result),
        "outcome": result.outcome,
        "wall_s": round(result.wall_s, 3),
        **capture.fields(),
        "workspace": bench.place.workspace_id,
    }
    _tell_why(result)
    print(json_line(record), flush=True)
    return _code(result)


def _known_code(result: CommandResult) -> int | None:
    """The command's own code, or what stands for it where we ended the command; ``None`` if nobody knows."""
    if result.outcome in ("lost", "refused"):
        return None
    return EXIT_CODES.get(result.outcome) if result.exit_code is None else result.exit_code


def _code(result: CommandResult) -> int:
    own = EXIT_CODES.get(result.outcome)
    if own is not None:
        return own
    return result.exit_code if result.exit_code is not None else UNAVAILABLE


async def _run(bench: Bench, command: Command, take: OnOutput) -> CommandResult:
    """Open, run and close; a signal, or a reader that goes, ends the command with everything it started.

    Raises:
        BrokenPipeError: If nobody reads our output any more.
        KeyboardInterrupt: If a signal came.
    """
    task = asyncio.current_task()
    assert task is not None
    is_closed = False

    def taken(chunk: OutputChunk) -> None:
        nonlocal is_closed
        if is_closed:
            return
        try:
            take(chunk)
        except BrokenPipeError:
            is_closed = True
            task.cancel()

    with _ended_by_signals(task) as signals:
        try:
            await bench.open(_noter(), _tell_egress)
            return await bench.run(command, taken)
        except asyncio.CancelledError:
            if is_closed:
                raise BrokenPipeError from None
            if signals:
                raise KeyboardInterrupt from None
            raise
        finally:
            await bench.aclose()


def _noter() -> Callable[[str], None]:
    """Progress in words, for people at a terminal only."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f"agentui: {clean(text)}", file=sys.stderr)


def _tell_egress(event: Event) -> None:
    """Each connection that was asked for, on standard error; nothing else of what happens."""
    if isinstance(event, EgressDecided):
        target = clean_line(event.target)
        print(f"agentui: connection {event.verdict}: {target} ({clean_line(event.why)})", file=sys.stderr)


@contextmanager
def _ended_by_signals(task: asyncio.Task[Any]) -> Iterator[list[signal.Signals]]:
    """Cancel `task` at the first of the signals that end a program; yields those that came."""
    loop = asyncio.get_running_loop()
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        task.cancel()

    numbers = (signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        yield came
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
