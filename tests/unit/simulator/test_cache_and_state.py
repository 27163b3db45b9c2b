"""Prompt cache, queue, states and disconnects, by the server's own counters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI

from agentui.errors import UsageError
from agentui.simulator.catalog import CATALOG
from agentui.simulator.config import GEMMA_12B_MLX, GEMMA_26B, SimulatorConfig
from agentui.simulator.reply import tool_call_id
from agentui.simulator.server import RunningSimulator
from agentui.simulator.tokens import prompt_tokens
from tests.unit.simulator.conftest import Connect, Start
from tests.unit.simulator.playing import BASH_TOOL
from tests.unit.simulator.talking import chat_body, only_request, until


async def two_turns(client: AsyncOpenAI) -> list[dict[str, Any]]:
    """Ask, answer the calls with a long result, ask again; returns the messages of the second request."""
    body = chat_body()
    first: Any = await client.chat.completions.create(**body)
    answer = first.choices[0].message
    calls = [call.model_dump() for call in answer.tool_calls]
    messages = [*body["messages"], {"role": "assistant", "content": answer.content, "tool_calls": calls}]
    for call in calls:
        text = "a line of the file\n" * 100
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    await client.chat.completions.create(**chat_body(messages=messages))
    return messages


async def test_a_second_turn_reads_only_what_is_new(start: Start, connect: Connect) -> None:
    simulator = await start()
    messages = await two_turns(connect(simulator))
    first, second = simulator.truth.requests
    assert first.cached_tokens == 0
    assert first.uncached_tokens == first.prompt_tokens
    assert second.prompt_tokens == len(prompt_tokens(messages, [BASH_TOOL]))
    # The first prompt is reused whole; its answer is not, since thoughts are left out of the next prompt.
    assert second.cached_tokens == first.prompt_tokens
    assert second.planned_prefill_s < second.prompt_tokens / simulator.config.prefill_tok_per_s
    assert second.planned_prefill_s == second.uncached_tokens / simulator.config.prefill_tok_per_s


async def test_asking_the_same_again_reads_one_token(start: Start, connect: Connect) -> None:
    simulator = await start()
    client = connect(simulator)
    for _ in range(2):
        await client.chat.completions.create(**chat_body())
    assert simulator.truth.requests[1].uncached_tokens == 1


async def test_an_earlier_message_changed_reads_everything_after_it(start: Start, connect: Connect) -> None:
    simulator = await start(parallel=1)
    client = connect(simulator)
    long = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "word " * 500}]
    await client.chat.completions.create(**chat_body(messages=long))
    changed = [{"role": "system", "content": "Be verbose."}, long[1]]
    await client.chat.completions.create(**chat_body(messages=changed))
    first, second = simulator.truth.requests
    assert second.cached_tokens < 100
    assert second.uncached_tokens > first.prompt_tokens - 100


async def test_unloading_empties_the_cache(start: Start, connect: Connect) -> None:
    simulator = await start()
    client = connect(simulator)
    await client.chat.completions.create(**chat_body())
    simulator.registry.remove(GEMMA_26B)
    await client.chat.completions.create(**chat_body())
    assert simulator.truth.requests[1].cached_tokens == 0


async def test_the_cache_holds_prompt_and_answer(start: Start, connect: Connect) -> None:
    simulator = await start(parallel=1)
    await connect(simulator).chat.completions.create(**chat_body())
    record, instance = only_request(simulator), simulator.registry.instances[GEMMA_26B]
    assert instance.kv_tokens == record.prompt_tokens + record.completion_tokens
    assert instance.kv_bytes == (20_480 + 204_800) * instance.kv_tokens


@pytest.mark.parametrize(
    ("key", "tokens", "mib"),
    [
        (GEMMA_26B, 4096, 280),
        (GEMMA_26B, 32768, 840),
        (GEMMA_26B, 131072, 2760),
        (GEMMA_12B_MLX, 4096, 384),
        (GEMMA_12B_MLX, 262144, 4416),
    ],
)
def test_cache_bytes_are_the_published_ones(key: str, tokens: int, mib: int) -> None:
    growth = next(model.kv for model in CATALOG if model.key == key)
    assert growth is not None
    assert growth.bytes_of(tokens) == mib * 1024 * 1024


async def test_an_instance_goes_through_its_states_in_order(start: Start, connect: Connect) -> None:
    simulator = await start()
    await connect(simulator).chat.completions.create(**chat_body())
    transitions = simulator.registry.instances[GEMMA_26B].transitions
    assert transitions == ["idle", "processingPrompt", "generating", "idle"]


async def test_more_requests_than_places_wait_in_the_queue(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, speed=40, parallel=1)
    client, instance = connect(simulator), simulator.registry.instances[GEMMA_26B]
    body = chat_body(task="stream 300 tokens")
    tasks = [asyncio.create_task(client.chat.completions.create(**body)) for _ in range(3)]
    await until(lambda: instance.queued == 3)
    await asyncio.gather(*tasks)
    assert instance.queued == 0
    ends = sorted(record.ended_at_s or 0 for record in simulator.truth.requests)
    starts = sorted(record.first_token_at_s or 0 for record in simulator.truth.requests)
    assert starts[1] >= ends[0] - 0.05
    assert sum(record.queued_s > 0 for record in simulator.truth.requests) >= 2


async def test_parallel_requests_have_caches_of_their_own(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, speed=40)
    client, instance = connect(simulator), simulator.registry.instances[GEMMA_26B]
    body = chat_body(task="stream 300 tokens")
    tasks = [asyncio.create_task(client.chat.completions.create(**body)) for _ in range(2)]
    await until(lambda: sum(slot.is_busy for slot in instance.slots) == 2)
    await asyncio.gather(*tasks)
    assert sum(bool(slot.tokens) for slot in instance.slots) == 2


async def started_stream(client: AsyncOpenAI, **settings: Any) -> Any:
    return await client.chat.completions.create(**chat_body(stream=True, **settings))


async def test_a_client_that_leaves_stops_the_answer_within_a_token(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, speed=4)
    stream = await started_stream(connect(simulator), task="stream 4000 tokens")
    seen = 0
    async for _ in stream:
        seen += 1
        if seen == 20:
            break
    await stream.close()
    written = only_request(simulator).completion_tokens
    await until(lambda: only_request(simulator).ended_at_s is not None)
    record = only_request(simulator)
    assert record.disconnected
    assert record.disconnected_during == "answer"
    assert record.completion_tokens <= written + 2
    assert simulator.registry.instances[GEMMA_26B].status == "idle"
    assert simulator.registry.instances[GEMMA_26B].queued == 0


@pytest.mark.parametrize("finish", [True, False])
async def test_a_prompt_is_read_to_its_end_after_the_client_left_or_not(
    start: Start, connect: Connect, finish: bool
) -> None:
    simulator = await start(unpaced=False, prefill_tok_per_s=2000.0, finish_prefill=finish)
    client, instance = connect(simulator), simulator.registry.instances[GEMMA_26B]
    asking = asyncio.create_task(started_stream(client, task="word " * 3000))
    await until(lambda: instance.status == "processingPrompt")
    stream = await asking
    await stream.close()
    await until(lambda: only_request(simulator).ended_at_s is not None)
    record = only_request(simulator)
    assert record.disconnected_during == "prompt"
    assert record.completion_tokens == 0
    assert (instance.kv_tokens == record.prompt_tokens) is finish


async def test_a_client_that_leaves_the_queue_is_forgotten(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, speed=10, parallel=1)
    client, instance = connect(simulator), simulator.registry.instances[GEMMA_26B]
    first = await started_stream(client, task="stream 4000 tokens")
    await until(lambda: instance.status == "generating")
    waiting = await started_stream(client)
    await until(lambda: instance.queued == 2)
    await waiting.close()
    await until(lambda: instance.queued == 1)
    assert simulator.truth.requests[1].disconnected_during == "queued"
    await first.close()
    await until(lambda: instance.queued == 0)
    answer = await client.chat.completions.create(**chat_body(task="stream 5 tokens"))
    assert answer.choices[0].finish_reason == "stop"


async def test_the_rate_of_the_truth_is_the_configured_one(start: Start, connect: Connect) -> None:
    simulator: RunningSimulator = await start(unpaced=False, speed=10, decode_full_ratio=1.0)
    await connect(simulator).chat.completions.create(**chat_body(task="stream 300 tokens"))
    rate = only_request(simulator).decode_tok_per_s
    # A loaded machine can only be slower than the pace, never faster.
    assert 100 < rate < 475


async def test_a_fuller_context_is_slower(start: Start) -> None:
    pace = (await start()).state.engine.pace
    assert pace.token_s(60_000, 65_536) > pace.token_s(0, 65_536) == pytest.approx(1 / 45)


async def test_pings_are_sent_while_a_prompt_is_read(start: Start, connect: Connect) -> None:
    simulator = await start(unpaced=False, prefill_tok_per_s=10_000.0, ping_s=0.02)
    client = connect(simulator)
    raw = await client.chat.completions.with_raw_response.create(
        **chat_body(task="word " * 3000, stream=True, max_tokens=1)
    )
    lines = [line async for line in raw.http_response.aiter_lines()]
    pings = [place for place, line in enumerate(lines) if line == ": ping"]
    assert pings
    assert pings[0] < next(place for place, line in enumerate(lines) if line.startswith("data:"))


def test_call_ids_depend_on_the_prompt_alone() -> None:
    first = prompt_tokens([{"role": "user", "content": "a"}])
    second = prompt_tokens([{"role": "user", "content": "b"}])
    assert tool_call_id(first, 0) == tool_call_id(list(first), 0)
    assert len({tool_call_id(first, 0), tool_call_id(first, 1), tool_call_id(second, 0)}) == 3


@pytest.mark.parametrize("settings", [{"speed": 0}, {"decode_tok_per_s": -1}, {"jitter_ratio": 2}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        SimulatorConfig(**settings)
