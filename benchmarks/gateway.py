"""What the gateway costs: thousands of tokens as fast as they come, through it and without it.

Run ``python -m benchmarks.gateway``; the simulated server has a process of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

import aiohttp

from agentui.backends.gateway import Gateway, GatewaySettings
from agentui.events import Event, RequestEnded
from benchmarks.subject import simulated_server

TOKENS = 10_000
ROUNDS = 5


async def _answered_s(url: str) -> float:
    """Seconds from asking to the last byte of an answer of `TOKENS` tokens."""
    task = {"role": "user", "content": f"stream {TOKENS} tokens"}
    body = {"model": "google/gemma-4-26b-a4b", "messages": [task], "stream": True}
    began_s = time.perf_counter()
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(f"{url}/v1/chat/completions", json=body) as answer,
    ):
        async for _ in answer.content.iter_any():
            pass
    return time.perf_counter() - began_s


async def measured(url: str) -> tuple[float, float, int]:
    """Median seconds direct and through the gateway, and the tokens that the gateway counted."""
    events: list[Event] = []
    gateway = Gateway(GatewaySettings(url), events.append)
    through = f"http://127.0.0.1:{await gateway.listen_loopback()}"
    try:
        await _answered_s(url)
        pairs = [(await _answered_s(url), await _answered_s(through)) for _ in range(ROUNDS)]
    finally:
        await gateway.aclose()
    counted = max(event.usage.completion_tokens or 0 for event in events if isinstance(event, RequestEnded))
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), counted


async def freeze_s(url: str) -> float:
    """Median seconds from asking for a freeze in mid-answer until the server's connection is closed."""
    gateway = Gateway(GatewaySettings(url), lambda event: None)
    through = f"http://127.0.0.1:{await gateway.listen_loopback()}"
    times: list[float] = []
    try:
        for _ in range(ROUNDS):
            asking = asyncio.create_task(_answered_s(through))
            while not gateway.generating:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            began_s = time.perf_counter()
            await gateway.freeze()
            times.append(time.perf_counter() - began_s)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            gateway.resume()
    finally:
        await gateway.aclose()
    return statistics.median(times)


def main() -> int:
    """Measure and print."""
    with simulated_server(100.0) as url:
        frozen_s = asyncio.run(freeze_s(url))
    with simulated_server(0.0) as url:
        direct_s, through_s, tokens = asyncio.run(measured(url))
    print(f"{tokens} tokens: direct {direct_s:.3f} s, through the gateway {through_s:.3f} s")
    print(f"ratio {through_s / direct_s:.2f}, {(through_s - direct_s) / tokens * 1e6:.0f} us per token")
    print(f"freeze: the server's connection is closed after {frozen_s * 1000:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
