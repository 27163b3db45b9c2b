"""What the tests of the server share: tasks, tools, streams read whole, and waiting for a condition."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from agentui.simulator.config import GEMMA_26B
from agentui.simulator.server import RunningSimulator
from tests.unit.simulator.playing import BASH_TOOL

SPLIT = "split report.py into modules"


def chat_body(task: str = SPLIT, **settings: object) -> dict[str, Any]:
    """The body of a chat completion request with the bash tool."""
    return {
        "model": GEMMA_26B,
        "messages": [{"role": "user", "content": task}],
        "tools": [BASH_TOOL],
        **settings,
    }


async def read_events(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Post a body and return the (event, data) pairs of the whole stream; `[DONE]` stays text."""
    found: list[tuple[str, Any]] = []
    event = ""
    async with client.stream("POST", path, json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                text = line.removeprefix("data: ")
                found.append((event, text if text == "[DONE]" else json.loads(text)))
                event = ""
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until something holds; fails after 20 seconds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def only_request(simulator: RunningSimulator) -> Any:
    """The record of the one generating request the server has seen."""
    assert len(simulator.truth.requests) == 1
    return simulator.truth.requests[0]
