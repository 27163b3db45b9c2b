from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentui.backends.base import ChatRequest, FinishPart, TextPart
from agentui.backends.dialect import BETWEEN_RESULT_AND_USER, Dialect
from agentui.backends.openai_chat import OpenAiChat
from agentui.config.provider import ProviderRoute
from agentui.errors import StreamBroken
from agentui.events import Json
from tests.unit.backends.replay import Canned, ReplayServer, Seen, chunk, events

CALL: Json = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}],
}
MESSAGES: tuple[Json, ...] = (
    {"role": "system", "content": "be good"},
    {"role": "user", "content": "go"},
    CALL,
    {"role": "tool", "tool_call_id": "c1", "content": "done"},
    {"role": "user", "content": "more"},
)
TOOL: Json = {"type": "function", "function": {"name": "bash", "parameters": {}}}
REQUEST = ChatRequest("m", MESSAGES, (TOOL,), 100, {"temperature": 0.5})


def body(compat: Mapping[str, Any], request: ChatRequest = REQUEST, **more: Any) -> dict[str, Any]:
    dialect = Dialect.of(ProviderRoute("p", "m", "http://h", compat=compat, **more))
    return dialect.body(request, asks_usage=dialect.asks_usage)


def test_without_flags_a_request_holds_what_every_local_server_takes() -> None:
    expected = {
        "model": "m",
        "messages": list(MESSAGES),
        "tools": [TOOL],
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
    }
    assert body({}, reasoning=True) == expected
    assert Dialect().body(REQUEST, asks_usage=True) == expected


def test_flags_change_the_fields_of_a_request() -> None:
    sent = body({"maxTokensField": "max_completion_tokens", "supportsStore": True, "vllmPriority": 3})
    assert "max_tokens" not in sent
    assert (sent["max_completion_tokens"], sent["store"], sent["priority"]) == (100, False, 3)
    assert "stream_options" not in body({"supportsUsageInStreaming": False})
    assert body({"zaiToolStream": True})["tool_stream"] is True
    assert body({"openRouterRouting": {"only": ["x"]}})["provider"] == {"only": ["x"]}
    assert body({"supportsStrictMode": True})["tools"][0]["function"]["strict"] is False
    bare = replace(REQUEST, tools=())
    assert body({"requiresToolsWithToolHistory": True}, bare)["tools"] == []
    assert "tools" not in body({}, bare)


def test_flags_change_messages_and_never_the_callers_own() -> None:
    flags = {
        "supportsDeveloperRole": True,
        "requiresToolResultName": True,
        "requiresAssistantAfterToolResult": True,
        "requiresReasoningContentOnAssistantMessages": True,
    }
    sent = body(flags, reasoning=True)["messages"]
    assert [message["role"] for message in sent] == [
        "developer",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert (sent[2]["content"], sent[2]["reasoning_content"], sent[3]["name"]) == ("", "", "bash")
    assert sent[4]["content"] == BETWEEN_RESULT_AND_USER
    assert body({"supportsDeveloperRole": True})["messages"][0]["role"] == "system"
    assert MESSAGES[0]["role"] == "system"
    assert CALL["content"] is None


@pytest.mark.parametrize(
    "flags", [{}, {"requiresAssistantAfterToolResult": True, "requiresToolResultName": True}]
)
def test_a_longer_conversation_begins_with_the_shorter_one(flags: dict[str, Any]) -> None:
    whole = body(flags)["messages"]
    for count in range(1, len(MESSAGES)):
        shorter = body(flags, replace(REQUEST, messages=MESSAGES[:count]))["messages"]
        assert whole[: len(shorter)] == shorter


@pytest.mark.parametrize(
    ("compat", "level", "expected"),
    [
        ({"supportsReasoningEffort": True}, None, {}),
        ({"supportsReasoningEffort": True}, "high", {"reasoning_effort": "hard"}),
        ({"supportsReasoningEffort": True}, "low", {"reasoning_effort": "low"}),
        ({"supportsReasoningEffort": True}, "off", {}),
        ({}, "high", {}),
        ({"thinkingFormat": "qwen"}, "off", {"enable_thinking": False}),
        (
            {"thinkingFormat": "qwen-chat-template"},
            "high",
            {"chat_template_kwargs": {"enable_thinking": True, "preserve_thinking": True}},
        ),
        (
            {
                "thinkingFormat": "chat-template",
                "chatTemplateKwargs": {"t": {"$var": "thinking.enabled"}, "k": 1},
            },
            "off",
            {"chat_template_kwargs": {"t": False, "k": 1}},
        ),
        (
            {"thinkingFormat": "deepseek", "supportsReasoningEffort": True},
            "high",
            {"thinking": {"type": "enabled"}, "reasoning_effort": "hard"},
        ),
        ({"thinkingFormat": "zai"}, "off", {"thinking": {"type": "disabled"}}),
        ({"thinkingFormat": "openrouter"}, "off", {"reasoning": {"effort": "none"}}),
        ({"thinkingFormat": "together"}, "high", {"reasoning": {"enabled": True}}),
        ({"thinkingFormat": "string-thinking"}, "high", {"thinking": "hard"}),
        ({"thinkingFormat": "ant-ling"}, "low", {}),
    ],
)
def test_a_level_of_thinking_is_asked_for_in_the_servers_words(
    compat: dict[str, Any], level: str | None, expected: dict[str, Any]
) -> None:
    sent = body(compat, reasoning=True, thinking_level=level, thinking_levels={"high": "hard"})
    assert {name: value for name, value in sent.items() if name not in body({})} == expected


async def _asked(dialect: Dialect, canned: Canned) -> tuple[list[object], Seen]:
    async with ReplayServer({"POST /v1/chat/completions": canned}) as server:
        chat = OpenAiChat(f"{server.url}/v1", "key", address=server.url, dialect=dialect)
        try:
            parts: list[object] = [part async for part in chat.stream(REQUEST, 8192)]
        finally:
            await chat.aclose()
        return parts, server.seen[-1]


async def test_headers_of_the_provider_are_sent_and_the_wire_holds_the_body() -> None:
    dialect = Dialect(
        (("X-Team", "blue"), ("Authorization", "Token t")), {"maxTokensField": "max_completion_tokens"}
    )
    parts, seen = await _asked(dialect, events(chunk({"content": "hi"}), chunk({}, "stop")))
    assert TextPart("hi") in parts
    assert (seen.headers["x-team"], seen.headers["authorization"]) == ("blue", "Token t")
    assert seen.fields["max_completion_tokens"] == 100


async def test_a_missing_finish_reason_is_an_accident_unless_the_server_has_none() -> None:
    canned = events(chunk({"content": "hi"}))
    with pytest.raises(StreamBroken):
        await _asked(Dialect(), canned)
    parts, _ = await _asked(Dialect(compat={"supportsFinishReason": False}), canned)
    assert isinstance(parts[-1], FinishPart)
    assert parts[-1].reason == "stop"
