"""A simulated server and clients to it; nothing waits unless a test wants it to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import httpx
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from agentui.simulator.config import SimulatorConfig
from agentui.simulator.server import RunningSimulator, start_simulator

Start = Callable[..., Awaitable[RunningSimulator]]
Connect = Callable[[RunningSimulator], AsyncOpenAI]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers with settings of one's own; all are stopped at the end."""
    running: list[RunningSimulator] = []

    async def start_one(config: SimulatorConfig | None = None, **settings: object) -> RunningSimulator:
        chosen = replace(config or SimulatorConfig(unpaced=True), **settings)  # type: ignore[arg-type]
        simulator = await start_simulator(chosen)
        running.append(simulator)
        return simulator

    yield start_one
    for simulator in running:
        await simulator.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make openai clients without retries and proxies; all are closed at the end."""
    clients: list[AsyncOpenAI] = []

    def connect_one(simulator: RunningSimulator) -> AsyncOpenAI:
        client = AsyncOpenAI(
            base_url=f"{simulator.url}/v1",
            api_key="lm-studio",
            max_retries=0,
            timeout=20,
            http_client=DefaultAsyncHttpxClient(trust_env=False),
        )
        clients.append(client)
        return client

    yield connect_one
    for client in clients:
        await client.close()


@pytest.fixture
async def browse() -> AsyncIterator[Callable[[RunningSimulator], httpx.AsyncClient]]:
    """Make plain HTTP clients; all are closed at the end."""
    clients: list[httpx.AsyncClient] = []

    def browse_one(simulator: RunningSimulator) -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=simulator.url, trust_env=False, timeout=20)
        clients.append(client)
        return client

    yield browse_one
    for client in clients:
        await client.aclose()
