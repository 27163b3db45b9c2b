r"""`agentui compare`: the same task with different models or settings, or finished sessions beside each other.

    agentui compare "split report.py" --runs 3 --check test \
        --with model=a --with model=b,context=64k
    agentui compare "split report.py" --model a \
        --with system=short.txt --with system=long.txt
    agentui compare ID ID

Every run works on its own copy of the same snapshot; nothing reaches your project. Started again after it was
stopped, it goes on after the last run that ended; of one that is done the table is printed again (in any form),
and --fresh runs it anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from agentui.cli.arguments import ALL_FLAGS, Start, add_settings, agreed, start, typed
from agentui.cli.print_cmd import EXIT_CODES, ended_by_signals
from agentui.cli.providers import with_provider
from agentui.config import Settings, load_settings
from agentui.errors import AgentuiError, UsageError
from agentui.events import RunCard
from agentui.session.card import short_hash
from agentui.session.compare import (
    Column,
    Comparison,
    Plan,
    Variant,
    begin,
    column_object,
    last_card,
    make_column,
    read_variant,
)
from agentui.session.store import SessionStore
from agentui.text import clean, clean_line, human_bytes, human_context, human_duration, human_rate, human_tokens

_PLOT_SIZE = (72, 14)
_MARKERS = "ox+*#@%&"
SIDES: Mapping[str, str] = {
    "model": "model",
    "context": "context_tokens",
    "url": "url",
    "system": "system_file",
    "harness": "harness",
    "profile": "profile",
    "max_turns": "max_turns",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "seed": "seed",
}
"""What a side of a comparison may say, and the setting it means."""
_EPILOG = f"""\
names in --with: {", ".join(SIDES)}

  --with model=gemma-4-12b-qat      another model; also PROVIDER/ID
  --with model=gemma-4-26b@q8_0     another quantization of it
  --with model=a,context=64k        the same with another context
  --with url=http://localhost:8080  another server
  --with system=prompt.txt          another system prompt
  --with temperature=0.2,top_p=0.9  another sampling

PROVIDER/ID is as in your models.json; a quantization must be one that the server has; for another context the
model is loaded anew. What a side does not say is as your settings and the other flags have it.

exit codes: 0 compared (also where runs failed), 1 failed, 2 usage, 75 server, sandbox or model not available,
            130 interrupted; after 75 and 130 the same command goes on
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui compare`."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "what", nargs="+", metavar="TASK|ID", help="one task, or two and more finished sessions"
    )
    parser.add_argument(
        "--with",
        dest="variants",
        action="append",
        default=[],
        metavar="NAME=VALUE,…",
        help="what one side has; once for each side, see below",
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="so many runs with each (default: 1)")
    parser.add_argument("--check", metavar="NAME", help="run this check of yours after each run")
    parser.add_argument("--fresh", action="store_true", help="begin anew what was stopped half way, or is done")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--format", choices=("text", "md"), default="text", help="md: a Markdown table")
    add_settings(parser, [name for name in ALL_FLAGS if name not in ("apply", "approve", "theme")])


def run(args: argparse.Namespace) -> int:
    """Compare.

    Raises:
        UsageError: If it is not clear what is to be compared.
        SessionError: If there is no such session, or nothing can be kept.
        BackendError: If a server or a model is not there.
    """
    begun = start(args)
    if args.variants:
        comparison, stopped = _of_task(args, begun)
        if stopped is not None:
            _note(f"stopped: {stopped.error or stopped.reason}; the same command goes on")
            return EXIT_CODES[stopped.reason or "interrupted"]
        columns = comparison.columns()
    elif len(args.what) > 1:
        columns = _of_sessions(args.what, begun)
    else:
        raise UsageError(
            "one thing alone cannot be compared",
            hint="a task needs --with twice: --with model=a --with model=b; or name two sessions",
        )
    if args.json:
        print(json.dumps({"columns": [column_object(column) for column in columns]}))
    elif args.format == "md":
        print("\n".join(markdown_lines(columns)))
    else:
        most_chars = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(table_lines(columns, most_chars)))
        if plot := plot_text(columns):
            print(f"\ndecode, tokens per second, by depth in tokens\n{plot}")
    return 0


def _of_sessions(names: Sequence[str], begun: Start) -> list[Column]:
    store = SessionStore(begun.places.sessions)
    columns = []
    for name in names:
        journal = store.find(name)
        card = last_card(journal)
        if card is None:
            raise UsageError(f"no task was run in session {name}")
        columns.append(make_column(journal.parent.name.rpartition("-")[2], [(card, None)]))
    return columns


def _of_task(args: argparse.Namespace, begun: Start) -> tuple[Comparison, RunCard | None]:
    """The comparison, and the run that it was stopped in, if it was."""
    if len(args.what) != 1 or not args.what[0].strip():
        raise UsageError("with --with there is one task, in quotes")
    if args.runs < 1:
        raise UsageError(f"--runs must be 1 or more, not {args.runs}")
    sides = {read_variant(text, SIDES): text for text in args.variants}
    if len(sides) != len(args.variants):
        raise UsageError("two sides are the same", hint="--runs N repeats each")
    settings = {variant: _settings(args, begun, variant, text) for variant, text in sides.items()}
    plan = Plan(args.what[0], str(begun.project), tuple(sides), args.runs, args.check, _basis(settings))
    comparison, is_known = begin(begun.places.state / "comparisons", plan, fresh=args.fresh)
    if comparison.is_done:
        _note(f"compared before, kept in {comparison.folder}; --fresh runs it anew")
        return comparison, None
    with comparison.held():
        words = f"going on with {comparison.folder} and its copy of the project; --fresh begins anew"
        try:
            stopped = asyncio.run(
                _run(comparison, begun, settings, words if is_known else f"kept in {comparison.folder}")
            )
        except AgentuiError:
            comparison.drop_unbegun()
            raise
        return comparison, stopped


def _settings(args: argparse.Namespace, begun: Start, variant: Variant, text: str) -> Settings:
    """All settings of one side: what it says counts like a flag.

    Raises:
        UsageError: If it cannot be used.
        BackendUnavailable: If the command that gives its key may not run, or gives nothing.
    """
    said = {SIDES[name]: value for name, value in variant.settings}
    try:
        loaded = load_settings({**typed(args), **said}, os.environ, begun.files)
        side = replace(begun, loaded=with_provider(loaded, begun.files, begun.places.home))
    except UsageError as error:
        raise UsageError(f"--with {text}: {error.message}", hint=error.hint) from error
    return agreed(side, may_ask=sys.stdin.isatty() and sys.stderr.isatty()).loaded.settings


def _basis(sides: Mapping[Variant, Settings]) -> str:
    """A hash of everything that decides what the runs do: of all settings, and of the system prompts they name.

    Raises:
        UsageError: If a system prompt cannot be read.
    """
    told = []
    for settings in sides.values():
        kept = replace(settings, theme=None, keymap=(), keep_days=None, keep_bytes=None)
        try:
            prompt = settings.system_file.read_text(errors="replace") if settings.system_file else ""
        except OSError as error:
            raise UsageError(f"{settings.system_file} cannot be read: {error.strerror}") from error
        told.append([repr(kept), prompt])
    return short_hash(told)


async def _run(
    comparison: Comparison, begun: Start, sides: Mapping[Variant, Settings], words: str
) -> RunCard | None:
    """Do what is left of it, once everything it needs is there; `words` say then where it is kept."""
    from agentui import wire

    running = asyncio.current_task()
    assert running is not None
    with ended_by_signals(lambda control: running.cancel()):
        runs = wire.CompareRuns(sides, begun.places, comparison, _note)
        await runs.find_models()
        await runs.find_check()
        _note(words)
        await runs.clear()
        await runs.take_snapshot()
        stopped = await comparison.run(runs.start_run, _note)
        if stopped is None:
            await runs.drop_snapshot()
        return stopped


def _note(text: str) -> None:
    print(f"agentui: {clean_line(text)}", file=sys.stderr, flush=True)


# --- the table -----------------------------------------------------------------------------------

_HEAD = ("", "MODEL", "CHECK", "ENDED", "TIME", "TURNS", "READ", "WRITTEN", "PREFILL", "DECODE", "AT DEPTH")
_TAIL = ("MEMORY", "KV")


def rows(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Head and one row for each side, all clean text."""
    found: list[tuple[str, ...]] = [(*_HEAD, *_TAIL)]
    for column in columns:
        deepest = column.depths[-1] if column.depths else None
        found.append(
            (
                clean_line(column.name),
                clean_line(column.model),
                _check(column),
                f"done {column.done}/{column.runs}",
                human_duration(None if column.minutes is None else column.minutes * 60),
                f"{column.turns:g}",
                human_tokens(_whole(column.prompt_tokens)),
                human_tokens(_whole(column.completion_tokens)),
                human_rate(column.prefill_tok_per_s),
                human_rate(column.decode_tok_per_s),
                f"{human_rate(deepest[1])} to {human_context(deepest[0])}" if deepest else "?",
                human_bytes(column.peak_memory_bytes),
                _kv(column),
            )
        )
    return found


def _kv(column: Column) -> str:
    is_estimate = column.peak_kv_bytes is not None and column.kv_source == "estimated"
    return f"{'~' * is_estimate}{human_bytes(column.peak_kv_bytes)}"


def _check(column: Column) -> str:
    if not column.checked:
        return "?"
    return f"{clean_line(column.check or 'check')} {column.passed}/{column.checked} passed"


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def table_lines(columns: Sequence[Column], most_chars: int | None = None) -> list[str]:
    """The comparison as a table for a terminal; sides stand beside each other where rows would be too long."""
    table = rows(columns)
    lines = _aligned(table)
    if most_chars is not None and max(map(len, lines)) > most_chars:
        return _aligned(list(zip(*table, strict=True)))
    return lines


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]


def markdown_lines(columns: Sequence[Column]) -> list[str]:
    """The comparison as a Markdown table."""
    head, *body = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows(columns)]
    lines = [head, ["---"] * len(head), *body]
    return [f"| {' | '.join(line)} |" for line in lines]


def plot_text(columns: Sequence[Column], size: tuple[int, int] = _PLOT_SIZE) -> str:
    """Decode speed over depth, one line for each side; empty where no depth has two points to join."""
    shown = [column for column in columns if column.depths]
    if not shown:
        return ""
    import plotext

    ticks = sorted({depth for column in shown for depth, _ in column.depths})
    top = 1.1 * max(speed for column in shown for _, speed in column.depths)
    drawn: list[str] = []
    legend: list[str] = []
    for number, column in enumerate(shown):
        marker = _MARKERS[number % len(_MARKERS)]
        figure = plotext.figure
        figure.clear.all()
        figure.theme("colorless")
        figure.plot_size(*size)
        depths = [float(depth) for depth, _ in column.depths]
        signal = figure.signal(depths, [speed for _, speed in column.depths], marker=marker)
        figure.draw(signal.lines() if len(depths) > 1 else signal)
        figure.ruler("x").lim(0, ticks[-1] * 1.05)
        figure.ruler("x").ticks([float(depth) for depth in ticks], [human_context(depth) for depth in ticks])
        figure.ruler("y").lim(0, top)
        drawn.append(clean(figure.build().string()).rstrip())
        legend.append(f"{marker} {clean_line(column.name)}")
    return f"{_overlaid(drawn)}\n{'   '.join(legend)}"


def _overlaid(drawn: Sequence[str]) -> str:
    """Plots on the same axes as one; where lines run over each other their marks take turns."""
    lines = [
        "".join(_one_of(marks, row + place) for place, marks in enumerate(zip_longest(*rows, fillvalue=" ")))
        for row, rows in enumerate(zip_longest(*(plot.split("\n") for plot in drawn), fillvalue=""))
    ]
    return "\n".join(line.rstrip() for line in lines)


def _one_of(marks: Sequence[str], turn: int) -> str:
    lines = [mark for mark in marks if mark in _MARKERS]
    return lines[turn % len(lines)] if lines else marks[0]
