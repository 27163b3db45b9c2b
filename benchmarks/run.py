"""Measure agentui against the floor and print the ratios with their bars.

    python -m benchmarks.run                 everything, some seven minutes
    python -m benchmarks.run --only idle     one part: stream, unpaced, echo, long, start, idle, sampling,
                                             memory, freeze, seek, copy, exec
    python -m benchmarks.run --floor-only    the floor alone, to judge the machine
    python -m benchmarks.run --json FILE     the figures as JSON too ("-": on stdout instead of the table)

Exit code 1 if a bar is not reached. Let the machine rest meanwhile: both programs are measured in turns, but
only the same rest makes the ratios comparable from day to day.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path

from agentui.errors import SandboxUnavailable
from benchmarks import copying, freezing, gateway, measure, sampling, seeking
from benchmarks.long import LongSubject
from benchmarks.subject import AgentuiSubject, FloorSubject, Subject, simulated_server

MIB = 1024**2
PARTS = (
    "stream",
    "unpaced",
    "echo",
    "long",
    "start",
    "idle",
    "sampling",
    "memory",
    "freeze",
    "seek",
    "copy",
    "exec",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `bar` is the largest ratio (or value, without a floor) that is good enough."""

    what: str
    unit: str
    measured: float
    bar: float
    floor: float | None = None

    @property
    def ratio(self) -> float:
        """Measured against the floor; the plain value where there is none."""
        return self.measured if self.floor is None else self.measured / self.floor

    @property
    def is_good(self) -> bool:
        """Whether the bar is reached."""
        return self.ratio <= self.bar


@dataclass
class Bench:
    """Runs measurements of both subjects in turns and collects rows."""

    agentui: AgentuiSubject | None
    quick: bool = False
    repeat: int = 3
    floor: Subject = field(default_factory=FloorSubject)
    rows: list[Row] = field(default_factory=list)

    def both(
        self, what: str, measure_one: Callable[[Subject], float], ours: Subject | None = None
    ) -> tuple[float, float]:
        """Median of a figure for the floor and for agentui; NaN for agentui if only the floor is wanted."""
        times, subject = self.repeat, ours or self.agentui
        floors: list[float] = []
        found: list[float] = []
        for turn in range(times):
            print(f"  {what} {turn + 1}/{times} ...", file=sys.stderr, flush=True)
            floors.append(measure_one(self.floor))
            if subject is not None:
                found.append(measure_one(subject))
        return statistics.median(floors), statistics.median(found) if found else float("nan")

    def compare(self, what: str, unit: str, bar: float, measure_one: Callable[[Subject], float]) -> None:
        """Measure both and add a row."""
        floor, ours = self.both(what, measure_one)
        self.rows.append(Row(what, unit, ours, bar, floor))

    def stream(self) -> None:
        """CPU at a readable pace."""
        tokens = 600 if self.quick else 2000

        def one(subject: Subject) -> float:
            return measure.stream(subject, tokens, measure.PACE_TOK_PER_S).cpu_s_per_1000

        self.compare("CPU per 1,000 tokens at 100 tok/s", "s", 1.6, one)

    def unpaced(self) -> None:
        """As fast as the server can send, and whether it gets slower."""
        tokens = 3000 if self.quick else 10_000
        seen: dict[str, list[measure.Stream]] = {"floor": [], "agentui": []}

        def one(subject: Subject) -> float:
            seen[subject.name].append(measure.stream(subject, tokens, 0.0))
            return seen[subject.name][-1].wall_s

        self.compare(f"{tokens:,} tokens as fast as they come", "s", 3.0, one)
        for name in ("floor",) if self.agentui is None else ("floor", "agentui"):
            per_1000 = statistics.median(one.cpu_s_per_1000 for one in seen[name])
            growth = statistics.median(one.last_fifth_cpu_s / one.first_fifth_cpu_s for one in seen[name])
            limit = 1.2 if name == "agentui" else float("inf")
            self.rows.append(Row(f"{name}: CPU per 1,000 tokens unpaced", "s", per_1000, float("inf")))
            self.rows.append(Row(f"{name}: last fifth against first, CPU", "x", growth, limit))

    def echo(self) -> None:
        """Key to echo while an answer streams."""
        keys = 40 if self.quick else 150
        middles: dict[str, list[float]] = {"floor": [], "agentui": []}

        def one(subject: Subject) -> float:
            found = measure.echoes_s(subject, keys)
            middles[subject.name].append(measure.percentile(found, 50) * 1000)
            return measure.percentile(found, 95) * 1000

        self.compare("key to echo while streaming, p95", "ms", 1.0, one)
        ours = statistics.median(middles["agentui"] or [float("nan")])
        self.rows.append(
            Row(
                "key to echo while streaming, p50",
                "ms",
                ours,
                float("inf"),
                statistics.median(middles["floor"]),
            )
        )

    def long(self) -> None:
        """Key to echo while an answer streams at the end of a long session, against the floor without one."""
        if self.agentui is None:
            return
        keys, lines = (40, 10_000) if self.quick else (150, 100_000)
        subject = LongSubject(self.agentui.options, lines)

        def one(of: Subject) -> float:
            return measure.percentile(measure.echoes_s(of, keys), 95) * 1000

        floor, ours = self.both(f"key to echo after {lines:,} lines", one, ours=subject)
        self.rows.append(Row(f"key to echo after {lines:,} lines, p95", "ms", ours, 1.5, floor))

    def start(self) -> None:
        """From start to the first echo of a key."""
        measure.start_s(self.floor)  # the first start compiles and fills the disk's cache
        if self.agentui is not None:
            measure.start_s(self.agentui)
        self.compare("start: ready for typing", "s", 1.6, measure.start_s)
        if self.agentui is not None:
            early = {"openai", "docker"} & measure.imported_when_ready(self.agentui)
            label = f"slow imports before ready {sorted(early) if early else ''}".rstrip()
            self.rows.append(Row(label, "", float(len(early)), 0.0))

    def idle(self) -> None:
        """Share of a core while nothing happens."""
        seconds = 8.0 if self.quick else 20.0
        self.compare("idle", "% of a core", 1.5, lambda subject: measure.idle_cpu_percent(subject, seconds))

    def sampling(self) -> None:
        """What the session's samplers cost at their default intervals, without a screen."""
        if self.agentui is None:
            return
        print("  sampling ...", file=sys.stderr, flush=True)
        percent = asyncio.run(sampling.cost_percent(10.0 if self.quick else 30.0))
        self.rows.append(Row("sampling at the default intervals", "% of a core", percent, sampling.BAR_PERCENT))

    def memory(self) -> None:
        """Memory around a long answer."""
        tokens = 3000 if self.quick else 10_000
        if self.agentui is None:
            return
        print("  memory ...", file=sys.stderr, flush=True)
        found = measure.memory(self.agentui, tokens)
        over_bare = (found.after_bytes - found.bare_bytes) / MIB
        growth = found.transcript_bytes / MIB
        late = found.late_imports_bytes / MIB
        self.rows.append(Row(f"memory over bare imports, {tokens:,} tokens", "MB", over_bare, 45.0))
        self.rows.append(Row("memory, the transcript's after 1,000 tokens", "MB", growth, 10.0))
        self.rows.append(Row("memory, packages imported after those", "MB", late, float("inf")))

    def freeze(self) -> None:
        """From asking for a freeze in mid-answer to the closed connection."""
        if self.agentui is None:
            return
        print("  freeze ...", file=sys.stderr, flush=True)
        ours_s = statistics.median(freezing.freeze_s(self.agentui) for _ in range(self.repeat))
        with simulated_server(measure.PACE_TOK_PER_S) as url:
            gateway_s = asyncio.run(gateway.freeze_s(url))
        self.rows.append(Row("key that freezes to the closed connection", "ms", ours_s * 1000, 200.0))
        self.rows.append(Row("the same through the gateway, as for Pi", "ms", gateway_s * 1000, 200.0))

    def seek(self) -> None:
        """The slowest seek in a recorded session, as a share of opening it."""
        if self.agentui is None:
            return
        hours = 1.0 if self.quick else 8.0
        print("  seek ...", file=sys.stderr, flush=True)
        found = seeking.measured(hours)
        what = f"slowest seek in {hours:g} hours against opening"
        self.rows.append(Row(what, "s", max(found.seeks_s), seeking.BAR_RATIO, found.open_s))

    def copy(self) -> None:
        """The private copy of a large project against what the system needs itself."""
        files, size, changed = (2000, 50_000_000, 100) if self.quick else (20_000, 500_000_000, 1000)
        print("  copy ...", file=sys.stderr, flush=True)
        kind, found = copying.copy_times(files, size, changed)
        free, walk, second = float("inf"), found.walk, found.second_start
        self.rows += [
            Row(f"{files:,} files seeded ({kind}) against cp -a", "s", found.seed_s, free, found.cp_s),
            Row("second start against a stat walk", "s", second.wall_s, 2.0, walk.wall_s),
            Row("second start against a stat walk, our CPU", "s", second.cpu_s, 2.0, walk.cpu_s),
            Row("diff (with its container) against a walk", "s", found.diff_s, free, walk.wall_s),
            Row(f"apply of {changed:,} files against cp -a of all", "s", found.apply_s, free, found.cp_s),
            Row(f"undo of {changed:,} files against cp -a of all", "s", found.undo_s, free, found.cp_s),
        ]

    def exec(self) -> None:
        """One command in the sandbox against `docker exec`, by turns."""
        print("  exec ...", file=sys.stderr, flush=True)
        try:
            found = copying.exec_times(15 if self.quick else 60)
            runs = copying.run_times(3 if self.quick else 7)
        except SandboxUnavailable as error:
            print(f"  exec is left out: {error.message}", file=sys.stderr)
            return
        for percent, bar in ((50, float("inf")), (95, 1.5)):
            ours = measure.percentile(found.ours_s, percent) * 1000
            bare = measure.percentile(found.bare_s, percent) * 1000
            self.rows.append(Row(f"sandboxed `true` against docker exec, p{percent}", "ms", ours, bar, bare))
        ours, bare = statistics.median(runs.ours_s), statistics.median(runs.bare_s)
        self.rows.append(Row("`agentui sandbox run` against docker run", "s", ours, float("inf"), bare))


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    lines = [f"{'what':<46}{'floor':>10}{'agentui':>10}  {'unit':<12}{'ratio':>7}{'bar':>7}"]
    for row in rows:
        floor = "" if row.floor is None else f"{row.floor:.2f}"
        ratio = "" if row.floor is None else f"{row.ratio:.2f}"
        has_bar = row.bar != float("inf")
        bar = f"{row.bar:g}" if has_bar else ""
        verdict = ("ok" if row.is_good else "OVER") if has_bar and not isnan(row.measured) else ""
        figures = f"{floor:>10}{row.measured:>10.2f}  {row.unit:<12}{ratio:>7}{bar:>7}  {verdict}"
        lines.append(f"{row.what:<46}{figures}".rstrip())
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> str:
    """The rows for programs; figures that do not exist are null."""
    machine = {"machine": platform.platform(), "python": platform.python_version()}
    figures = [asdict(row) | {"ratio": row.ratio, "is_good": row.is_good} for row in rows]
    clean = [
        {
            key: None if isinstance(value, float) and value - value != 0 else value
            for key, value in figure.items()
        }
        for figure in figures
    ]
    return json.dumps(machine | {"rows": clean}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether all bars were reached."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.run", description="agentui against a bare Textual program"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part (may be repeated)")
    parser.add_argument("--floor-only", action="store_true", help="measure the floor alone")
    parser.add_argument("--quick", action="store_true", help="short and rough")
    parser.add_argument("--repeat", type=int, default=3, help="median of so many turns (default 3)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    parser.add_argument(
        "--options",
        default="--sandbox none",
        help='options for agentui, separated by spaces (default "%(default)s")',
    )
    given = parser.parse_args(arguments)
    agentui = None if given.floor_only else AgentuiSubject(options=given.options.split())
    bench = Bench(agentui, given.quick, 1 if given.quick else given.repeat)
    for part in given.only or PARTS:
        getattr(bench, part)()
    if given.json == "-":
        print(as_json(bench.rows))
    else:
        print(table(bench.rows))
    if given.json and given.json != "-":
        Path(given.json).write_text(as_json(bench.rows) + "\n")
    return 0 if given.floor_only or all(row.is_good for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
