"""The real openai client against the simulated server, without any special casing."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from openai import AsyncStream, BadRequestError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agentui.simulator.config import EMBEDDING, GEMMA_26B
from agentui.simulator.scripts.player import reply_to
from agentui.simulator.server import RunningSimulator
from agentui.simulator.tokens import tokenize
from tests.unit.simulator.conftest import Connect, Start
from tests.unit.simulator.playing import BASH_TOOL
from tests.unit.simulator.talking import SPLIT, chat_body, only_request


async def stream_of(client: Any, **settings: Any) -> list[ChatCompletionChunk]:
    stream: AsyncStream[ChatCompletionChunk] = await client.chat.completions.create(
        **chat_body(stream=True, **settings)
    )
    return [chunk async for chunk in stream]


async def test_it_lists_the_models(start: Start, connect: Connect) -> None:
    models = [model.id async for model in connect(await start()).models.list()]
    assert GEMMA_26B in models
    assert EMBEDDING in models


async def test_without_jit_only_loaded_models_are_listed(start: Start, connect: Connect) -> None:
    client = connect(await start(jit=False, second_instance=True))
    assert [model.id async for model in client.models.list()] == [GEMMA_26B, f"{GEMMA_26B}:2"]


async def test_streamed_and_whole_answers_are_the_same(start: Start, connect: Connect) -> None:
    client = connect(await start())
    chunks = await stream_of(client)
    whole: ChatCompletion = await client.chat.completions.create(**chat_body())
    deltas = [chunk.choices[0].delta for chunk in chunks]
    message = whole.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == message.content
    reasoning = [(delta.model_extra or {}).get("reasoning_content", "") for delta in deltas]
    assert "".join(reasoning) == (message.model_extra or {})["reasoning_content"]
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"


async def test_reasoning_comes_first_then_content_then_calls(start: Start, connect: Connect) -> None:
    kinds = []
    for chunk in await stream_of(connect(await start())):
        delta = chunk.choices[0].delta
        if (delta.model_extra or {}).get("reasoning_content"):
            kinds.append("reasoning")
        if delta.content:
            kinds.append("content")
        if delta.tool_calls:
            kinds.append("call")
    assert list(dict.fromkeys(kinds)) == ["reasoning", "content", "call"]
    assert kinds == sorted(kinds, key=["reasoning", "content", "call"].index)


async def test_tool_calls_arrive_in_fragments_with_numeric_ids(start: Start, connect: Connect) -> None:
    fragments = [
        call
        for chunk in await stream_of(connect(await start()))
        for call in chunk.choices[0].delta.tool_calls or []
    ]
    openings = [fragment for fragment in fragments if fragment.id]
    assert [opening.index for opening in openings] == [0, 1]
    for opening in openings:
        assert re.fullmatch(r"\d{9}", opening.id or "")
        assert opening.function is not None
        assert (opening.function.name, opening.function.arguments) == ("bash", "")
    joined = ["", ""]
    for fragment in fragments:
        assert fragment.function is not None
        joined[fragment.index] += fragment.function.arguments or ""
    expected = [call.arguments for call in reply_to(chat_body()["messages"], [BASH_TOOL]).calls]
    assert joined == expected
    assert len(fragments) > 4


async def test_usage_comes_only_when_asked_for_and_is_the_truth(start: Start, connect: Connect) -> None:
    simulator = await start()
    client = connect(simulator)
    assert all(chunk.usage is None for chunk in await stream_of(client))
    chunks = await stream_of(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    usage, record = chunks[-1].usage, simulator.truth.requests[-1]
    assert usage is not None
    assert usage.prompt_tokens == record.prompt_tokens
    assert usage.completion_tokens == record.completion_tokens
    assert usage.total_tokens == record.prompt_tokens + record.completion_tokens
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == record.reasoning_tokens
    assert usage.prompt_tokens_details is None
    reply = reply_to(chat_body()["messages"], [BASH_TOOL])
    assert record.reasoning_tokens == len(tokenize(reply.thinking))


async def test_ids_and_fingerprint_look_like_the_real_ones(start: Start, connect: Connect) -> None:
    chunks = await stream_of(connect(await start()))
    assert len({chunk.id for chunk in chunks}) == 1
    assert re.fullmatch(r"chatcmpl-[a-z0-9]{21}", chunks[0].id)
    assert isinstance(chunks[0].created, int)
    assert chunks[0].system_fingerprint == chunks[0].model == GEMMA_26B


async def test_the_same_request_twice_gets_the_same_answer_and_call_ids(start: Start, connect: Connect) -> None:
    client = connect(await start())
    first: ChatCompletion = await client.chat.completions.create(**chat_body())
    second: ChatCompletion = await client.chat.completions.create(**chat_body())
    assert first.choices[0].message == second.choices[0].message


async def test_a_cap_ends_the_answer_with_length(start: Start, connect: Connect) -> None:
    simulator = await start()
    answer = await connect(simulator).chat.completions.create(**chat_body(max_tokens=5))
    assert answer.choices[0].finish_reason == "length"
    assert only_request(simulator).completion_tokens == 5


async def test_a_full_context_ends_the_answer_with_length(start: Start, connect: Connect) -> None:
    simulator = await start(context_length=1000)
    answer = await connect(simulator).chat.completions.create(**chat_body(task="stream 5000 tokens"))
    record = only_request(simulator)
    assert answer.choices[0].finish_reason == "length"
    assert record.prompt_tokens + record.completion_tokens == 1000


async def test_a_stop_string_ends_the_answer_before_it(start: Start, connect: Connect) -> None:
    client = connect(await start())
    answer: ChatCompletion = await client.chat.completions.create(**chat_body(stop=["folder first"]))
    assert answer.choices[0].message.content == "I'll look at the "
    assert answer.choices[0].finish_reason == "stop"


async def test_no_tool_is_called_when_the_choice_is_none(start: Start, connect: Connect) -> None:
    answer = await connect(await start()).chat.completions.create(**chat_body(tool_choice="none"))
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


async def test_multi_byte_text_cut_between_writes_arrives_whole(start: Start, connect: Connect) -> None:
    client = connect(await start(split_ratio=1.0, join_ratio=0.5))
    chunks = await stream_of(client, messages=[{"role": "user", "content": "stream 400 tokens"}])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert len(tokenize(text)) == 400
    assert "東京" in text
    assert "�" not in text


async def test_an_embedding_model_cannot_chat(start: Start, connect: Connect) -> None:
    with pytest.raises(BadRequestError, match="not an LLM"):
        await connect(await start()).chat.completions.create(**chat_body(model=EMBEDDING))


async def test_a_base_url_without_v1_gets_an_empty_success(start: Start) -> None:
    simulator = await start()
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        answer = await client.post("/chat/completions", json=chat_body())
    assert answer.status_code == 200
    assert answer.json() == {"error": "Unexpected endpoint or method. (POST /chat/completions)"}


@pytest.mark.parametrize("headers_first", [True, False])
async def test_the_headers_are_those_of_express(start: Start, headers_first: bool) -> None:
    simulator = await start(headers_first=headers_first)
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        async with client.stream("POST", "/v1/chat/completions", json=chat_body(stream=True)) as answer:
            lines = [line async for line in answer.aiter_lines()]
            headers = answer.headers
        listing = await client.get("/v1/models")
    assert headers["x-powered-by"] == "Express"
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache"
    assert "server" not in headers
    assert all(line == "" or line.startswith("data: ") for line in lines)
    assert listing.headers["content-type"] == "application/json; charset=utf-8"
    assert listing.headers["keep-alive"] == "timeout=5"


async def test_llama_timings_are_sent_when_wanted(start: Start, connect: Connect) -> None:
    simulator = await start(llama_timings=True)
    chunks = await stream_of(connect(simulator), extra_body={"return_progress": True})
    progress = [extra["prompt_progress"] for c in chunks if "prompt_progress" in (extra := c.model_extra or {})]
    timings = (chunks[-1].model_extra or {})["timings"]
    record = only_request(simulator)
    assert progress[-1]["processed"] == progress[-1]["total"] == record.prompt_tokens
    assert timings["prompt_n"] + timings["cache_n"] == record.prompt_tokens
    assert timings["predicted_n"] == record.completion_tokens


async def test_the_legacy_route_streams_text(start: Start, connect: Connect) -> None:
    client = connect(await start())
    stream = await client.completions.create(model=GEMMA_26B, prompt=SPLIT, stream=True)
    chunks = [chunk async for chunk in stream]
    whole = await client.completions.create(model=GEMMA_26B, prompt=SPLIT)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.object for chunk in chunks} == {"text_completion"}


async def test_the_bodies_of_requests_are_kept(start: Start, connect: Connect) -> None:
    simulator: RunningSimulator = await start()
    await connect(simulator).chat.completions.create(**chat_body(extra_body={"ttl": 60}))
    body = only_request(simulator).body
    assert body["messages"] == [{"role": "user", "content": SPLIT}]
    assert body["ttl"] == 60
    assert json.dumps(body["tools"]) == json.dumps([BASH_TOOL])
