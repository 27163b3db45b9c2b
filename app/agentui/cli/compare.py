r"""`agentui compare`: the same task with different models or settings, or finished sessions beside each other.

    agentui compare "split report.py" --runs 3 --check test \
        --with model=a --with model=b,context=64k
    agentui compare ID ID

Every run works on its own copy of the same snapshot; nothing reaches your project. Started again after it was
stopped, it goes on after the last run that ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from agentui.cli.arguments import ALL_FLAGS, Start, add_settings, agreed, start
from agentui.config.settings import RULES
from agentui.errors import UsageError
from agentui.session.compare import (
    Column,
    Comparison,
    Plan,
    begin,
    column_object,
    last_card,
    make_column,
    read_variant,
)
from agentui.session.store import SessionStore
from agentui.text import clean, clean_line, human_bytes, human_context, human_duration, human_rate, human_tokens

_PLOT_SIZE = (72, 14)
_SHORT = {"context": "context_tokens"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui compare`."""
    parser.add_argument(
        "what", nargs="+", metavar="TASK|ID", help="one task, or two and more finished sessions"
    )
    parser.add_argument(
        "--with",
        dest="variants",
        action="append",
        default=[],
        metavar="NAME=VALUE,…",
        help="one side; say it again for each",
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="so many runs with each")
    parser.add_argument("--check", metavar="NAME", help="run this check of yours after each run")
    parser.add_argument("--fresh", action="store_true", help="begin anew what was stopped half way")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--format", choices=("text", "md"), default="text", help="md: a Markdown table")
    add_settings(parser, [name for name in ALL_FLAGS if name not in ("apply", "approve", "theme")])


def run(args: argparse.Namespace) -> int:
    """Compare.

    Raises:
        UsageError: If it is not clear what is to be compared.
        SessionError: If there is no such session, or nothing can be kept.
    """
    begun = start(args)
    if args.variants:
        columns = _of_task(args, begun)
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
        print("\n".join(table_lines(columns)))
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


def _of_task(args: argparse.Namespace, begun: Start) -> list[Column]:
    if len(args.what) != 1 or not args.what[0].strip():
        raise UsageError("with --with there is one task, in quotes")
    if args.runs < 1:
        raise UsageError(f"--runs must be 1 or more, not {args.runs}")
    from agentui import wire

    names = {**{name: name for name in wire.COMPARABLE if name in RULES}, **_SHORT}
    variants = []
    for typed in args.variants:
        variant = read_variant(typed, names)
        for name, value in variant.settings:
            try:
                RULES[names[name]].parse(value)
            except ValueError as error:
                raise UsageError(f"--with {typed}: {name} {error}") from error
        variants.append(variant)
    if len(set(variants)) != len(variants):
        raise UsageError("two sides are the same", hint="--runs N repeats each")
    begun = agreed(begun, may_ask=sys.stdin.isatty() and sys.stderr.isatty())
    plan = Plan(args.what[0], str(begun.project), tuple(variants), args.runs, args.check)
    comparison, goes_on = begin(begun.places.state / "comparisons", plan, fresh=args.fresh)
    with comparison.held():
        if goes_on:
            _note(f"going on with {comparison.folder} and its copy of the project; --fresh begins anew")
        else:
            _note(f"kept in {comparison.folder}")
        asyncio.run(_run(comparison, begun, names))
    return comparison.columns()


async def _run(comparison: Comparison, begun: Start, names: dict[str, str]) -> None:
    from agentui import wire

    runs = wire.CompareRuns(begun.loaded.settings, begun.places, comparison, names, _note)
    await runs.clear()
    await runs.take_snapshot()
    await comparison.run(runs.start_run, _note)


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


def table_lines(columns: Sequence[Column]) -> list[str]:
    """The comparison as a table for a terminal."""
    table = rows(columns)
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

    figure = plotext.figure
    figure.clear.all()
    figure.theme("colorless")
    figure.plot_size(*size)
    markers = "ox+*#@%&"
    legend = []
    for number, column in enumerate(shown):
        marker = markers[number % len(markers)]
        depths = [float(depth) for depth, _ in column.depths]
        signal = figure.signal(depths, [speed for _, speed in column.depths], marker=marker)
        figure.draw(signal.lines() if len(depths) > 1 else signal)
        legend.append(f"{marker} {clean_line(column.name)}")
    figure.ruler("y").lim(0, 1.1 * max(speed for column in shown for _, speed in column.depths))
    return f"{clean(figure.build().string()).rstrip()}\n{'   '.join(legend)}"
