"""What is measured: the floor and agentui, each with its command line and the times of its tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[1]
HOOK = ROOT / "benchmarks" / "hook"

Mark = tuple[float, int]
"""A time of the wall clock, and how many tokens were there by then."""


def environment(place: Path) -> dict[str, str]:
    """A clean environment with a home of its own below `place`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "DOCKER_HOST") if name in os.environ}
    return kept | {
        "HOME": str(place),
        "AGENTUI_HOME": str(place / "agentui"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": kept.get("LANG", "C.UTF-8"),
        "BENCH_MODULES": str(place / "modules"),
        "PYTHONPATH": os.pathsep.join(map(str, (HOOK, ROOT / "app", ROOT / "widgets", ROOT))),
    }


class Subject(Protocol):
    """A program that shows an answer."""

    name: str

    def command(self, url: str, tokens: int, place: Path) -> list[str]:
        """Its command line; with `tokens` it streams so many at once, with 0 it waits."""
        ...

    def marks(self, place: Path) -> list[Mark]:
        """The times of its tokens; complete only after the answer."""
        ...

    def is_done(self, place: Path) -> bool:
        """Whether the answer has been shown."""
        ...


@dataclass
class FloorSubject:
    """The bare program."""

    name: str = "floor"

    def command(self, url: str, tokens: int, place: Path) -> list[str]:
        """See `Subject`."""
        arguments = [url, str(tokens), str(place / "marks.json")] if tokens else []
        return [sys.executable, str(ROOT / "benchmarks" / "floor.py"), *arguments]

    def marks(self, place: Path) -> list[Mark]:
        """See `Subject`."""
        return [(at, tokens) for at, tokens in json.loads((place / "marks.json").read_text())]

    def is_done(self, place: Path) -> bool:
        """See `Subject`."""
        try:
            return bool(self.marks(place))
        except (OSError, ValueError):
            return False


@dataclass
class AgentuiSubject:
    """The dashboard, told to stream by its task; the times are those of its own journal."""

    name: str = "agentui"
    options: list[str] = field(default_factory=lambda: ["--sandbox", "none"])

    def command(self, url: str, tokens: int, place: Path) -> list[str]:
        """See `Subject`."""
        task = [f"stream {tokens} tokens"] if tokens else []
        return [sys.executable, "-m", "agentui", "--url", url, *self.options, *task]

    def marks(self, place: Path) -> list[Mark]:
        """See `Subject`."""
        marks: list[Mark] = []
        answers: set[str] = set()
        tokens = 0
        for record in _journal(place):
            if record["type"] == "MessageStarted" and record["role"] == "assistant":
                answers.add(record["message_id"])
            elif record["type"] == "TextDelta" and record["message_id"] in answers:  # the task is text, too
                tokens += int(record["tokens"])
                marks.append((_moment(record["at_utc"]), tokens))
        return marks

    def is_done(self, place: Path) -> bool:
        """See `Subject`."""
        return any(record["type"] == "RequestEnded" for record in _journal(place))


def _journal(place: Path) -> Iterator[dict[str, str]]:
    for file in sorted(place.glob("agentui/state/sessions/*/journal.jsonl")):
        for line in file.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # the line that is being written
                continue
            yield record


def _moment(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


@contextmanager
def simulated_server(tok_per_s: float) -> Iterator[str]:
    """A simulated server in its own process; yields its address. 0 means as fast as it can."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.simulate", "--tok-per-s", str(tok_per_s)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "app", ROOT / "widgets", ROOT)))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            raise RuntimeError("the simulated server did not start")
        try:
            yield url
        finally:
            server.terminate()
