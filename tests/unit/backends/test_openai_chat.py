from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from agentui.backends.base import (
    ChatPart,
    ChatRequest,
    FinishPart,
    PrefillPart,
    TextPart,
    ThinkingPart,
    Timings,
    ToolCallPart,
    UsagePart,
)
from agentui.backends.openai_chat import OpenAiChat
from agentui.errors import (
    BackendError,
    BackendRefused,
    BackendStalled,
    BackendUnavailable,
    ContextOverflow,
    StreamBroken,
)
from agentui.events import Usage
from tests.unit.backends.asking import REQUEST, ROUTE, ask, call
from tests.unit.backends.replay import Canned, ReplayServer, as_json, chunk, events, recorded


def joined(parts: list[ChatPart], kind: type[TextPart] | type[ThinkingPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, kind))


SAID = " book name= withD as reason{ level+ withD"


@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 1 << 20])
async def test_a_recorded_stream_gives_the_same_parts_whatever_the_chunking(piece_bytes: int) -> None:
    parts, error, _ = await ask(recorded("chat-stream-include-usage.sse", piece_bytes=piece_bytes))
    assert error is None
    assert joined(parts, TextPart) == SAID
    assert sum(isinstance(part, TextPart) for part in parts) == 12
    timings = Timings(3.116 / 1000, 1604.6213093709885, 1558.2943759739342)
    assert parts[-2:] == [UsagePart(Usage(110, 12, None, 105), timings), FinishPart("length", "tiny-gemma4")]


async def test_timings_without_usage_still_give_the_counts() -> None:
    parts, _, _ = await ask(recorded("chat-stream.sse"))
    assert isinstance(parts[-2], UsagePart)
    assert parts[-2].usage == Usage(110, 12, None, 0)


async def test_prompt_progress_of_llama_server_becomes_prefill_parts() -> None:
    parts, _, _ = await ask(recorded("chat-stream-timings-per-token-progress.sse"))
    progress = [part for part in parts if isinstance(part, PrefillPart)]
    assert [part.processed_tokens for part in progress] == [105, 106, 110]
    assert {(part.total_tokens, part.cached_tokens) for part in progress} == {(110, 105)}
    assert parts.index(progress[-1]) < next(i for i, part in enumerate(parts) if isinstance(part, TextPart))


async def test_a_server_that_answers_in_one_piece_is_understood() -> None:
    parts, error, _ = await ask(recorded("chat-nonstream.json"))
    assert error is None
    assert joined(parts, TextPart) == SAID
    assert parts[-1] == FinishPart("length", "tiny-gemma4")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_both_names_of_reasoning_are_thinking(name: str) -> None:
    parts, _, _ = await ask(events(chunk({name: "hm"}), chunk({"content": "yes"}), chunk({}, "stop")))
    assert parts[:2] == [ThinkingPart("hm"), TextPart("yes")]


async def test_inline_thoughts_are_split_out_across_chunks() -> None:
    pieces = ["<th", "ink>\nle", "t me</thi", "nk>\n", "\nDone"]
    parts, _, _ = await ask(events(*(chunk({"content": piece}) for piece in pieces), chunk({}, "stop")))
    assert joined(parts, ThinkingPart) == "let me"
    assert joined(parts, TextPart) == "Done"
    assert sum(isinstance(part, TextPart | ThinkingPart) for part in parts) >= len(pieces)


async def calls_of(*deltas: dict[str, object], finish: str = "tool_calls") -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call as a reader gathers them."""
    parts, error, _ = await ask(events(*(chunk(delta) for delta in deltas), chunk({}, finish)))
    assert error is None
    assert parts[-1] == FinishPart("tool_calls", "tiny")
    found: dict[int, list[str]] = {}
    for part in parts:
        if isinstance(part, ToolCallPart):
            entry = found.setdefault(part.index, ["", "", ""])
            entry[0] += part.call_id or ""
            entry[1] += part.name or ""
            entry[2] += part.arguments
    return [(entry[0], entry[1], entry[2]) for _, entry in sorted(found.items())]


async def test_tool_call_fragments_are_gathered_by_index() -> None:
    assert await calls_of(
        call(0, id="814890118", name="bash", arguments=""),
        call(0, arguments='{"'),
        call(0, arguments='command": "ls"}'),
        call(1, id="814890119", name="bash", arguments="{}"),
    ) == [("814890118", "bash", '{"command": "ls"}'), ("814890119", "bash", "{}")]


async def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    found = await calls_of(call(0, name="bash", arguments="{}"), call(1, name="bash", arguments="{}"))
    ids = {call_id for call_id, _, _ in found}
    assert len(ids) == 2
    assert all(ids)


async def test_repeated_ids_of_one_answer_are_made_different() -> None:
    found = await calls_of(
        call(0, id="x", name="bash", arguments="1"), call(1, id="x", name="bash", arguments="2")
    )
    assert len({call_id for call_id, _, _ in found}) == 2


async def test_parallel_calls_that_are_all_numbered_zero_are_kept_apart() -> None:
    found = await calls_of(
        call(0, id="a", name="bash", arguments='{"command":'),
        call(0, arguments='"ls"}'),
        call(0, id="b", name="bash", arguments='{"command":"pwd"}'),
    )
    assert found == [("a", "bash", '{"command":"ls"}'), ("b", "bash", '{"command":"pwd"}')]


async def test_fragments_without_an_index_belong_to_the_last_call() -> None:
    found = await calls_of(
        call(None, id="a", name="bash", arguments='{"com'),
        call(None, arguments='mand":"ls"}'),
        call(None, id="b", name="bash", arguments="{}"),
    )
    assert found == [("a", "bash", '{"command":"ls"}'), ("b", "bash", "{}")]


async def test_an_id_and_name_repeated_in_every_fragment_make_one_call() -> None:
    repeated = [call(0, id="a", name="bash", arguments=piece) for piece in ("{", "}")]
    assert await calls_of(*repeated) == [("a", "bash", "{}")]


async def test_calls_that_end_with_stop_count_as_tool_calls() -> None:
    await calls_of(call(0, id="a", name="bash", arguments="{}"), finish="stop")


async def test_usage_with_reasoning_and_cached_tokens_is_read() -> None:
    usage = {
        "prompt_tokens": 66,
        "completion_tokens": 300,
        "total_tokens": 366,
        "completion_tokens_details": {"reasoning_tokens": 120},
        "prompt_tokens_details": {"cached_tokens": 60},
    }
    parts, _, _ = await ask(events(chunk({"content": "a"}), chunk({}, "stop"), chunk(usage=usage)))
    assert parts[-2] == UsagePart(Usage(66, 300, 120, 60))


SOME = chunk({"content": "some"})
CRASH = "The model has crashed"
SIZE = "Context size has been exceeded."
NO_ROUTE = "Unexpected endpoint or method. (POST /x)"
BROKEN: list[tuple[str, Canned, type[BackendError], str]] = [
    ("no finish reason", events(SOME), StreamBroken, "before it was finished"),
    ("no end at all", events(SOME, done=False), StreamBroken, "before it was finished"),
    ("reset", events(SOME, done=False, ending="reset"), StreamBroken, "broke off"),
    ("malformed", events(SOME, '{"choices": [{"del'), StreamBroken, "cannot be read"),
    ("error event", events(SOME, {"error": {"message": CRASH}}), BackendRefused, "crashed"),
    ("error text", events(SOME, {"error": CRASH}), BackendRefused, "crashed"),
    ("error without key", events(SOME, {"message": CRASH}), BackendRefused, "crashed"),
    (
        "overflow event",
        events({"error": {"message": SIZE}}),
        ContextOverflow,
        "fit",
    ),
    ("overflow", recorded("error-context-exceeded.http400.json"), ContextOverflow, "60021"),
    ("bad request", recorded("error-bad-request.http400.json"), BackendRefused, "messages"),
    (
        "error in a good answer",
        as_json({"error": NO_ROUTE}),
        BackendRefused,
        "path",
    ),
    ("HTML", Canned(b"<html>hello</html>", content_type="text/html"), BackendRefused, "hello"),
    ("server error", Canned(b"oops", 500, "text/plain"), BackendRefused, "HTTP 500"),
    ("odd event", events("[1, 2]"), StreamBroken, ""),
]


@pytest.mark.parametrize(
    ("canned", "error", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
async def test_every_broken_answer_ends_in_its_error(
    canned: Canned, error: type[BackendError], words: str
) -> None:
    parts, raised, _ = await ask(canned)
    assert type(raised) is error
    assert raised is not None
    assert words in raised.message
    assert not any(isinstance(part, FinishPart) for part in parts)


async def test_parts_before_a_break_are_delivered() -> None:
    parts, error, _ = await ask(events(SOME, done=False, ending="reset"))
    assert parts == [TextPart("some")]
    assert error is not None
    assert error.retryable


async def test_silence_beyond_the_read_timeout_is_a_stall() -> None:
    parts, error, _ = await ask(events(SOME, done=False, ending="hang"), read_timeout_s=0.2)
    assert parts == [TextPart("some")]
    assert type(error) is BackendStalled


@pytest.mark.parametrize("ending", ["reset", "clean"])
async def test_a_break_after_the_finish_reason_loses_nothing(ending: str) -> None:
    parts, error, _ = await ask(
        events(SOME, chunk({}, "stop"), done=False, ending="reset" if ending == "reset" else "clean")
    )
    assert error is None
    assert parts[-1] == FinishPart("stop", "tiny")


async def test_nothing_at_all_to_a_large_prompt_is_an_overflow() -> None:
    large = ChatRequest("tiny", ({"role": "user", "content": "x" * 30_000},))
    _, error, _ = await ask(events(chunk({}, "stop")), large)
    assert type(error) is ContextOverflow


async def test_nothing_at_all_to_a_small_prompt_may_be_asked_again() -> None:
    _, error, _ = await ask(events(chunk({"role": "assistant", "content": ""}), chunk({}, "stop")))
    assert type(error) is BackendRefused
    assert error.retryable
    assert "context" in error.message


async def test_a_model_with_nothing_to_say_is_no_error() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    parts, error, _ = await ask(events(chunk({}, "stop"), chunk(usage=usage)))
    assert error is None
    assert parts == [UsagePart(Usage(10, 1)), FinishPart("stop", "tiny")]


async def test_a_refused_connection_names_the_address() -> None:
    chat = OpenAiChat("http://127.0.0.1:9/v1", None, address="http://127.0.0.1:9")
    with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:9: the connection was refused"):
        await anext(chat.stream(REQUEST, None))
    await chat.aclose()


async def test_the_body_is_what_was_asked_in_its_order_and_nothing_else_is_said() -> None:
    tool = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}
    messages = (
        {"content": "é", "role": "user"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}], "reasoning_content": "hm"},
    )
    request = ChatRequest("tiny", messages, (tool,), max_tokens=9, sampling={"temperature": 0.5, "top_k": 3})
    _, _, seen = await ask(recorded("chat-stream.sse"), request, api_key="sk-lm-1:2")
    fields = seen[0].fields
    assert json.dumps(fields["messages"]) == json.dumps(messages)
    assert fields == {
        "model": "tiny",
        "messages": [dict(message) for message in messages],
        "tools": [tool],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_k": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert seen[0].headers["authorization"] == "Bearer sk-lm-1:2"


async def test_nothing_of_the_environment_or_the_machine_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    monkeypatch.setenv("OPENAI_ORG_ID", "secret-org")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: secret-header")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    _, error, seen = await ask(recorded("chat-stream.sse"))
    assert error is None
    sent = " ".join(f"{name}={value}" for name, value in seen[0].headers.items())
    assert "secret" not in sent
    assert "stainless" not in sent
    assert "authorization" not in seen[0].headers


async def test_a_server_that_refuses_the_usage_option_is_asked_without_it() -> None:
    refused = as_json({"error": {"message": "unknown field: stream_options"}}, 400)
    async with ReplayServer({ROUTE: refused}) as server:
        chat = OpenAiChat(f"{server.url}/v1", None, address=server.url)
        with pytest.raises(BackendRefused):
            await anext(chat.stream(REQUEST, None))
        server.routes[ROUTE] = recorded("chat-stream.sse")
        assert [part async for part in chat.stream(REQUEST, None)]
        await chat.aclose()
        assert ["stream_options" in request.fields for request in server.seen] == [True, False, False]


@pytest.mark.parametrize("words", ["streaming is not supported", "stream=true isn't allowed here"])
async def test_a_server_that_cannot_stream_is_asked_for_the_whole_answer(words: str) -> None:
    async with ReplayServer({ROUTE: as_json({"error": words}, 400)}) as server:
        chat = OpenAiChat(f"{server.url}/v1", None, address=server.url)
        with pytest.raises(BackendRefused, match="stream"):
            await anext(chat.stream(REQUEST, None))
        server.routes[ROUTE] = recorded("chat-nonstream.json")
        assert joined([part async for part in chat.stream(REQUEST, None)], TextPart) == SAID
        await chat.aclose()
        assert [request.fields["stream"] for request in server.seen] == [True, False, False]


async def test_a_content_in_parts_is_text() -> None:
    said = [{"type": "text", "text": "Hello"}, {"type": "reference", "ids": [1]}, {"type": "text", "text": "!"}]
    parts, error, _ = await ask(events(chunk({"content": said}), chunk({}, "stop")))
    assert (joined(parts, TextPart), error) == ("Hello!", None)


async def test_a_call_of_the_old_kind_is_a_tool_call() -> None:
    first = {"function_call": {"name": "bash", "arguments": '{"command"'}}
    rest = {"function_call": {"arguments": ': "ls"}'}}
    parts, _, _ = await ask(events(chunk(first), chunk(rest), chunk({}, "function_call")))
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    assert calls[0].name == "bash"
    assert calls[0].call_id
    assert "".join(call.arguments for call in calls) == '{"command": "ls"}'
    assert isinstance(parts[-1], FinishPart)
    assert parts[-1].reason == "tool_calls"


async def test_a_redirect_is_not_followed_but_named() -> None:
    elsewhere = "http://example.com/v1/chat/completions"
    _, error, _ = await ask(Canned(status=307, headers=(("Location", elsewhere),)))
    assert isinstance(error, BackendRefused)
    assert elsewhere in error.message


async def test_cancelling_the_reader_closes_the_connection() -> None:
    async with ReplayServer({ROUTE: events(SOME, done=False, ending="hang")}) as server:
        chat = OpenAiChat(f"{server.url}/v1", None, address=server.url)
        begun = asyncio.Event()

        async def read(parts: AsyncIterator[ChatPart]) -> None:
            async for _ in parts:
                begun.set()

        task = asyncio.create_task(read(chat.stream(REQUEST, None)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 10)
        await chat.aclose()


async def test_a_client_can_be_closed_without_ever_being_used() -> None:
    chat = OpenAiChat("http://127.0.0.1:9/v1", None, address="http://127.0.0.1:9")
    await chat.aclose()
    chat.warm_up()
    await chat.aclose()
