"""The gateway in front of the simulated server, used by clients that know nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import openai
import pytest

from agentui.backends.gateway import Gateway
from agentui.events import ContextMeasured, RateSample
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import start_simulator
from tests.unit.backends.gateways import (
    ASKED,
    CHAT,
    STREAMED,
    gateway_to,
    listen,
    plain_client,
)
from tests.unit.backends.replay import ReplayServer, chunk, events, llama_server, recorded

LONG = SimulatorConfig(speed=4, fault_every=Fault.ENDLESS_REASONING, reasoning_limit_tokens=300)
PREFILLING = SimulatorConfig(prefill_tok_per_s=0.001, finish_prefill=False)


async def until_generating(simulator_url: str) -> None:
    """Wait until the server says that it is at work."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            truth = (await client.get(f"{simulator_url}/simulator/truth")).json()
            if truth["requests"]:
                return
            await asyncio.sleep(0.01)


# --- figures -------------------------------------------------------------------------------------


async def test_a_plain_clients_speed_is_within_one_percent_of_the_servers_own() -> None:
    simulator = await start_simulator(LONG)
    async with gateway_to(simulator.url) as opened, plain_client(opened.url) as client:
        stream = await client.chat.completions.create(**STREAMED)  # type: ignore[call-overload]
        async for _ in stream:
            pass
    (ended,), record = opened.ended(), simulator.truth.requests[-1]
    await simulator.stop()
    assert record.completion_tokens == 300
    assert ended.outcome == "done"
    assert ended.timing_source == "measured"
    assert record.decode_tok_per_s is not None
    assert ended.decode_tok_per_s == pytest.approx(record.decode_tok_per_s, rel=0.01)
    assert ended.usage.prompt_tokens == record.prompt_tokens
    assert ended.usage.completion_tokens == record.completion_tokens
    assert ended.usage_source == "reported"
    assert ended.ttft_s is not None
    assert [event for event in opened.events if isinstance(event, RateSample)]
    (context,) = [event for event in opened.events if isinstance(event, ContextMeasured)]
    assert context == ContextMeasured(record.prompt_tokens + 300, 65536, "reported")


async def test_the_exact_bytes_of_a_request_are_told_and_sent() -> None:
    body = b'{ "stream":true,\n "messages" :[{"role":"user","content":"\\u00e4 \xc3\xa4"}],"model":"m"}'
    async with llama_server() as server, gateway_to(server.url) as opened:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(opened.url + CHAT, content=body, headers={"content-type": "application/json"})
        assert server.seen[-1].body == body
    (_, prompt) = opened.prompts[-1]
    assert prompt.body == body
    assert opened.started()[-1].body_bytes == len(body)


async def test_the_figures_are_told_before_the_client_has_the_last_word() -> None:
    answer = events(chunk({"content": "b"}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 1}))
    is_read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(answer.body)
        await is_read.wait()  # the answer is whole, but the connection stays
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with (
        server,
        gateway_to(url) as opened,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", opened.url + CHAT, json=ASKED) as response,
    ):
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                break
        assert [ended.outcome for ended in opened.ended()] == ["done"]
        is_read.set()
    assert len(opened.ended()) == 1


async def test_an_answer_that_is_not_streamed_is_counted_but_has_no_first_token() -> None:
    async with (
        llama_server(chat=recorded("chat-nonstream-turn2-cached-prefix.json")) as server,
        gateway_to(server.url) as opened,
        plain_client(opened.url) as client,
    ):
        answer = await client.chat.completions.create(**ASKED)  # type: ignore[call-overload]
        assert answer.choices[0].message.content.startswith(" book place5")
    (ended,) = opened.ended()
    assert (ended.outcome, ended.finish_reason, ended.ttft_s) == ("done", "length", None)
    assert (ended.usage.prompt_tokens, ended.usage.completion_tokens, ended.usage.cached_tokens) == (
        182,
        12,
        105,
    )
    assert ended.decode_tok_per_s == pytest.approx(1424.69, abs=0.01)
    assert ended.prefill_tok_per_s == pytest.approx(2386.86, abs=0.01)


async def test_the_next_turn_of_a_conversation_is_known_and_another_one_is_not() -> None:
    first = {**ASKED, "messages": [{"role": "user", "content": "a" * 400}]}
    longer = [*first["messages"], {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    answer = events(chunk({"content": "b"}, "stop", usage=usage))
    async with ReplayServer({f"POST {CHAT}": answer}) as server, gateway_to(server.url) as opened:
        for body in (first, {**first, "messages": longer}, {**first, "messages": longer[1:]}):
            await listen(opened.url, body)
    turns = [(prompt.turn, prompt.attempt, prompt.likely_cached_tokens) for _, prompt in opened.prompts]
    assert turns == [(1, 1, 0), (2, 1, 110), (3, 1, None)]
    assert [prompt.first_changed for _, prompt in opened.prompts] == [None, None, 0]
    assert opened.started()[1].estimated_prompt_tokens > 110


@pytest.mark.parametrize("route", ["/v1/completions", "/v1/responses"])
async def test_the_other_routes_that_generate_are_measured_too(route: str) -> None:
    if route == "/v1/completions":
        answer = events(
            {"choices": [{"index": 0, "text": "one", "finish_reason": None}]},
            {"choices": [{"index": 0, "text": " two", "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
        )
    else:
        counts = {"input_tokens": 7, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}}
        answer = events(
            {"type": "response.created", "response": {"id": "resp_1"}},
            {"type": "response.output_text.delta", "delta": "one"},
            {"type": "response.output_text.delta", "delta": " two"},
            {"type": "response.completed", "response": {"status": "completed", "usage": counts}},
            done=False,
        )
    async with ReplayServer({f"POST {route}": answer}) as server, gateway_to(server.url) as opened:
        async with httpx.AsyncClient(trust_env=False) as client:
            heard = await client.post(opened.url + route, json={"model": "m", "stream": True})
        assert heard.content == answer.body
    (ended,) = opened.ended()
    assert (ended.outcome, ended.finish_reason) == ("done", "stop")
    assert (ended.usage.prompt_tokens, ended.usage.completion_tokens) == (7, 2)
    assert ended.ttft_s is not None


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("fault", list(Fault))
async def test_every_fault_of_the_server_reaches_the_client_as_it_is(fault: Fault, is_streamed: bool) -> None:
    config = SimulatorConfig(
        unpaced=True, restart_s=0.05, reasoning_limit_tokens=50, stall_s=600, fault_every=fault, seed=7
    )
    heard = []
    body = STREAMED if is_streamed else ASKED
    for is_direct in (True, False):
        simulator = await start_simulator(config)
        try:
            async with gateway_to(simulator.url) as opened:
                heard.append(await listen(simulator.url if is_direct else opened.url, body, silent_s=2.0))
                if not is_direct:
                    # What went wrong at the server's end is told as failed, or as cut where the client gave up.
                    await asyncio.wait_for(_all_ended(opened.gateway), 5)
                    (ended,) = opened.ended()
                    assert (ended.outcome == "done") == (ended.error is None and ended.outcome != "cut")
        finally:
            await simulator.stop()
    direct, through = heard
    assert through == direct


async def _all_ended(gateway: Gateway) -> None:
    while gateway.generating:
        await asyncio.sleep(0.01)


async def test_a_server_that_is_not_there_is_a_502_that_says_so() -> None:
    async with gateway_to("http://127.0.0.1:9") as opened, plain_client(opened.url) as client:
        with pytest.raises(openai.InternalServerError, match="no model server at http"):
            await client.chat.completions.create(**STREAMED)  # type: ignore[call-overload]
    assert opened.ended()[0].outcome == "failed"


async def test_a_client_that_goes_takes_the_servers_connection_with_it() -> None:
    simulator = await start_simulator(PREFILLING)
    async with gateway_to(simulator.url) as opened:
        asking = asyncio.create_task(listen(opened.url, STREAMED, silent_s=600))
        await until_generating(simulator.url)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(_gone(simulator.truth.requests), 5)
    await simulator.stop()
    assert [event.outcome for event in opened.ended()] == ["cut"]


async def _gone(requests: Sequence[object]) -> None:
    while not getattr(requests[-1], "disconnected", False):
        await asyncio.sleep(0.005)


# --- freezing ------------------------------------------------------------------------------------


async def test_a_freeze_closes_the_servers_connection_and_the_request_is_asked_again_alike() -> None:
    """While the prompt is read the client has seen nothing: it just waits longer."""
    simulator = await start_simulator(PREFILLING)
    async with gateway_to(simulator.url) as opened:
        asking = asyncio.create_task(listen(opened.url, STREAMED, silent_s=600))
        await until_generating(simulator.url)
        assert await opened.gateway.freeze() == 1
        await asyncio.wait_for(_gone(simulator.truth.requests), 5)
        while opened.gateway.held != 1:
            await asyncio.sleep(0.01)
        assert len(simulator.truth.requests) == 1
        assert not asking.done()
        opened.gateway.resume()
        while len(simulator.truth.requests) != 2:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await simulator.stop()
    assert [event.outcome for event in opened.ended()] == ["frozen", "cut"]
    assert [(event.turn, event.attempt) for event in opened.started()] == [(1, 1), (1, 2)]
    first, second = (prompt.body for _, prompt in opened.prompts)
    assert first == second


@pytest.mark.parametrize("headers_first", [True, False])
async def test_a_freeze_while_the_prompt_is_read_is_not_seen_by_the_client(headers_first: bool) -> None:
    config = SimulatorConfig(prefill_tok_per_s=20, finish_prefill=False, headers_first=headers_first, speed=4)
    simulator = await start_simulator(config)
    async with gateway_to(simulator.url) as opened:
        asking = asyncio.create_task(listen(opened.url, STREAMED, silent_s=600))
        await until_generating(simulator.url)
        await opened.gateway.freeze()
        opened.gateway.resume()
        heard = await asyncio.wait_for(asking, 60)
    await simulator.stop()
    assert (heard.status, heard.broke) == (200, False)
    assert heard.body.endswith(b"data: [DONE]\n\n")
    assert [event.outcome for event in opened.ended()] == ["frozen", "done"]


async def test_a_frozen_answer_ends_without_a_finish_reason_and_the_retry_waits() -> None:
    simulator = await start_simulator(LONG)
    async with gateway_to(simulator.url) as opened, plain_client(opened.url) as client:
        reasons = []
        stream = await client.chat.completions.create(**STREAMED)  # type: ignore[call-overload]
        async for piece in stream:
            reasons += [choice.finish_reason for choice in piece.choices]
            if len(reasons) == 5:
                await opened.gateway.freeze()
                await asyncio.wait_for(_gone(simulator.truth.requests), 5)
        assert not any(reasons)
        assert simulator.truth.requests[0].completion_tokens < 300
        retry = asyncio.create_task(client.chat.completions.create(**STREAMED))  # type: ignore[call-overload]
        while opened.gateway.held != 1:
            await asyncio.sleep(0.01)
        assert len(simulator.truth.requests) == 1
        opened.gateway.resume()
        last = [piece async for piece in await retry if piece.choices][-1]
        assert last.choices[0].finish_reason == "length"
    await simulator.stop()
    assert [event.outcome for event in opened.ended()] == ["frozen", "done"]
    assert [(event.turn, event.attempt) for event in opened.started()] == [(1, 1), (1, 2)]
    assert opened.prompts[0][1].body == opened.prompts[1][1].body


async def test_what_generates_nothing_passes_a_frozen_gateway() -> None:
    async with llama_server() as server, gateway_to(server.url) as opened, plain_client(opened.url) as client:
        await opened.gateway.freeze()
        assert [model.id async for model in client.models.list()] == ["tiny-gemma4"]
    assert opened.events == []


# --- the end ---


async def test_closing_it_ends_what_runs_on_both_sides() -> None:
    simulator = await start_simulator(PREFILLING)
    async with gateway_to(simulator.url) as opened:
        asking = asyncio.create_task(listen(opened.url, STREAMED, silent_s=600))
        await until_generating(simulator.url)
        await opened.gateway.aclose()
        await asyncio.wait_for(_gone(simulator.truth.requests), 5)
        assert (await asyncio.wait_for(asking, 5)).broke
    await simulator.stop()
    assert [event.outcome for event in opened.ended()] == ["cut"]
