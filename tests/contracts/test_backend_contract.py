"""What every backend keeps, checked over each of them: real HTTP, a simulated or a recorded server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from agentui.backends.address import parse_address
from agentui.backends.base import (
    Backend,
    ChatPart,
    ChatRequest,
    FinishPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UsagePart,
)
from agentui.backends.lmstudio.backend import LmStudioBackend
from agentui.backends.openai_compatible import OpenAiCompatibleBackend
from agentui.errors import BackendUnavailable, ModelNotFound
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import start_simulator
from tests.unit.backends.replay import chunk, events, llama_server

TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Run a command.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    },
}
MESSAGES = (
    {"role": "system", "content": "You are a coding agent."},
    {"role": "user", "content": "split report.py into modules"},
)
LONG_STREAM = events(*(chunk({"content": f"{number} "}) for number in range(500)), done=False, ending="hang")


@dataclass
class Rig:
    """A backend under test with its server, as far as the suite needs to know it."""

    backend: Backend
    make: Callable[[str], Backend]
    context_tokens: int
    hold: Callable[[], None]
    """Makes the next answer one that goes on until it is cancelled."""
    was_left: Callable[[], bool]
    """Whether the server saw its client go away in the middle of an answer."""

    async def request(self) -> ChatRequest:
        facts = await self.backend.describe(None)
        return ChatRequest(facts.model, MESSAGES, (TOOL,))


def plain(url: str) -> Backend:
    return OpenAiCompatibleBackend(parse_address(url))


def lmstudio(url: str) -> Backend:
    return LmStudioBackend(parse_address(url))


async def over_simulator(stack: AsyncExitStack, make: Callable[[str], Backend]) -> Rig:
    simulator = await start_simulator(SimulatorConfig(unpaced=True, jit=False))
    stack.push_async_callback(simulator.stop)
    return Rig(
        make(simulator.url),
        make,
        65536,
        hold=lambda: simulator.faults.add_next(Fault.STALL),
        was_left=lambda: simulator.truth.disconnects > 0,
    )


async def over_recording(stack: AsyncExitStack, make: Callable[[str], Backend]) -> Rig:
    server = await stack.enter_async_context(llama_server())

    def hold() -> None:
        server.routes["POST /v1/chat/completions"] = LONG_STREAM

    return Rig(make(server.url), make, 8192, hold=hold, was_left=server.gone.is_set)


RIGS = {
    "LM Studio over the simulator": (over_simulator, lmstudio),
    "plain over the simulator": (over_simulator, plain),
    "plain over recorded llama-server": (over_recording, plain),
}


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    build, make = RIGS[request.param]
    async with AsyncExitStack() as stack:
        found = await build(stack, make)
        stack.push_async_callback(found.backend.aclose)
        await found.backend.connect()
        yield found


async def test_connect_tells_what_answers(rig: Rig) -> None:
    facts = await rig.backend.connect()
    assert facts == rig.backend.facts
    assert facts.base_url.startswith("http://127.0.0.1:")
    assert not facts.is_remote


async def test_models_name_at_least_one_that_is_loaded(rig: Rig) -> None:
    models = await rig.backend.models()
    assert any(model.is_loaded for model in models)
    assert all(model.key for model in models)


async def test_the_only_loaded_model_needs_no_name(rig: Rig) -> None:
    facts = await rig.backend.describe(None)
    named = await rig.backend.describe(facts.model)
    assert named == facts
    assert facts.requested_context_tokens is None
    assert facts.loaded_context_tokens in (rig.context_tokens, None)


async def test_an_unknown_model_is_refused_where_names_mean_something(rig: Rig) -> None:
    if rig.backend.facts.kind == "llama.cpp":
        assert (await rig.backend.describe("no/such-model")).model == "tiny-gemma4"
        return
    with pytest.raises(ModelNotFound, match="no/such-model"):
        await rig.backend.describe("no/such-model")


async def test_an_answer_ends_with_its_finish_and_its_usage_before_it(rig: Rig) -> None:
    parts = [part async for part in rig.backend.chat(await rig.request())]
    assert isinstance(parts[-1], FinishPart)
    assert parts[-1].reason in {"stop", "length", "tool_calls"}
    (usage,) = [part for part in parts if isinstance(part, UsagePart)]
    counted = sum(isinstance(part, TextPart | ThinkingPart | ToolCallPart) for part in parts)
    assert usage.usage.prompt_tokens
    assert usage.usage.completion_tokens
    # The marks around a tool call are tokens that no part shows.
    assert 0.8 * usage.usage.completion_tokens <= counted <= usage.usage.completion_tokens


async def test_the_same_request_gives_the_same_answer(rig: Rig) -> None:
    request = await rig.request()
    assert await said(rig.backend, request) == await said(rig.backend, request)


async def said(backend: Backend, request: ChatRequest) -> tuple[str, str, str]:
    parts = [part async for part in backend.chat(request)]
    return (
        "".join(part.text for part in parts if isinstance(part, TextPart)),
        "".join(part.text for part in parts if isinstance(part, ThinkingPart)),
        "".join(part.arguments for part in parts if isinstance(part, ToolCallPart)),
    )


async def test_cancelling_the_reader_closes_the_connection(rig: Rig) -> None:
    request = await rig.request()
    rig.hold()
    begun = asyncio.Event()

    async def read(parts: AsyncIterator[ChatPart]) -> None:
        async for _ in parts:
            begun.set()

    task = asyncio.create_task(read(rig.backend.chat(request)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        while not rig.was_left():
            await asyncio.sleep(0.01)


async def test_the_processing_state_is_idle_between_requests_or_unknown(rig: Rig) -> None:
    facts = await rig.backend.describe(None)
    state = await rig.backend.processing_state(facts.model)
    assert state is None or state.status == "idle"


async def test_nothing_at_the_address_is_unavailable_and_named(rig: Rig) -> None:
    backend = rig.make("http://127.0.0.1:9")
    with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:9"):
        await backend.connect()
    await backend.aclose()


async def test_closing_twice_is_harmless(rig: Rig) -> None:
    await rig.backend.aclose()
    await rig.backend.aclose()
