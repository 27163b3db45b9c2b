"""What sampling itself costs: the session's samplers at their default intervals, on this machine.

    python -m benchmarks.sampling             half a minute
    python -m benchmarks.sampling --s 120

Prints the share of one core and exits with 1 above the bar. Everything that a session reads is read: memory,
the model's process, our own process, and the values that follow from a request every few seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time

from agentui.config.settings import Settings
from agentui.events import Event, ModelFacts, ModelSeen, Recorded, RequestId, RequestStarted, RunId
from agentui.telemetry.memory.detect import memory_reader
from agentui.telemetry.memory.process import ModelProcessFinder, OwnProcess
from agentui.telemetry.sampler import Intervals, Readers, Sampler

BAR_PERCENT = 0.5
MODEL = ModelFacts("google/gemma-4-26b-a4b", engine="gguf", loaded_context_tokens=65_536, size_bytes=17 << 30)


async def cost_percent(seconds: float) -> float:
    """Share of one core over so many seconds, children (commands that readers run) included."""
    reader = memory_reader()
    emitted: list[Event] = []
    readers = Readers(
        memory=reader, own=OwnProcess().sample, model_process=ModelProcessFinder(reader, port=1234).read
    )
    usual = Settings()
    intervals = Intervals(usual.memory_sample_s, usual.process_sample_s, usual.rate_sample_s)
    sampler = Sampler(emitted.append, readers, intervals)
    sampler.start()
    sampler.observe(Recorded(1, 0.0, "", RunId("r"), ModelSeen(MODEL)))
    await asyncio.sleep(2.0)  # imports, and the first look at all processes, belong to the start
    began_s, began_cpu = time.monotonic(), _cpu_s()
    while time.monotonic() - began_s < seconds:
        await asyncio.sleep(5.0)
        sampler.observe(Recorded(1, 0.0, "", RunId("r"), RequestStarted(RequestId("q"), 1, 2, 10, 5000)))
    spent, passed = _cpu_s() - began_cpu, time.monotonic() - began_s
    await sampler.aclose()
    return 100 * spent / passed


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description="What sampling costs at the default intervals.")
    parser.add_argument("--s", type=float, default=30.0, help="seconds to measure")
    percent = asyncio.run(cost_percent(parser.parse_args().s))
    print(f"sampling: {percent:.2f} % of a core (bar {BAR_PERCENT} %)")
    return 0 if percent <= BAR_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
