"""Every field of every route, against tests/data/simulator/fields.json: none missing, none extra."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from agentui.simulator.config import GEMMA_12B_MLX, GEMMA_26B
from agentui.simulator.faults import Fault
from agentui.simulator.server import RunningSimulator
from tests.unit.simulator.conftest import Start
from tests.unit.simulator.talking import chat_body, read_events

FIELDS: dict[str, list[str]] = json.loads(
    (Path(__file__).parents[2] / "data" / "simulator" / "fields.json").read_text()
)
Browse = Callable[[RunningSimulator], httpx.AsyncClient]
MCP = {"type": "ephemeral_mcp", "server_label": "hub", "server_url": "http://127.0.0.1:1/mcp"}


def paths_of(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of every value that is no container: `models[].key`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from paths_of(item, f"{path}[]")
    elif path:
        yield path


def check(route: str, *answers: object) -> None:
    found = {path for answer in answers for path in paths_of(answer)}
    assert found == set(FIELDS[route]), route


@pytest.fixture
async def simulator(start: Start) -> RunningSimulator:
    return await start(second_instance=True)


async def test_listings_have_the_fields_of_the_real_server(simulator: RunningSimulator, browse: Browse) -> None:
    client = browse(simulator)
    for path in ("/lmstudio-greeting", "/lms-status", "/v1/models", "/api/v0/models"):
        check(f"GET {path}", (await client.get(path)).json())
    check("GET /api/v0/models/{model}", (await client.get(f"/api/v0/models/{GEMMA_26B}")).json())
    check("GET /api/v1/models", (await client.get("/api/v1/models")).json())
    check("POST /v1/responses", (await client.post("/v1/responses", json={"input": "hi"})).json())


async def test_an_mlx_instance_reports_no_llama_keys(simulator: RunningSimulator, browse: Browse) -> None:
    client = browse(simulator)
    await client.post("/api/v1/models/load", json={"model": GEMMA_12B_MLX})
    models = (await client.get("/api/v1/models")).json()["models"]
    mlx = next(model for model in models if model["key"] == GEMMA_12B_MLX)
    assert set(mlx["loaded_instances"][0]["config"]) == {"context_length", "parallel"}
    embedding = next(model for model in models if model["type"] == "embedding")
    assert embedding["loaded_instances"] == []
    assert "capabilities" not in embedding
    assert "description" not in embedding


async def test_load_and_unload_have_the_fields_of_the_real_server(
    simulator: RunningSimulator, browse: Browse
) -> None:
    client = browse(simulator)
    load, unload = "/api/v1/models/load", "/api/v1/models/unload"
    loaded = (await client.post(load, json={"model": GEMMA_26B, "echo_load_config": True})).json()
    check(f"POST {load}", loaded)
    check(f"POST {load} (unknown model)", (await client.post(load, json={"model": "x"})).json())
    check(f"POST {load} (no model)", (await client.post(load, json={})).json())
    check(f"POST {unload}", (await client.post(unload, json={"instance_id": loaded["instance_id"]})).json())
    check(f"POST {unload} (unknown instance)", (await client.post(unload, json={"instance_id": "x"})).json())


async def test_chat_completions_have_the_fields_of_the_real_server(
    simulator: RunningSimulator, browse: Browse
) -> None:
    client = browse(simulator)
    route = "/v1/chat/completions"
    check(f"POST {route}", (await client.post(route, json=chat_body(draft_model="small"))).json())
    streamed = chat_body(stream=True, stream_options={"include_usage": True})
    events = await read_events(client, route, streamed)
    assert events[-1] == ("", "[DONE]")
    check(f"POST {route} (stream)", *(data for _, data in events[:-1]))
    check(f"POST {route} (unknown model)", (await client.post(route, json=chat_body(model="x"))).json())
    simulator.faults.add_next(Fault.UNAUTHORIZED)
    check(f"POST {route} (no token)", (await client.post(route, json=chat_body())).json())
    simulator.faults.add_next(Fault.REASONING_FIELD)
    other = {path for _, data in await read_events(client, route, streamed) for path in paths_of(data)}
    assert set(FIELDS[f"POST {route} (stream, the other name of reasoning)"]) <= other
    assert "choices[].delta.reasoning_content" not in other


async def test_the_other_chat_routes_have_the_fields_of_the_real_server(
    simulator: RunningSimulator, browse: Browse
) -> None:
    client = browse(simulator)
    answer = await client.post("/v1/completions", json={"model": GEMMA_26B, "prompt": "hello"})
    check("POST /v1/completions", answer.json())
    answer = await client.post("/api/v0/chat/completions", json=chat_body())
    check("POST /api/v0/chat/completions", answer.json())


async def test_the_native_chat_has_the_fields_of_the_real_server(
    simulator: RunningSimulator, browse: Browse
) -> None:
    client = browse(simulator)
    bodies: list[dict[str, Any]] = [
        {"model": GEMMA_12B_MLX, "input": "hello", "integrations": [MCP]},
        {"model": GEMMA_26B, "input": "hello", "integrations": [{**MCP, "allowed_tools": []}]},
        {"model": GEMMA_26B, "input": "hello", "integrations": ["mcp/files"]},
    ]
    check("POST /api/v1/chat", *[(await client.post("/api/v1/chat", json=body)).json() for body in bodies])


async def test_the_native_chats_events_have_the_fields_of_the_real_server(
    simulator: RunningSimulator, browse: Browse
) -> None:
    client = browse(simulator)
    body = {"model": GEMMA_12B_MLX, "input": "hello", "stream": True, "integrations": [MCP]}
    events = await read_events(client, "/api/v1/chat", body)
    events += await read_events(
        client, "/api/v1/chat", {**body, "model": GEMMA_26B, "integrations": [{**MCP, "allowed_tools": []}]}
    )
    simulator.faults.add_next(Fault.CRASH)
    events += await read_events(client, "/api/v1/chat", {**body, "model": GEMMA_26B})
    by_name: dict[str, list[Any]] = {}
    for name, data in events:
        assert data["type"] == name
        by_name.setdefault(name, []).append(data)
    assert set(by_name.pop("chat.end")[0]) == {"type", "result"}
    expected = {name.split("(")[1][:-1] for name in FIELDS if name.startswith("POST /api/v1/chat (")}
    assert set(by_name) == expected
    for name, found in by_name.items():
        check(f"POST /api/v1/chat ({name})", *found)


async def test_websocket_results_have_the_fields_of_the_real_server(simulator: RunningSimulator) -> None:
    async def call(namespace: str, endpoint: str, parameter: object = None) -> Any:
        async with session.ws_connect(f"{simulator.url}/{namespace}") as socket:
            await socket.send_json({"authVersion": 1, "clientIdentifier": "t", "clientPasskey": "p" * 20})
            assert await socket.receive_json() == {"success": True}
            message = {"type": "rpcCall", "endpoint": endpoint, "callId": 1, "parameter": parameter}
            await socket.send_json({key: value for key, value in message.items() if value is not None})
            return (await socket.receive_json())["result"]

    async with aiohttp.ClientSession() as session:
        loaded = await call("llm", "listLoaded")
        check("WS /llm listLoaded", loaded)
        specifier = {"type": "instanceReference", "instanceReference": loaded[0]["instanceReference"]}
        parameter = {"specifier": specifier, "throwIfNotFound": True}
        for endpoint in ("getInstanceProcessingState", "getLoadConfig"):
            check(f"WS /llm {endpoint}", await call("llm", endpoint, parameter))
        check("WS /system info", await call("system", "info"))
