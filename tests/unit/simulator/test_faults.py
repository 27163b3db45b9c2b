"""Each fault, as the openai client sees it: what section by section has been observed of the real server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from agentui.errors import UsageError
from agentui.simulator.config import GEMMA_26B
from agentui.simulator.faults import Fault, FaultPlan, parse_fault
from tests.unit.simulator.conftest import Connect, Start
from tests.unit.simulator.talking import chat_body, only_request, until


@dataclass
class Seen:
    """What one streamed request gave."""

    chunks: list[ChatCompletionChunk]
    error: Exception | None

    @property
    def finish_reason(self) -> str | None:
        reasons = [choice.finish_reason for chunk in self.chunks for choice in chunk.choices or []]
        return next((reason for reason in reasons if reason), None)

    @property
    def content(self) -> str:
        return "".join(choice.delta.content or "" for chunk in self.chunks for choice in chunk.choices or [])

    def field(self, name: str) -> str:
        deltas = [choice.delta for chunk in self.chunks for choice in chunk.choices or []]
        return "".join((delta.model_extra or {}).get(name, "") for delta in deltas)


async def stream(client: AsyncOpenAI, **settings: Any) -> Seen:
    chunks: list[ChatCompletionChunk] = []
    options = {"stream": True, "stream_options": {"include_usage": True}, **settings}
    try:
        async with await client.chat.completions.create(**chat_body(**options)) as answer:
            async for chunk in answer:
                chunks.append(chunk)
    except (openai.OpenAIError, ValueError) as error:
        return Seen(chunks, error)
    return Seen(chunks, None)


STATUS_FAULTS: dict[Fault, tuple[type[openai.APIStatusError], int, str]] = {
    Fault.UNKNOWN_MODEL: (openai.BadRequestError, 400, "Invalid model identifier"),
    Fault.NO_MODELS_LOADED: (openai.BadRequestError, 400, "No models loaded"),
    Fault.NO_MODELS_LOADED_TEXT: (openai.BadRequestError, 400, "No models loaded"),
    Fault.LOAD_FAILED: (openai.BadRequestError, 400, "Failed to load model"),
    Fault.LOW_MEMORY: (openai.BadRequestError, 400, "insufficient system resources"),
    Fault.UNAUTHORIZED: (openai.AuthenticationError, 401, "API token is required"),
    Fault.HTTP_500: (openai.InternalServerError, 500, "Internal Server Error"),
}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("fault", list(STATUS_FAULTS))
async def test_refusals_have_their_status_and_body(
    start: Start, connect: Connect, fault: Fault, streamed: bool
) -> None:
    client = connect(await start(fault_every=fault))
    kind, status, text = STATUS_FAULTS[fault]
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(**chat_body(stream=streamed))
    assert caught.value.status_code == status
    body: Any = caught.value.body
    assert text in (body if isinstance(body, str) else body["message"])


async def test_the_two_shapes_of_no_models_loaded(start: Start, connect: Connect) -> None:
    client = connect(await start(faults={1: Fault.NO_MODELS_LOADED, 2: Fault.NO_MODELS_LOADED_TEXT}))
    bodies = []
    for _ in range(2):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**chat_body())
        bodies.append(caught.value.body)
    assert isinstance(bodies[0], dict)
    assert bodies[0]["param"] == "model"
    assert isinstance(bodies[1], str)


async def test_an_unexpected_endpoint_is_an_empty_success(start: Start, connect: Connect) -> None:
    client = connect(await start(fault_every=Fault.UNEXPECTED_ENDPOINT))
    whole: Any = await client.chat.completions.create(**chat_body())
    assert whole.choices is None
    assert "Unexpected endpoint" in whole.model_extra["error"]
    seen = await stream(client)
    assert (seen.chunks, seen.error) == ([], None)


OVERFLOW_TEXTS = {
    Fault.OVERFLOW_KEEP_FIRST: "Trying to keep the first",
    Fault.OVERFLOW_N_KEEP: "n_keep:",
    Fault.OVERFLOW_EVENT: "Input does not fit in context length",
    Fault.OVERFLOW_SHARED: "Context size has been exceeded",
}


@pytest.mark.parametrize("fault", list(OVERFLOW_TEXTS))
async def test_a_streamed_overflow_is_200_and_then_an_error_event(
    start: Start, connect: Connect, fault: Fault
) -> None:
    seen = await stream(connect(await start(fault_every=fault)))
    assert seen.chunks == []
    assert isinstance(seen.error, openai.APIError)
    assert not isinstance(seen.error, openai.APIStatusError)
    assert OVERFLOW_TEXTS[fault] in seen.error.message


@pytest.mark.parametrize("fault", list(OVERFLOW_TEXTS))
async def test_an_overflow_without_a_stream_is_a_400_with_text(
    start: Start, connect: Connect, fault: Fault
) -> None:
    client = connect(await start(fault_every=fault))
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**chat_body())
    assert OVERFLOW_TEXTS[fault] in str(caught.value.body)


async def test_the_silent_overflow_is_a_well_formed_stream_without_content(
    start: Start, connect: Connect
) -> None:
    seen = await stream(connect(await start(fault_every=Fault.OVERFLOW_EMPTY)))
    assert seen.error is None
    assert seen.finish_reason == "stop"
    assert (seen.content, seen.field("reasoning_content")) == ("", "")


async def test_a_prompt_that_really_does_not_fit_overflows_without_any_fault(
    start: Start, connect: Connect
) -> None:
    client = connect(await start(context_length=50))
    seen = await stream(client)
    assert isinstance(seen.error, openai.APIError)
    assert "only supports 50 tokens" in seen.error.message
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**chat_body())
    assert "n_ctx: 50" in str(caught.value.body)


async def test_an_exhausted_shared_context_ends_the_other_generations_too(
    start: Start, connect: Connect
) -> None:
    simulator = await start(unpaced=False, speed=20, faults={2: Fault.OVERFLOW_SHARED})
    client = connect(simulator)
    first = asyncio.create_task(stream(client, task="stream 5000 tokens"))
    await until(lambda: simulator.registry.instances[GEMMA_26B].status == "generating")
    second = await stream(client)
    seen = await first
    for error in (seen.error, second.error):
        assert isinstance(error, openai.APIError)
        assert "Context size has been exceeded" in error.message
    assert seen.finish_reason is None


@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.ERROR_DATA, Fault.ERROR_TEXT])
async def test_a_crash_in_mid_stream_is_an_api_error_after_the_first_chunks(
    start: Start, connect: Connect, fault: Fault
) -> None:
    seen = await stream(connect(await start(fault_every=fault)))
    assert seen.chunks
    assert isinstance(seen.error, openai.APIError)
    assert "model has crashed" in str(seen.error.body)
    assert seen.finish_reason is None


async def test_an_error_event_without_error_is_a_chunk_without_choices(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.ERROR_KEYLESS)))
    last: Any = seen.chunks[-1]
    assert seen.error is None
    assert last.choices is None
    assert "model has crashed" in last.model_extra["message"]


async def test_a_cut_stream_ends_cleanly_but_unfinished(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.CUT)))
    assert seen.error is None
    assert seen.chunks
    assert seen.finish_reason is None


async def test_a_reset_is_a_lost_connection(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.RESET)))
    assert seen.chunks
    assert isinstance(seen.error, openai.APIConnectionError)


async def test_a_stall_runs_into_the_read_timeout(start: Start, connect: Connect) -> None:
    simulator = await start(fault_every=Fault.STALL)
    seen = await stream(connect(simulator).with_options(timeout=0.3))
    assert seen.chunks
    assert isinstance(seen.error, openai.APITimeoutError)
    await until(lambda: only_request(simulator).ended_at_s is not None)
    assert only_request(simulator).disconnected_during == "stall"


async def test_malformed_json_is_a_value_error(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.MALFORMED_JSON)))
    assert isinstance(seen.error, json.JSONDecodeError)


async def test_endless_reasoning_ends_with_length_and_no_content(start: Start, connect: Connect) -> None:
    simulator = await start(fault_every=Fault.ENDLESS_REASONING, reasoning_limit_tokens=300)
    seen = await stream(connect(simulator))
    assert (seen.finish_reason, seen.content) == ("length", "")
    record = only_request(simulator)
    assert record.completion_tokens == record.reasoning_tokens == 300


async def test_a_tool_call_as_text_is_content_with_stop(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.TOOL_CALL_AS_TEXT)))
    assert seen.finish_reason == "stop"
    assert '[TOOL_REQUEST]{"name": "bash", "arguments": {"command"' in seen.content
    assert not any(choice.delta.tool_calls for chunk in seen.chunks for choice in chunk.choices)


async def test_empty_deltas_stand_between_the_real_ones(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.EMPTY_DELTAS)))
    deltas = [choice.delta for chunk in seen.chunks for choice in chunk.choices]
    assert sum(delta.content == "" for delta in deltas) > 10
    assert seen.content.startswith("I'll look at the folder")
    assert seen.finish_reason == "tool_calls"


async def test_usage_can_be_missing_although_asked_for(start: Start, connect: Connect) -> None:
    client = connect(await start(fault_every=Fault.NO_USAGE))
    assert all(chunk.usage is None for chunk in (await stream(client)).chunks)
    assert (await client.chat.completions.create(**chat_body())).usage is None


async def test_the_other_name_of_reasoning(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.REASONING_FIELD)))
    assert seen.field("reasoning").startswith("The user wants")
    assert seen.field("reasoning_content") == ""


async def test_thoughts_can_be_inside_the_content(start: Start, connect: Connect) -> None:
    seen = await stream(connect(await start(fault_every=Fault.INLINE_THINKING)))
    assert seen.content.startswith("<|channel>thought\nThe user wants")
    assert "<channel|>I'll look" in seen.content


async def test_a_fault_of_one_request_leaves_the_others_alone(start: Start, connect: Connect) -> None:
    client = connect(await start(faults={2: Fault.CUT}))
    reasons = [(await stream(client)).finish_reason for _ in range(3)]
    assert reasons == ["tool_calls", None, "tool_calls"]


async def test_a_restart_loses_caches_and_keeps_the_port(start: Start, connect: Connect) -> None:
    simulator = await start(faults={1: Fault.RESTART})
    client, port = connect(simulator), simulator.port
    reference = simulator.registry.instances[GEMMA_26B].reference
    assert (await stream(client)).finish_reason == "tool_calls"
    await until(
        lambda: simulator.truth.restarts == 1 and simulator.registry.instances[GEMMA_26B].kv_tokens == 0
    )

    async def answered() -> Seen:
        async with asyncio.timeout(20):
            while isinstance((seen := await stream(client)).error, openai.APIConnectionError):
                await asyncio.sleep(0)
        return seen

    assert (await answered()).finish_reason == "tool_calls"
    assert simulator.port == port
    assert simulator.registry.instances[GEMMA_26B].reference != reference
    assert simulator.truth.requests[-1].cached_tokens == 0


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET])
async def test_whole_answers_can_be_lost_as_well(start: Start, connect: Connect, fault: Fault) -> None:
    client = connect(await start(fault_every=fault))
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(**chat_body())


async def test_a_whole_answer_of_a_crashed_engine_is_a_500(start: Start, connect: Connect) -> None:
    client = connect(await start(fault_every=Fault.CRASH))
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(**chat_body())
    assert "model has crashed" in str(caught.value.body)


def test_every_fault_can_be_named_on_a_command_line() -> None:
    for fault in Fault:
        assert parse_fault(fault.value) is fault
        assert parse_fault(fault.name) is fault
    with pytest.raises(UsageError) as caught:
        parse_fault("gremlins")
    assert "malformed-json" in caught.value.hint


def test_a_plan_prefers_the_number_then_the_next_then_every() -> None:
    plan = FaultPlan({2: Fault.RESET}, Fault.CUT)
    plan.add_next(Fault.CRASH)
    assert [plan.of_request(number) for number in (1, 2, 3)] == [Fault.CRASH, Fault.RESET, Fault.CUT]
    plan.clear()
    assert plan.of_request(2) is None


def test_a_state_that_starts_with_a_request_stays_on() -> None:
    plan = FaultPlan({1: Fault.BUSY}, None)
    assert not plan.is_on(Fault.BUSY)
    plan.of_request(1)
    plan.of_request(2)
    assert plan.is_on(Fault.BUSY)
