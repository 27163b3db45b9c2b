"""The measurements. Each takes one subject and gives plain figures; ratios are made elsewhere."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.program import Program, cpu_s, unique_characters
from benchmarks.subject import HOOK, Mark, Subject, environment, simulated_server

PATIENCE_S = 300.0
EARLY_TOKENS = 1000
SETTLE_S = 4.0
SETTLED_RATIO = 0.08
"""More of a core than this and a program is still at its start."""
READY_LIMIT_S = 60.0
TYPING_S = 0.03
ECHO_LIMIT_S = 30.0
PACE_TOK_PER_S = 100.0


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer: its time from first to last token, its CPU, and the same of its first and last fifth."""

    tokens: int
    wall_s: float
    cpu_s: float
    first_fifth_cpu_s: float
    last_fifth_cpu_s: float

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds for a thousand tokens."""
        return self.cpu_s / self.tokens * 1000


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes: after a thousand tokens, after all, and of a bare process that imports the same packages.

    What comes on top after the thousandth token is the transcript's, but for packages that are imported only
    then (the chart with its first curve, the Markdown reader with the first finished answer).
    """

    early_bytes: int
    after_bytes: int
    bare_bytes: int
    late_imports_bytes: int

    @property
    def transcript_bytes(self) -> int:
        """What the transcript took since the thousandth token."""
        return self.after_bytes - self.early_bytes - self.late_imports_bytes


@contextmanager
def running(subject: Subject, url: str, tokens: int) -> Iterator[tuple[Program, Path]]:
    """The subject in a terminal and a project folder of its own; ended at the end."""
    with tempfile.TemporaryDirectory(prefix="agentui-bench-") as name:
        place = Path(name)
        project = place / "project"
        project.mkdir()
        (project / "README.md").write_text("# A small project\n")
        with Program(subject.command(url, tokens, place), environment(place), project) as program:
            yield program, place


def wait_until_done(program: Program, subject: Subject, place: Path) -> None:
    """Wait for the whole answer and the moments after it."""
    deadline = time.monotonic() + PATIENCE_S
    while not subject.is_done(place):
        program.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{subject.name} did not finish within {PATIENCE_S:.0f} s")
        time.sleep(0.2)
    time.sleep(0.5)


def moment_of(marks: Sequence[Mark], tokens: float) -> float:
    """When so many tokens were there, between two marks by their number."""
    for (before_at, before), (at, count) in pairwise(marks):
        if before <= tokens <= count:
            return before_at + (at - before_at) * (tokens - before) / max(1, count - before)
    return marks[-1][0]


def stream(subject: Subject, tokens: int, tok_per_s: float) -> Stream:
    """Stream an answer at a pace, or as fast as it comes for 0."""
    with simulated_server(tok_per_s) as url, running(subject, url, tokens) as (program, place):
        wait_until_done(program, subject, place)
        marks = subject.marks(place)
    if marks[-1][1] < tokens * 0.95:
        raise RuntimeError(f"{subject.name} showed {marks[-1][1]} of {tokens} tokens")
    first, last = marks[0][1], marks[-1][1]
    fifth = (last - first) / 5
    at = [program.cpu_at(moment_of(marks, first + fifth * part)) for part in range(6)]
    return Stream(
        tokens=last - first,
        wall_s=marks[-1][0] - marks[0][0],
        cpu_s=at[5] - at[0],
        first_fifth_cpu_s=at[1] - at[0],
        last_fifth_cpu_s=at[5] - at[4],
    )


def type_until_ready(program: Program) -> float:
    """Type until something comes back; returns when the first echo was there.

    Typing begins when the program listens: keys that pile up before would all have to be handled first, more
    of them the busier the machine is.
    """
    since = program.printed()
    typed: list[str] = []
    characters = unique_characters()
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        if not program.is_listening:
            time.sleep(0.002)
        else:
            typed.append(next(characters))
            program.write(typed[-1])
            found = program.find(typed, since, TYPING_S)
            if found is not None:
                return found
        program.check()
    raise RuntimeError("nothing that was typed came back")


def start_s(subject: Subject) -> float:
    """Seconds from the start of the process to the first echo of a key."""
    with simulated_server(PACE_TOK_PER_S) as url, running(subject, url, 0) as (program, _):
        return type_until_ready(program) - program.started


def imported_when_ready(subject: Subject) -> set[str]:
    """Names of the modules that are loaded as soon as one can type."""
    with simulated_server(PACE_TOK_PER_S) as url, running(subject, url, 0) as (program, place):
        type_until_ready(program)
        return _modules(program, place)


def echoes_s(subject: Subject, keys: int) -> list[float]:
    """Seconds from key to echo, `keys` times, while an answer streams."""
    pauses = random.Random(4)
    tokens = int(PACE_TOK_PER_S * (keys * 0.25 + 20))
    characters = unique_characters()
    found: list[float] = []
    with simulated_server(PACE_TOK_PER_S) as url, running(subject, url, tokens) as (program, _):
        type_until_ready(program)
        time.sleep(SETTLE_S)
        for key in range(keys):
            character = next(characters)
            since = program.printed()
            typed = program.write(character)
            echo = program.find([character], since, ECHO_LIMIT_S)
            if echo is None:
                program.check()
                raise RuntimeError(f"{subject.name} did not echo key {key}")
            found.append(echo - typed)
            time.sleep(pauses.uniform(0.03, 0.13))
            if key % 30 == 29:
                program.write("\x7f" * 40)  # keep the line short, as a person's is
                time.sleep(0.3)
    return found


def wait_until_settled(program: Program) -> None:
    """Wait until what follows the first frame is loaded, which takes longer on a busy machine."""
    deadline = time.monotonic() + PATIENCE_S
    used_s = float("inf")
    while used_s > SETTLED_RATIO * SETTLE_S and time.monotonic() < deadline:
        before_s = cpu_s(program.pid)
        time.sleep(SETTLE_S)
        used_s = cpu_s(program.pid) - before_s


def idle_cpu_percent(subject: Subject, seconds: float) -> float:
    """Share of one core while nothing happens."""
    with simulated_server(PACE_TOK_PER_S) as url, running(subject, url, 0) as (program, _):
        type_until_ready(program)
        wait_until_settled(program)
        begin = time.time()
        time.sleep(seconds)
        end = time.time()
        time.sleep(0.1)
        return (program.cpu_at(end) - program.cpu_at(begin)) / (end - begin) * 100


def memory(subject: Subject, tokens: int) -> Memory:
    """Memory around an answer of so many tokens."""
    with simulated_server(PACE_TOK_PER_S * 20) as url, running(subject, url, tokens) as (program, place):
        wait_for_tokens(program, subject, place, EARLY_TOKENS)
        early, early_names = program.rss_bytes, _modules(program, place)
        wait_until_done(program, subject, place)
        after = program.rss_bytes
        names = _modules(program, place)
    bare = _bare_bytes(names)
    return Memory(early, after, bare, bare - _bare_bytes(early_names))


def wait_for_tokens(program: Program, subject: Subject, place: Path, tokens: int) -> None:
    """Wait until so many tokens of the answer are there."""
    deadline = time.monotonic() + PATIENCE_S
    while not (marks := subject.marks(place)) or marks[-1][1] < tokens:
        program.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{subject.name} did not show {tokens} tokens within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of all values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _modules(program: Program, place: Path) -> set[str]:
    file = place / "modules"
    file.unlink(missing_ok=True)
    os.kill(program.pid, signal.SIGUSR2)
    deadline = time.monotonic() + 10
    while not file.exists():
        program.check()
        if time.monotonic() > deadline:
            raise RuntimeError("the program did not tell its modules")
        time.sleep(0.02)
    return set(file.read_text().split())


_BARE = """
import importlib, sys
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except Exception:
        pass
print("ready", flush=True)
sys.stdin.close()
import signal; signal.pause()
"""


def _bare_bytes(names: set[str]) -> int:
    """Resident memory of a Python that has imported the same packages, but nothing of agentui."""
    skipped = ("agentui", "__main__", "sitecustomize", "benchmarks")
    foreign = sorted(name for name in names if not name.startswith(skipped))
    with subprocess.Popen(
        [sys.executable, "-c", _BARE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        text=True,
    ) as bare:
        assert bare.stdin is not None
        assert bare.stdout is not None
        bare.stdin.write("\n".join(foreign))
        bare.stdin.close()
        bare.stdout.readline()
        resident = psutil.Process(bare.pid).memory_info().rss
        bare.terminate()
    return resident


assert HOOK.is_dir(), "the hook that tells imported modules is missing"
