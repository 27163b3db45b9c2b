"""The simulated server in a process of its own: prints its address, ends when its input ends."""

from __future__ import annotations

import argparse
import asyncio
import sys

from agentui.simulator.config import SimulatorConfig
from agentui.simulator.server import start_simulator


async def serve(tok_per_s: float) -> None:
    """Serve answers at a steady speed, or as fast as they can be sent for 0."""
    simulator = await start_simulator(
        SimulatorConfig(
            decode_tok_per_s=tok_per_s or 1000.0,
            unpaced=not tok_per_s,
            decode_full_ratio=1.0,
            jitter_ratio=0.0,
            join_ratio=0.0,
            split_ratio=0.0,
            prefill_tok_per_s=100_000.0,
        )
    )
    print(simulator.url, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await simulator.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tok-per-s", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args().tok_per_s))
