from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentui.backends.address import parse_address
from agentui.backends.base import ChatRequest
from agentui.backends.lmstudio.backend import LmStudioBackend
from agentui.backends.lmstudio.connection import SocketUnavailable
from agentui.errors import AuthenticationFailed, BackendUnavailable, ModelLoadFailed, ModelNotFound
from agentui.simulator.config import EMBEDDING, GEMMA_12B_MLX, GEMMA_26B, SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import RunningSimulator, start_simulator
from tests.unit.backends.replay import ReplayServer, as_json

NO_ROUTE = as_json({"error": "Unexpected endpoint or method. (GET /x)"})


@asynccontextmanager
async def pair(
    config: SimulatorConfig | None = None, api_key: str | None = None
) -> AsyncIterator[tuple[RunningSimulator, LmStudioBackend]]:
    simulator = await start_simulator(config or SimulatorConfig(unpaced=True))
    backend = LmStudioBackend(parse_address(simulator.url), api_key)
    try:
        await backend.connect()
        yield simulator, backend
    finally:
        await backend.aclose()
        await simulator.stop()


def without_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the WebSocket unreachable, as behind a proxy that only passes HTTP."""

    async def closed(self: object, namespace: str) -> None:
        raise SocketUnavailable(namespace)

    monkeypatch.setattr("agentui.backends.lmstudio.socket.LmStudioSocket._connection", closed)


def nothing(ratio: float | None) -> None:
    assert ratio is None or 0 <= ratio <= 1


async def test_everything_the_header_shows_is_read() -> None:
    async with pair() as (_, backend):
        facts = await backend.describe(None)
    assert (facts.model, facts.display_name) == (GEMMA_26B, "Gemma 4 26B A4B")
    assert (facts.architecture, facts.quantization, facts.engine) == ("gemma4", "Q4_K_M", "gguf")
    assert facts.size_bytes == 17990911801
    assert (facts.loaded_context_tokens, facts.trained_context_tokens) == (65536, 262144)
    assert (facts.parallel, facts.is_remote) == (4, False)


@pytest.mark.parametrize("name", ["gemma-4-12b-qat", "GEMMA 4 12B QAT", "12b", f"{GEMMA_12B_MLX}@4bit"])
async def test_a_model_may_be_named_in_short(name: str) -> None:
    async with pair() as (_, backend):
        facts = await backend.describe(name)
    assert (facts.model, facts.loaded_context_tokens) == (GEMMA_12B_MLX, None)


async def test_a_name_that_means_two_models_is_refused_with_both() -> None:
    async with pair() as (_, backend):
        with pytest.raises(ModelNotFound) as caught:
            await backend.describe("gemma-4")
    assert GEMMA_26B in caught.value.hint
    assert GEMMA_12B_MLX in caught.value.hint
    assert EMBEDDING not in caught.value.hint


async def test_nothing_loaded_and_nothing_named_says_what_could_be() -> None:
    async with pair(SimulatorConfig(unpaced=True, loaded=())) as (_, backend):
        with pytest.raises(ModelNotFound, match="No model is loaded") as caught:
            await backend.describe(None)
    assert GEMMA_26B in caught.value.hint


async def test_a_second_instance_can_be_named() -> None:
    async with pair(SimulatorConfig(unpaced=True, second_instance=True)) as (_, backend):
        assert (await backend.describe(f"{GEMMA_26B}:2")).model == f"{GEMMA_26B}:2"
        assert (await backend.describe(GEMMA_26B)).model == GEMMA_26B


async def test_loading_what_is_loaded_does_nothing() -> None:
    async with pair() as (simulator, backend):
        for context_tokens in (65536, None):
            facts = await backend.load(GEMMA_26B, context_tokens, nothing)
            assert facts.loaded_context_tokens == 65536
        assert simulator.truth.loads == 0
        assert list(simulator.registry.instances) == [GEMMA_26B]


@pytest.mark.parametrize("has_socket", [True, False])
async def test_another_context_replaces_the_instance_and_is_read_back(
    has_socket: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_socket:
        without_socket(monkeypatch)
    async with pair() as (simulator, backend):
        facts = await backend.load("gemma-4-26b-a4b", 8192, nothing)
        assert (facts.loaded_context_tokens, facts.requested_context_tokens) == (8192, 8192)
        assert facts.model == GEMMA_26B
        assert list(simulator.registry.instances) == [GEMMA_26B]
        assert simulator.registry.instances[GEMMA_26B].settings.context_length == 8192


@pytest.mark.parametrize(("has_socket", "shown"), [(True, float), (False, type(None))])
async def test_progress_is_a_ratio_where_the_server_tells_it(
    has_socket: bool, shown: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_socket:
        without_socket(monkeypatch)
    seen: list[float | None] = []
    async with pair(SimulatorConfig(load_s=0.3)) as (_, backend):
        await backend.load(GEMMA_12B_MLX, 8192, seen.append)
    assert seen
    assert all(isinstance(ratio, shown) for ratio in seen)


async def test_an_engine_that_chooses_the_context_itself_is_not_reloaded_for_the_same_wish() -> None:
    config = SimulatorConfig(unpaced=True, mlx_fitted_context=131072)
    async with pair(config) as (simulator, backend):
        facts = await backend.load(GEMMA_12B_MLX, 32768, nothing)
        assert (facts.loaded_context_tokens, facts.requested_context_tokens) == (131072, 32768)
        for _ in range(2):
            assert (await backend.load(GEMMA_12B_MLX, 32768, nothing)).loaded_context_tokens == 131072
        assert simulator.truth.loads == 1


async def test_an_engine_that_gave_less_is_not_reloaded_for_the_same_wish_either() -> None:
    config = SimulatorConfig(unpaced=True, mlx_fitted_context=4096)
    async with pair(config) as (simulator, backend):
        for _ in range(3):
            assert (await backend.load(GEMMA_12B_MLX, 32768, nothing)).loaded_context_tokens == 4096
        assert simulator.truth.loads == 1


@pytest.mark.parametrize("fault", [Fault.LOAD_FAILED, Fault.LOW_MEMORY])
@pytest.mark.parametrize("has_socket", [True, False])
async def test_a_failed_load_says_why_and_what_was_unloaded_for_it(
    fault: Fault, has_socket: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_socket:
        without_socket(monkeypatch)
    async with pair() as (simulator, backend):
        simulator.faults.set_every(fault)
        with pytest.raises(ModelLoadFailed) as caught:
            await backend.load(GEMMA_26B, 8192, nothing)
        assert caught.value.message
        assert "no longer loaded" in caught.value.hint
        with pytest.raises(ModelLoadFailed) as caught:
            await backend.load(GEMMA_12B_MLX, 8192, nothing)
        assert "no longer loaded" not in caught.value.hint


async def test_unloading_removes_the_instance() -> None:
    async with pair() as (simulator, backend):
        await backend.unload(GEMMA_26B)
        assert not simulator.registry.instances
        with pytest.raises(ModelNotFound):
            await backend.unload(GEMMA_26B)


async def test_the_token_opens_all_routes_and_its_lack_is_said() -> None:
    token = "sk-lm-AbCdEf12:0123456789abcdefghij"
    config = SimulatorConfig(unpaced=True, api_token=token)
    async with pair(config, token) as (_, backend):
        facts = await backend.describe(None)
        request = ChatRequest(facts.model, ({"role": "user", "content": "hello"},))
        assert [part async for part in backend.chat(request)]
        assert await backend.load_settings(facts.model)
    async with pair(config) as (_, backend):
        with pytest.raises(AuthenticationFailed):
            await backend.describe(None)


async def test_what_only_the_socket_tells_is_unknown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair() as (_, backend):
        settings = await backend.load_settings(GEMMA_26B)
        details = await backend.details(GEMMA_26B)
        assert settings is not None
        assert "llm.load.llama.kCacheQuantizationType" in settings
        assert details is not None
        assert details.path
    without_socket(monkeypatch)
    async with pair() as (_, backend):
        assert await backend.load_settings(GEMMA_26B) is None
        assert await backend.details(GEMMA_26B) is None
        assert await backend.processing_state(GEMMA_26B) is None


async def test_a_running_request_shows_in_the_processing_state() -> None:
    async with pair() as (simulator, backend):
        simulator.faults.add_next(Fault.STALL)
        request = ChatRequest(GEMMA_26B, ({"role": "user", "content": "split report.py"},))
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in backend.chat(request):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        state = await backend.processing_state(GEMMA_26B)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert state is not None
    assert (state.status, state.queued) == ("generating", 1)


# --- older versions ------------------------------------------------------------------------------

V0 = as_json(
    {
        "data": [
            {"id": "gemma", "type": "llm", "state": "loaded", "loaded_context_length": 4096, "arch": "gemma4"}
        ]
    }
)
GREETING = {"GET /lmstudio-greeting": as_json({"lmstudio": True}), "GET /lms-status": NO_ROUTE}


@asynccontextmanager
async def older(**routes: object) -> AsyncIterator[tuple[ReplayServer, LmStudioBackend]]:
    server = ReplayServer({**GREETING}, otherwise=NO_ROUTE)
    for path, body in routes.items():
        server.routes[f"GET /{path.replace('__', '/')}/models"] = as_json(body)
    async with server:
        backend = LmStudioBackend(parse_address(server.url))
        try:
            await backend.connect()
            yield server, backend
        finally:
            await backend.aclose()


async def test_the_listing_of_older_versions_is_found_and_remembered() -> None:
    async with older(v1={"data": [{"id": "x"}]}) as (server, backend):
        server.routes["GET /api/v0/models"] = V0
        for _ in range(2):
            facts = await backend.describe(None)
            assert (facts.model, facts.loaded_context_tokens) == ("gemma", 4096)
        assert backend.facts.version is None
        assert server.paths().count("GET /api/v1/models") == 1


async def test_the_oldest_versions_list_names_only() -> None:
    async with older(v1={"data": [{"id": "x"}]}) as (_, backend):
        assert [model.key for model in await backend.models()] == ["x"]
        with pytest.raises(ModelNotFound):
            await backend.describe(None)
        assert (await backend.describe("x")).model == "x"


async def test_what_is_not_lm_studio_is_not_taken_for_it() -> None:
    async with ReplayServer({}) as server:
        backend = LmStudioBackend(parse_address(server.url))
        with pytest.raises(BackendUnavailable, match="not LM Studio"):
            await backend.connect()
        await backend.aclose()
