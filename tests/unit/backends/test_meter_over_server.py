"""The meter against what a server knows of itself; ratios only, since real time passes here."""

from __future__ import annotations

import time

import pytest

from agentui.backends.base import ChatRequest
from agentui.backends.discover import find_server
from agentui.backends.meter import RequestMeter
from agentui.events import Event, PrefillProgressed, RequestEnded, RequestId
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import start_simulator
from agentui.simulator.truth import RequestRecord

TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    },
}
REQUEST = ChatRequest(GEMMA_26B, ({"role": "user", "content": "split report.py into modules"},), (TOOL,))


async def metered(config: SimulatorConfig) -> tuple[RequestEnded, list[Event], RequestRecord]:
    """One answer, measured by a client that has chatted before."""
    simulator = await start_simulator(config)
    backend = await find_server(simulator.url, will_chat=True)
    events: list[Event] = []
    try:
        for _ in range(2):
            events.clear()
            meter = RequestMeter(RequestId("q"), events.append, time.monotonic)
            meter.sent(1000, 1, 100, 1, likely_cached_tokens=0)
            async for part in backend.chat(REQUEST):
                meter.part(part)
            meter.ended("done")
        (ended,) = [event for event in events if isinstance(event, RequestEnded)]
        return ended, events, simulator.truth.requests[-1]
    finally:
        await backend.aclose()
        await simulator.stop()


async def test_measured_decode_speed_is_within_one_percent_of_the_servers() -> None:
    long_answer = SimulatorConfig(speed=4, fault_every=Fault.ENDLESS_REASONING, reasoning_limit_tokens=300)
    ended, _, record = await metered(long_answer)
    assert record.completion_tokens == 300
    assert record.decode_tok_per_s is not None
    assert ended.timing_source == "measured"
    assert ended.decode_tok_per_s == pytest.approx(record.decode_tok_per_s, rel=0.01)
    assert ended.usage.prompt_tokens == record.prompt_tokens
    assert ended.usage.completion_tokens == record.completion_tokens


async def test_the_servers_own_timings_are_passed_on_where_it_gives_them() -> None:
    ended, _, record = await metered(SimulatorConfig(unpaced=True, llama_timings=True))
    assert ended.timing_source == "reported"
    assert ended.usage.completion_tokens == record.completion_tokens
    assert ended.decode_tok_per_s is not None


async def test_no_prompt_progress_is_claimed_where_the_server_tells_none() -> None:
    _, events, _ = await metered(SimulatorConfig(unpaced=True))
    assert not [event for event in events if isinstance(event, PrefillProgressed)]
