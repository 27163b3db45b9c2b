"""An eight-hour session: what it takes on the disk and in memory, and how long it takes to open.

    python -m benchmarks.session                 eight hours, some minutes
    python -m benchmarks.session --hours 1

The events are those of a run that never rests: an agent that answers at 40 tokens a second, a command each
minute, and every sample at its usual pace, sent through the real recorder with a clock that jumps. Exit code 1
if a bar is missed.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentui.events import (
    CallId,
    HistoryAppended,
    KvSample,
    MemorySample,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    ProcessSample,
    RateSample,
    RunEnded,
    RunStarted,
    SessionEnded,
    SessionStarted,
    TextDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
)
from agentui.run.resumed import resumed_from
from agentui.session.journal import JournalScan, scan_journal
from agentui.session.parts import size_bytes
from agentui.session.recorder import Recorder
from agentui.session.writer import JournalWriter
from agentui.simulator.scratch import make_scratch_project
from agentui.view.fold import View
from agentui.wire.resuming import NOT_FOLDED

MIB = 1 << 20
CLOSED_BAR_BYTES, RUNNING_BAR_BYTES = 50 * MIB, 150 * MIB
TOKENS_PER_S, PIECES_PER_S = 40, 10
TURN_S = 60


class JumpingClock:
    """Time that passes only when it is told to; timers run when it passes them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def read(self) -> float:
        return self.now_s

    def utc(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> JumpingClock:
        self._due.append((self.now_s + delay_s, call))
        return self

    def cancel(self) -> None:
        self._due.clear()

    def move(self, by_s: float) -> None:
        self.now_s += by_s
        due, self._due = [c for t, c in self._due if t <= self.now_s], []
        for call in due:
            call()


def words_of(folder: Path) -> list[str]:
    """Real text to write: the files of the demo's project, in words with their spaces."""
    make_scratch_project(folder)
    text = "\n".join(p.read_text("utf-8", "replace") for p in sorted(folder.rglob("*")) if p.is_file())
    return [word + " " for word in text.split()]


def record_session(journal: Path, hours: float, words: list[str]) -> int:
    """Record `hours` of work; returns the most bytes the journal had meanwhile."""
    clock, chance = JumpingClock(), random.Random(1)
    recorder = Recorder(JournalWriter(journal), clock.read, clock.utc, call_later=clock.call_later)
    recorder.emit(SessionStarted("s", "/p", "0"))
    recorder.emit(RunStarted("work", ModelFacts("m"), "http://127.0.0.1", "/p", "loop", None))
    most = 0
    for turn in range(1, int(hours * 3600 / TURN_S) + 1):
        record_turn(recorder, clock, chance, words, turn)
        most = max(most, size_bytes(journal))
    recorder.emit(RunEnded("done"))
    recorder.emit(SessionEnded("closed"))
    recorder.flush()
    import asyncio

    asyncio.run(recorder.aclose())
    return most


def record_turn(
    recorder: Recorder, clock: JumpingClock, chance: random.Random, words: list[str], turn: int
) -> None:
    """One minute: an answer of text, a command with output, and the samples of that time."""
    message, call = MessageId(f"m{turn}"), CallId(f"c{turn}")
    recorder.emit(TurnStarted(turn))
    recorder.emit(MessageStarted(message, "assistant", turn))
    said: list[str] = []
    for second in range(TURN_S):
        for _ in range(PIECES_PER_S):
            text = "".join(chance.choices(words, k=TOKENS_PER_S // PIECES_PER_S))
            said.append(text)
            recorder.emit(TextDelta(message, text, TOKENS_PER_S // PIECES_PER_S))
            clock.move(1 / PIECES_PER_S)
        recorder.emit(RateSample(chance.uniform(38, 42), None, 0.8, second * TOKENS_PER_S, "measured"))
        if second % 2 == 0:
            used = chance.randrange(40 << 30, 44 << 30)
            recorder.emit(
                MemorySample(
                    64 << 30, used, (64 << 30) - used, 0, 16 << 30, 400 << 20, 92 << 20, None, "ok", "measured"
                )
            )
            recorder.emit(
                KvSample(chance.randrange(1 << 30), 1 << 30, None, turn * 100, "estimated", "llama.cpp")
            )
        if second % 5 == 0:
            recorder.emit(ProcessSample(chance.uniform(0.5, 3), chance.randrange(90 << 20, 96 << 20)))
    recorder.emit(MessageEnded(message, "tool_calls"))
    recorder.emit(HistoryAppended({"role": "assistant", "content": "".join(said)}))
    recorder.emit(ToolStarted(call, "bash", "cat report.py", ""))
    output = " ".join(chance.choices(words, k=400))
    recorder.emit(ToolOutput(call, "stdout", output))
    recorder.emit(ToolEnded(call, "ok", 0, 0.2, len(output)))
    recorder.emit(HistoryAppended({"role": "tool", "tool_call_id": call, "content": output}))
    recorder.emit(TurnEnded(turn, Usage(turn * 100, TURN_S * TOKENS_PER_S)))


def main() -> int:
    """Record, then measure what opening it costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=8.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentui-session-") as folder:
        journal = Path(folder) / "journal.jsonl"
        began_s = time.perf_counter()
        most = record_session(journal, args.hours, words_of(Path(folder) / "shop"))
        recorded_s = time.perf_counter() - began_s
        closed = size_bytes(journal)
        before = peak_rss_bytes()
        began_s = time.perf_counter()
        state = resumed_from(scan_journal(journal, JournalScan(NOT_FOLDED)))
        resumed_s = time.perf_counter() - began_s
        resumed_bytes = peak_rss_bytes() - before
        began_s = time.perf_counter()
        view, records = View(), 0
        for recorded in scan_journal(journal):
            view.apply(recorded)
            records += 1
        opened_s = time.perf_counter() - began_s
        opened_bytes = peak_rss_bytes() - before
    counts = f"{records:,} records, {len(state.messages):,} messages"
    print(f"{args.hours:g} hours: {counts}; recorded in {recorded_s:.0f} s")
    print(f"on the disk, closed     {closed / MIB:7.1f} MiB   bar {CLOSED_BAR_BYTES / MIB:.0f}")
    print(f"on the disk, running    {most / MIB:7.1f} MiB   bar {RUNNING_BAR_BYTES / MIB:.0f}")
    print(f"read for going on       {resumed_s:7.1f} s     {resumed_bytes / MIB:.0f} MiB more at the peak")
    print(f"read and folded to show {opened_s:7.1f} s     {opened_bytes / MIB:.0f} MiB more at the peak")
    return 0 if closed <= CLOSED_BAR_BYTES and most <= RUNNING_BAR_BYTES else 1


def peak_rss_bytes() -> int:
    """The most memory this process had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main())
