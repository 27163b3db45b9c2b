from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from agentui.backends.base import ProcessingState
from agentui.backends.lmstudio.connection import (
    CallFailed,
    Connection,
    EndpointUnknown,
    SocketRefused,
    SocketUnavailable,
    auth_frame,
)
from agentui.backends.lmstudio.socket import LmStudioSocket
from agentui.simulator.config import GEMMA_12B_MLX, GEMMA_26B, SimulatorConfig
from agentui.simulator.server import RunningSimulator, start_simulator

TOKEN = "sk-lm-AbCdEf12:0123456789abcdefghij"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def simulated(config: SimulatorConfig | None = None) -> AsyncIterator[RunningSimulator]:
    simulator = await start_simulator(config or SimulatorConfig(unpaced=True))
    try:
        yield simulator
    finally:
        await simulator.stop()


def websocket_url(simulator: RunningSimulator) -> str:
    return simulator.url.replace("http://", "ws://")


@asynccontextmanager
async def talked_to(
    simulator: RunningSimulator, api_key: str | None = None, clock: Clock | None = None
) -> AsyncIterator[LmStudioSocket]:
    socket = LmStudioSocket(websocket_url(simulator), api_key, clock or Clock())
    try:
        yield socket
    finally:
        await socket.aclose()


def test_a_token_is_sent_in_its_two_parts() -> None:
    assert auth_frame(TOKEN) == {
        "authVersion": 1,
        "clientIdentifier": "AbCdEf12",
        "clientPasskey": "0123456789abcdefghij",
    }


def test_without_a_token_the_credentials_are_random_and_ours() -> None:
    first, second = auth_frame(None), auth_frame("another-kind-of-key")
    assert first["clientIdentifier"].startswith("agentui-")
    assert len(first["clientPasskey"]) >= 20
    assert "another-kind-of-key" not in json.dumps(second)
    assert first != second


async def test_state_config_and_details_of_an_instance_are_read() -> None:
    async with (
        simulated(SimulatorConfig(unpaced=True, k_cache_type="q8_0")) as server,
        talked_to(server) as socket,
    ):
        assert await socket.processing_state(GEMMA_26B) == ProcessingState("idle", 0)
        config = await socket.load_config(GEMMA_26B)
        assert config is not None
        assert config["llm.load.contextLength"] == 65536
        assert config["llm.load.llama.kCacheQuantizationType"] == {"checked": True, "value": "q8_0"}
        details = (await socket.instances() or {})[GEMMA_26B]
        assert details.path is not None
        assert details.path.endswith(".gguf")
        assert details.device is None
        info = await socket.info()
        assert info is not None
        assert info["version"].startswith("0.4")


async def test_polling_is_held_down_to_what_the_server_bears() -> None:
    clock = Clock()
    async with simulated() as server, talked_to(server, clock=clock) as socket:
        for _ in range(50):
            assert await socket.processing_state(GEMMA_26B)
            clock.now_s += 0.1
        calls = server.truth.calls
        assert calls["WS /llm/listLoaded"] == 1
        assert calls["WS /llm/getInstanceProcessingState"] <= 50 * 0.1 / 0.4 + 1
        assert calls["GET /llm"] == 1


async def test_an_instance_that_is_not_loaded_has_no_state_and_is_not_asked_for_all_the_time() -> None:
    clock = Clock()
    async with simulated() as server, talked_to(server, clock=clock) as socket:
        for _ in range(20):
            assert await socket.processing_state("nothing") is None
            clock.now_s += 0.4
        assert server.truth.calls["WS /llm/listLoaded"] <= 2


async def test_a_lost_connection_is_made_again() -> None:
    clock = Clock()
    async with simulated() as server, talked_to(server, clock=clock) as socket:
        assert await socket.processing_state(GEMMA_26B)
        await server.restart()
        clock.now_s += 10
        async with asyncio.timeout(20):
            while await socket.processing_state(GEMMA_26B) is None:
                clock.now_s += 10
                await asyncio.sleep(0)


async def test_where_nothing_listens_there_is_no_answer_and_no_hurry_to_ask_again() -> None:
    clock = Clock()
    socket = LmStudioSocket("ws://127.0.0.1:9", None, clock)
    assert await socket.processing_state("x") is None
    assert await socket.load_config("x") is None
    assert await socket.instances() is None
    with pytest.raises(SocketUnavailable):
        await socket.load("x", None, lambda ratio: None)
    await socket.aclose()


async def test_the_token_opens_the_socket_and_a_wrong_one_is_tried_only_once() -> None:
    clock = Clock()
    config = SimulatorConfig(unpaced=True, api_token=TOKEN)
    async with simulated(config) as server:
        async with talked_to(server, TOKEN, clock) as socket:
            assert await socket.processing_state(GEMMA_26B)
        before = server.truth.calls["GET /llm"]
        async with talked_to(server, "sk-lm-wrong:key", clock) as socket:
            for _ in range(5):
                assert await socket.instances(fresh=True) is None
                clock.now_s += 100
        assert server.truth.calls["GET /llm"] == before + 1


async def test_a_load_tells_its_progress_and_its_id() -> None:
    seen: list[float | None] = []
    async with simulated() as server, talked_to(server) as socket:
        assert await socket.load(GEMMA_12B_MLX, 8192, seen.append) == GEMMA_12B_MLX
        assert server.registry.instances[GEMMA_12B_MLX].settings.context_length == 8192
    assert len(seen) > 1
    assert seen == sorted(ratio for ratio in seen if ratio is not None)
    assert seen[-1] == 1.0


async def test_a_load_of_an_unknown_model_fails_with_the_servers_words() -> None:
    async with simulated() as server, talked_to(server) as socket:
        with pytest.raises(CallFailed, match="Cannot find a model"):
            await socket.load("nothing", None, lambda ratio: None)


# --- frames a simulated server does not send -----------------------------------------------------


@asynccontextmanager
async def scripted(serve_one: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(json.dumps({"success": True}))
        await serve_one(connection)

    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def received(connection: ServerConnection) -> dict[str, Any]:
    message = json.loads(await connection.recv())
    assert isinstance(message, dict)
    return message


async def test_an_endpoint_that_is_only_warned_about_counts_as_unknown() -> None:
    async def warn(connection: ServerConnection) -> None:
        endpoint = (await received(connection))["endpoint"]
        warning = f"Received rpcCall for unknown endpoint, endpoint = {endpoint}"
        await connection.send(json.dumps({"type": "communicationWarning", "warning": warning}))
        await connection.wait_closed()

    async with scripted(warn) as url:
        connection = await Connection.open(url, None)
        with pytest.raises(EndpointUnknown):
            await connection.call("getInstanceProcessingState", {})
        await connection.aclose()


async def test_keep_alives_are_answered_and_strange_frames_ignored() -> None:
    answered = asyncio.Event()

    async def chat(connection: ServerConnection) -> None:
        call = await received(connection)
        for frame in ("not json", "[1]", json.dumps({"type": "keepAlive"}), json.dumps({"type": "rpcResult"})):
            await connection.send(frame)
        assert (await received(connection))["type"] == "keepAliveAck"
        answered.set()
        await connection.send(json.dumps({"type": "rpcResult", "callId": call["callId"], "result": 7}))
        await connection.wait_closed()

    async with scripted(chat) as url:
        connection = await Connection.open(url, None)
        assert await connection.call("info") == 7
        assert answered.is_set()
        await connection.aclose()


async def test_calls_in_the_air_fail_when_the_connection_ends() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close()

    async with scripted(leave) as url:
        connection = await Connection.open(url, None)
        with pytest.raises(SocketUnavailable):
            await connection.call("info")
        await connection.aclose()


async def test_a_call_that_is_never_answered_ends_by_its_deadline() -> None:
    async with scripted(lambda connection: connection.wait_closed()) as url:
        connection = await Connection.open(url, None)
        with pytest.raises(SocketUnavailable, match="no answer"):
            await connection.call("info", timeout_s=0.05)
        await connection.aclose()


async def test_a_silent_connection_is_left_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection.call, "__defaults__", (None, 0.05))
    opened = 0

    async def silent_at_first(connection: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        call = await received(connection)
        if opened > 1:
            await connection.send(
                json.dumps({"type": "rpcResult", "callId": call["callId"], "result": {"pid": 1}})
            )
        await connection.wait_closed()

    async with scripted(silent_at_first) as url:
        socket = LmStudioSocket(url, None)
        assert await socket.info() is None
        assert await socket.info() == {"pid": 1}
        await socket.aclose()


async def test_cancelling_a_load_tells_the_server_so() -> None:
    messages: list[dict[str, Any]] = []
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def load(connection: ServerConnection) -> None:
        messages.append(await received(connection))
        begun.set()
        messages.append(await received(connection))
        cancelled.set()
        await connection.wait_closed()

    async with scripted(load) as url:
        socket = LmStudioSocket(url, None)
        task = asyncio.create_task(socket.load("m", 4096, lambda ratio: None))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(cancelled.wait(), 10)
        await socket.aclose()
    create, cancel = messages
    layer = create["creationParameter"]["loadConfigStack"]["layers"][0]
    assert layer["config"]["fields"] == [{"key": "llm.load.contextLength", "value": 4096}]
    assert cancel["message"] == {"type": "cancel"}
    assert cancel["channelId"] == create["channelId"]


async def test_a_refused_authentication_is_told_apart_from_no_server() -> None:
    async def refuse(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(json.dumps({"success": False, "error": "wrong"}))

    async with serve(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SocketRefused, match="wrong"):
            await Connection.open(f"ws://127.0.0.1:{port}", None)
