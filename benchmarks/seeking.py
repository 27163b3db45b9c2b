"""What a seek in a session of eight hours costs, as a share of opening it: view and screen.

    python -m benchmarks.seeking
    python -m benchmarks.seeking --hours 1

Opening is reading the journal and folding it once. A seek builds the view of another time and draws the whole
screen of it. Exits with 1 if the slowest of twenty seeks takes more than a tenth of opening.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentui.events import (
    CallId,
    ContextMeasured,
    Event,
    HistoryAppended,
    KvSample,
    MemorySample,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    ProcessSample,
    RateSample,
    Recorded,
    RequestEnded,
    RequestId,
    RequestStarted,
    RunEnded,
    RunId,
    RunStarted,
    SessionStarted,
    TextDelta,
    ToolCallDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
)
from agentui.session.journal import encode_record, read_journal
from agentui.session.replay import ReplayServices
from agentui.tui.app import AgentuiApp
from agentui.tui.screens.replay import ReplayScreen
from agentui.view.timeline import Timeline

BAR_RATIO = 0.1
SEEKS = 20
TURN_S = 36
DELTAS = 200
GIB = 1 << 30


def session(hours: float) -> Iterator[tuple[float, Event]]:
    """Events of a session that generates all the time, sampled once a second."""
    yield 0.0, SessionStarted("s", "/p", "0")
    yield 0.0, RunStarted("task", ModelFacts("m", loaded_context_tokens=65_536), "b", "/w", "loop", None)
    for turn in range(1, int(hours * 3600 / TURN_S) + 1):
        yield from _turn(turn, turn * TURN_S)
    yield hours * 3600 + TURN_S, RunEnded("done")


def _turn(turn: int, start_s: float) -> Iterator[tuple[float, Event]]:
    message, call, request = MessageId(f"m{turn}"), CallId(f"c{turn}"), RequestId(f"r{turn}")
    yield start_s, TurnStarted(turn)
    yield start_s, RequestStarted(request, turn, turn, 50_000, 12_000)
    yield start_s, MessageStarted(message, "assistant", turn)
    for number in range(DELTAS):
        at_s = start_s + number * 0.15
        yield at_s, TextDelta(message, "some words of an answer, ", 5)
        if number % 7 == 0:
            used = 40 * GIB + number * 1000
            yield at_s, MemorySample(64 * GIB, used, 9, 0, GIB, None, 9, None, "ok", "measured")
            yield at_s, KvSample(number * 38_000 * turn, GIB, None, number, "estimated")
            yield at_s, RateSample(42.0, None, None, number, "measured")
            yield at_s, ProcessSample(0.5, 90 << 20)
    yield start_s + 31, ToolCallDelta(message, 0, "bash", '{"command": "ls -l"}', 9)
    yield start_s + 31, MessageEnded(message, "tool_calls")
    yield start_s + 31, HistoryAppended({"role": "assistant", "content": "some words of an answer, " * DELTAS})
    usage = Usage(12_000, 1000, None, 11_000)
    yield start_s + 31, RequestEnded(request, "done", "tool_calls", usage, 0.5, 30, 31, 42.0, 800.0)
    yield start_s + 31, ContextMeasured(12_000, 65_536, "reported")
    yield start_s + 32, ToolStarted(call, "bash", "ls -l", "/w")
    yield start_s + 33, ToolOutput(call, "stdout", "-rw-r--r-- 1 a b 12 report.py\n" * 20)
    yield start_s + 33, ToolEnded(call, "ok", 0, 1.0)
    yield start_s + 34, TurnEnded(turn, usage)


def write(path: Path, hours: float) -> int:
    """Write a journal; returns the number of records."""
    count = 0
    with path.open("wb") as file:
        for count, (t_s, event) in enumerate(session(hours), start=1):
            file.write(encode_record(Recorded(count, t_s, "2026-01-01T00:00:00.000Z", RunId("r"), event)))
    return count


async def screen_seeks(records: tuple[Recorded, ...], timeline: Timeline) -> list[float]:
    """Seconds of each seek on a screen that is really drawn."""
    services = ReplayServices(records, 1.0)
    screen = ReplayScreen(services, timeline)
    app = AgentuiApp(services, theme="agentui-dark", ground=lambda: screen)
    places = random.Random(4).choices(range(len(records)), k=SEEKS)
    found: list[float] = []
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space")
        for place in places:
            began = time.perf_counter()
            screen.seek(place)
            await pilot.pause()
            found.append(time.perf_counter() - began)
        await services.stop()
    return found


@dataclass(frozen=True, slots=True)
class Seeking:
    """Seconds: to read and fold a session once, and of each seek in it."""

    records: int
    journal_bytes: int
    read_s: float
    open_s: float
    seeks_s: tuple[float, ...]


def measured(hours: float) -> Seeking:
    """Write a session of so many hours, open it, seek in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        count = write(path, hours)
        began = time.perf_counter()
        records = read_journal(path).records
        read_s = time.perf_counter() - began
        timeline = Timeline(records)
        open_s = time.perf_counter() - began
        size = path.stat().st_size
    gc.freeze()  # as the command does
    seeks = asyncio.run(screen_seeks(records, timeline))
    gc.unfreeze()
    return Seeking(count, size, read_s, open_s, tuple(seeks))


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description="What a seek costs, as a share of opening.")
    parser.add_argument("--hours", type=float, default=8.0)
    hours = parser.parse_args().hours
    found = measured(hours)
    print(f"{hours:g} h, {found.records} records, {found.journal_bytes / 1e6:.0f} MB")
    print(f"open: {found.open_s:.2f} s (of that {found.read_s:.2f} s reading)")
    worst = max(found.seeks_s)
    median = sorted(found.seeks_s)[SEEKS // 2]
    print(f"seek: median {median:.3f} s, slowest {worst:.3f} s = {worst / found.open_s:.3f} of opening")
    return 0 if worst <= BAR_RATIO * found.open_s else 1


if __name__ == "__main__":
    sys.exit(main())
