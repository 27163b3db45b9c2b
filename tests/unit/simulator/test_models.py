"""Loading, unloading, just-in-time loads, states and tokens: the native routes and the WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import openai
import pytest

from agentui.simulator.config import EMBEDDING, GEMMA_12B_MLX, GEMMA_26B
from agentui.simulator.faults import Fault
from agentui.simulator.server import RunningSimulator
from tests.unit.simulator.conftest import Connect, Start
from tests.unit.simulator.talking import chat_body, read_events, until

Browse = Callable[[RunningSimulator], httpx.AsyncClient]
LOAD, UNLOAD = "/api/v1/models/load", "/api/v1/models/unload"


async def loaded(client: httpx.AsyncClient) -> dict[str, int]:
    """Context length by instance id, as the listing has it."""
    models = (await client.get("/api/v1/models")).json()["models"]
    instances = [instance for model in models for instance in model["loaded_instances"]]
    return {instance["id"]: instance["config"]["context_length"] for instance in instances}


async def test_the_configured_context_is_reported(start: Start, browse: Browse) -> None:
    assert await loaded(browse(await start(context_length=20_000))) == {GEMMA_26B: 20_000}


async def test_every_load_adds_an_instance(start: Start, browse: Browse) -> None:
    simulator = await start()
    client = browse(simulator)
    for number in (2, 3):
        answer = await client.post(LOAD, json={"model": GEMMA_26B, "context_length": 4096})
        assert answer.json()["instance_id"] == f"{GEMMA_26B}:{number}"
    assert await loaded(client) == {GEMMA_26B: 65536, f"{GEMMA_26B}:2": 4096, f"{GEMMA_26B}:3": 4096}
    assert simulator.truth.loads == 2


async def test_unloading_takes_an_instance_id(start: Start, browse: Browse) -> None:
    client = browse(await start(second_instance=True))
    assert (await client.post(UNLOAD, json={"instance_id": GEMMA_26B})).json() == {"instance_id": GEMMA_26B}
    assert list(await loaded(client)) == [f"{GEMMA_26B}:2"]
    again = await client.post(UNLOAD, json={"instance_id": GEMMA_26B})
    assert again.status_code == 404
    assert again.json()["error"]["type"] == "model_not_found"


async def test_an_mlx_load_is_fitted_whatever_it_asks_for(start: Start, browse: Browse) -> None:
    client = browse(await start(mlx_fitted_context=152_576))
    body = {"model": GEMMA_12B_MLX, "context_length": 32_768, "echo_load_config": True}
    assert (await client.post(LOAD, json=body)).json()["load_config"] == {"context_length": 152_576}
    assert (await loaded(client))[GEMMA_12B_MLX] == 152_576


async def test_a_context_can_be_larger_than_asked_for(start: Start, browse: Browse) -> None:
    client = browse(await start(fault_every=Fault.WRONG_CONTEXT))
    await client.post(LOAD, json={"model": GEMMA_12B_MLX, "context_length": 32_768})
    assert (await loaded(client))[GEMMA_12B_MLX] > 32_768


async def test_no_context_is_larger_than_the_model_was_made_for(start: Start, browse: Browse) -> None:
    client = browse(await start())
    await client.post(LOAD, json={"model": GEMMA_12B_MLX, "context_length": 10_000_000})
    assert (await loaded(client))[GEMMA_12B_MLX] == 262_144


@pytest.mark.parametrize(
    ("fault", "text"),
    [(Fault.LOAD_FAILED, "Failed to load"), (Fault.LOW_MEMORY, "insufficient system resources")],
)
async def test_a_load_can_fail(start: Start, browse: Browse, fault: Fault, text: str) -> None:
    client = browse(await start(fault_every=fault))
    answer = await client.post(LOAD, json={"model": GEMMA_12B_MLX})
    assert answer.status_code >= 400
    assert text in answer.json()["error"]["message"]
    assert list(await loaded(client)) == [GEMMA_26B]


async def test_a_request_loads_its_model_just_in_time(start: Start, connect: Connect, browse: Browse) -> None:
    simulator = await start()
    answer = await connect(simulator).chat.completions.create(**chat_body(model=GEMMA_12B_MLX))
    assert answer.model == GEMMA_12B_MLX
    assert GEMMA_12B_MLX in await loaded(browse(simulator))
    assert simulator.registry.instances[GEMMA_12B_MLX].ttl_s == 3600


async def test_a_ttl_of_the_request_holds_for_the_load(start: Start, connect: Connect) -> None:
    simulator = await start()
    await connect(simulator).chat.completions.create(**chat_body(model=GEMMA_12B_MLX), extra_body={"ttl": 60})
    instance = simulator.registry.instances[GEMMA_12B_MLX]
    assert instance.ttl_s == 60
    simulator.registry.drop_expired((instance.last_used_s or 0) + 59)
    assert GEMMA_12B_MLX in simulator.registry.instances
    simulator.registry.drop_expired((instance.last_used_s or 0) + 61)
    assert GEMMA_12B_MLX not in simulator.registry.instances
    assert GEMMA_26B in simulator.registry.instances


async def test_two_requests_at_once_load_one_instance(start: Start, connect: Connect) -> None:
    simulator = await start()
    client = connect(simulator)
    body = chat_body(model=GEMMA_12B_MLX)
    await asyncio.gather(*(client.chat.completions.create(**body) for _ in range(2)))
    assert simulator.truth.loads == 1


async def test_unloading_ends_what_runs_on_the_instance(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, speed=5)
    body = chat_body(task="stream 4000 tokens")
    asking = asyncio.create_task(connect(simulator).chat.completions.create(**body))
    await until(lambda: simulator.registry.instances[GEMMA_26B].status == "generating")
    simulator.registry.remove(GEMMA_26B)
    with pytest.raises(openai.InternalServerError) as caught:
        await asking
    assert "unloaded" in str(caught.value.body)


async def test_without_jit_nothing_is_loaded_for_a_request(start: Start, browse: Browse) -> None:
    simulator = await start(jit=False, loaded=())
    answer = await browse(simulator).post("/v1/chat/completions", json=chat_body())
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("No models loaded")


async def test_a_chosen_instance_answers_under_its_own_name(start: Start, connect: Connect) -> None:
    client = connect(await start(second_instance=True))
    answer = await client.chat.completions.create(**chat_body(model=f"{GEMMA_26B}:2"))
    assert answer.model == f"{GEMMA_26B}:2"


async def test_a_token_is_wanted_where_one_is_configured(start: Start, browse: Browse) -> None:
    client = browse(await start(api_token="sk-lm-abcdefgh:secret"))
    assert (await client.get("/lmstudio-greeting")).json() == {"lmstudio": True}
    for path in ("/v1/models", "/api/v0/models", "/api/v1/models"):
        refused = await client.get(path)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
        allowed = await client.get(path, headers={"Authorization": "Bearer sk-lm-abcdefgh:secret"})
        assert allowed.status_code == 200


async def test_unknown_paths_and_methods_answer_200_with_an_error(start: Start, browse: Browse) -> None:
    client = browse(await start())
    for method, path in [("GET", "/nope"), ("DELETE", "/v1/models"), ("GET", "/v1/chat/completions")]:
        answer = await client.request(method, path)
        assert answer.status_code == 200
        assert answer.json() == {"error": f"Unexpected endpoint or method. ({method} {path})"}


async def test_the_native_stats_name_the_reason_to_stop(start: Start, browse: Browse) -> None:
    client = browse(await start())
    route = "/api/v0/chat/completions"
    tools = (await client.post(route, json=chat_body())).json()
    short = (await client.post(route, json=chat_body(max_tokens=3))).json()
    assert tools["stats"]["stop_reason"] == "toolCalls"
    assert short["stats"]["stop_reason"] == "maxPredictedTokensReached"
    assert short["model_info"]["context_length"] == 65536


async def test_the_native_chat_tells_everything_in_order(start: Start, browse: Browse) -> None:
    client = browse(await start())
    body = {"model": GEMMA_12B_MLX, "input": "word " * 1000, "stream": True}
    events = await read_events(client, "/api/v1/chat", body)
    names = [name for name, _ in events]
    assert list(dict.fromkeys(names)) == [
        "chat.start",
        *("model_load.start", "model_load.progress", "model_load.end"),
        *("prompt_processing.start", "prompt_processing.progress", "prompt_processing.end"),
        *("reasoning.start", "reasoning.delta", "reasoning.end"),
        *("message.start", "message.delta", "message.end"),
        "chat.end",
    ]
    for name in set(names):
        if not name.endswith((".delta", ".progress")):
            assert names.count(name) == 1
    for kind in ("model_load", "prompt_processing"):
        steps = [data["progress"] for name, data in events if name == f"{kind}.progress"]
        assert steps == sorted(steps)
        assert steps[-1] == 1
        assert len(steps) > 1
    result = events[-1][1]["result"]
    message = "".join(data["content"] for name, data in events if name == "message.delta")
    assert result["output"][-1] == {"type": "message", "content": message}
    assert result["response_id"].startswith("resp_")


async def test_the_native_chat_remembers_what_it_stored(start: Start, browse: Browse) -> None:
    simulator = await start()
    client = browse(simulator)
    first = (await client.post("/api/v1/chat", json={"model": GEMMA_26B, "input": "hello"})).json()
    body = {"model": GEMMA_26B, "input": "more", "previous_response_id": first["response_id"]}
    second = (await client.post("/api/v1/chat", json=body)).json()
    assert second["stats"]["input_tokens"] > first["stats"]["input_tokens"] * 2
    unstored = await client.post("/api/v1/chat", json={"model": GEMMA_26B, "input": "hi", "store": False})
    assert "response_id" not in unstored.json()


async def test_an_error_of_the_native_chat_still_ends_with_chat_end(start: Start, browse: Browse) -> None:
    client = browse(await start(context_length=4))
    body = {"model": GEMMA_26B, "input": "does not fit", "stream": True}
    names = [name for name, _ in await read_events(client, "/api/v1/chat", body)]
    assert names == ["chat.start", "error", "chat.end"]
    refused = await client.post("/api/v1/chat", json={"input": "hi"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "missing_required_parameter"


async def test_a_slow_listing_waits_its_time_and_then_answers(start: Start, browse: Browse) -> None:
    simulator = await start(fault_every=Fault.SLOW_MODELS, unpaced=False, slow_listing_s=30.0)
    with pytest.raises(httpx.ReadTimeout):
        await browse(simulator).get("/api/v1/models", timeout=0.2)
    assert (await browse(simulator).get("/v1/models", timeout=5)).status_code == 200


async def test_faults_and_truth_can_be_had_over_http(start: Start, browse: Browse) -> None:
    client = browse(await start())
    plan = {"every": "no-usage", "next": ["cut"], "at": {"7": "reset"}}
    answer = (await client.post("/simulator/faults", json=plan)).json()
    assert answer == {"every": "no-usage", "at": {"7": "reset"}, "next": ["cut"], "states": []}
    assert (await client.post("/simulator/faults", json={"every": "gremlins"})).status_code == 400
    await client.post("/simulator/faults", json={"clear": True})
    await client.post("/v1/chat/completions", json=chat_body())
    truth = (await client.get("/simulator/truth")).json()
    assert truth["requests"][0]["fault"] is None
    assert truth["instances"][0]["kv_tokens"] > 0
    assert truth["calls"]["POST /v1/chat/completions"] == 1
    assert (truth["open"], truth["disconnects"]) == (0, 0)


class Caller:
    """A WebSocket that is past its authentication."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def call(self, endpoint: str, **more: object) -> Any:
        await self.socket.send_json({"type": "rpcCall", "endpoint": endpoint, "callId": 1, **more})
        return await self.socket.receive_json()


@asynccontextmanager
async def calling(simulator: RunningSimulator, namespace: str = "llm") -> AsyncIterator[Caller]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{simulator.url}/{namespace}") as socket,
    ):
        await socket.send_json({"authVersion": 1, "clientIdentifier": "test", "clientPasskey": "p" * 20})
        assert await socket.receive_json() == {"success": True}
        yield Caller(socket)


async def test_the_socket_lists_instances_and_their_states(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, speed=5)
    async with calling(simulator) as caller:
        infos = (await caller.call("listLoaded"))["result"]
        assert [info["identifier"] for info in infos] == [GEMMA_26B]
        specifier = {"type": "instanceReference", "instanceReference": infos[0]["instanceReference"]}
        parameter = {"specifier": specifier, "throwIfNotFound": True}
        idle = await caller.call("getInstanceProcessingState", parameter=parameter)
        assert idle["result"] == {"status": "idle", "queued": 0}
        body = chat_body(task="stream 2000 tokens")
        asking = asyncio.create_task(connect(simulator).chat.completions.create(**body))
        await until(lambda: simulator.registry.instances[GEMMA_26B].status == "generating")
        busy = await caller.call("getInstanceProcessingState", parameter=parameter)
        assert busy["result"] == {"status": "generating", "queued": 1}
        asking.cancel()
        await asyncio.wait({asking})
        missing = {"specifier": {**specifier, "instanceReference": "gone"}, "throwIfNotFound": True}
        assert (await caller.call("getInstanceProcessingState", parameter=missing))["type"] == "rpcError"


async def test_another_programs_work_is_seen_as_generating(start: Start) -> None:
    async with calling(await start(fault_every=Fault.BUSY)) as caller:
        infos = (await caller.call("listLoaded"))["result"]
        specifier = {"type": "instanceReference", "instanceReference": infos[0]["instanceReference"]}
        state = await caller.call("getInstanceProcessingState", parameter={"specifier": specifier})
        assert state["result"] == {"status": "generating", "queued": 1}


async def test_the_socket_alone_tells_the_types_of_the_cache(start: Start) -> None:
    async with calling(await start(k_cache_type="q8_0", context_length=8192)) as caller:
        specifier = {"type": "query", "query": {"identifier": GEMMA_26B}}
        answer = await caller.call("getLoadConfig", parameter={"specifier": specifier})
    fields = {field["key"]: field["value"] for field in answer["result"]["fields"]}
    assert fields["llm.load.contextLength"] == 8192
    assert fields["llm.load.llama.kCacheQuantizationType"] == {"checked": True, "value": "q8_0"}
    assert fields["llm.load.llama.vCacheQuantizationType"] == {"checked": False, "value": "f16"}


async def test_the_socket_warns_about_what_it_does_not_know(start: Start) -> None:
    async with calling(await start()) as caller:
        warning = await caller.call("makeTea")
        assert warning["type"] == "communicationWarning"
        assert "unknown endpoint, endpoint = makeTea" in warning["warning"]
        assert (await caller.call("listLoaded", parameter={}))["type"] == "rpcError"
        await caller.socket.send_json({"type": "keepAlive"})
        assert await caller.socket.receive_json() == {"type": "keepAliveAck"}
        await caller.socket.send_str("no json")
        assert (await caller.socket.receive_json())["type"] == "communicationWarning"


async def test_the_socket_wants_the_token_in_two_parts(start: Start) -> None:
    simulator = await start(api_token="sk-lm-abcdefgh:secret")
    async with aiohttp.ClientSession() as session:
        for passkey, success in [("secret", True), ("wrong", False)]:
            async with session.ws_connect(f"{simulator.url}/llm") as socket:
                frame = {"authVersion": 1, "clientIdentifier": "abcdefgh", "clientPasskey": passkey}
                await socket.send_json(frame)
                assert (await socket.receive_json())["success"] is success


async def test_a_load_over_the_socket_tells_its_progress(start: Start) -> None:
    simulator = await start()
    fields = [{"key": "llm.load.contextLength", "value": 8192}]
    layer = {"layerName": "apiOverride", "config": {"fields": fields}}
    parameter = {"modelKey": GEMMA_12B_MLX, "loadConfigStack": {"layers": [layer]}}
    creation = {
        "type": "channelCreate",
        "endpoint": "loadModel",
        "channelId": 3,
        "creationParameter": parameter,
    }
    async with calling(simulator) as caller:
        await caller.socket.send_json({**creation, "creationParameter": parameter})
        messages = []
        while (message := await caller.socket.receive_json())["type"] == "channelSend":
            messages.append(message["message"])
        assert message == {"type": "channelClose", "channelId": 3}
    steps = [message["progress"] for message in messages if message["type"] == "progress"]
    assert steps == sorted(steps)
    assert steps[-1] == 1
    assert messages[-1]["info"]["contextLength"] == 8192
    assert simulator.registry.instances[GEMMA_12B_MLX].settings.context_length == 8192


async def test_a_load_over_the_socket_can_be_cancelled_and_can_fail(start: Start) -> None:
    simulator = await start(unpaced=False, load_s=60.0)
    creation = {"type": "channelCreate", "endpoint": "loadModel", "channelId": 1}
    async with calling(simulator) as caller:
        await caller.socket.send_json({**creation, "creationParameter": {"modelKey": GEMMA_12B_MLX}})
        cancel = {"type": "channelSend", "channelId": 1, "message": {"type": "cancel"}}
        await caller.socket.send_json(cancel)
        await caller.socket.send_json({**creation, "channelId": 2, "creationParameter": {"modelKey": "x"}})
        failed = await caller.socket.receive_json()
        assert failed["type"] == "channelError"
        assert failed["channelId"] == 2
    assert list(simulator.registry.instances) == [GEMMA_26B]


async def test_embeddings_have_a_namespace_of_their_own(start: Start) -> None:
    async with calling(await start(loaded=(GEMMA_26B, EMBEDDING)), "embedding") as caller:
        infos = (await caller.call("listLoaded"))["result"]
    assert [info["type"] for info in infos] == ["embedding"]
