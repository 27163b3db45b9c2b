"""Servers that leave something out of an answer, or call it by another name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentui.backends.base import FinishPart, TextPart
from agentui.backends.openai_chat import OpenAiChat
from agentui.errors import StreamBroken
from tests.unit.backends.asking import REQUEST, ROUTE, ask, call
from tests.unit.backends.replay import Canned, ReplayServer, chunk, events

SOME = chunk({"content": "some"})


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "text/plain"])
@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
async def test_a_stream_under_another_name_is_still_one(kind: str, piece_bytes: int) -> None:
    stream = events(chunk({"content": "yes"}), chunk({}, "stop"), piece_bytes=piece_bytes)
    parts, error, _ = await ask(replace(stream, content_type=kind))
    assert error is None
    assert parts == [TextPart("yes"), FinishPart("stop", "tiny")]


async def test_a_server_without_finish_reasons_is_known_by_a_whole_call() -> None:
    called = events(chunk(call(0, id="a", name="bash", arguments="{}")))
    routes = {ROUTE: events(SOME)}
    async with ReplayServer(routes) as server:
        chat = OpenAiChat(f"{server.url}/v1", None, address=server.url)
        with pytest.raises(StreamBroken):  # a text might be cut anywhere
            _ = [part async for part in chat.stream(REQUEST, None)]
        for canned, finish in ((called, "tool_calls"), (events(SOME), "stop")):
            routes[ROUTE] = canned
            parts = [part async for part in chat.stream(REQUEST, None)]
            assert parts[-1] == FinishPart(finish, "tiny")
        await chat.aclose()


async def test_a_call_without_end_mark_and_finish_reason_is_cut() -> None:
    _, error, _ = await ask(events(chunk(call(0, id="a", name="bash", arguments="{}")), done=False))
    assert type(error) is StreamBroken


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("Wed, 21 Oct 2026", None), ("-1", None)]
)
async def test_how_long_a_busy_server_wants_to_be_left_alone_is_kept(
    header: str, seconds: float | None
) -> None:
    canned = Canned(b'{"error": "slow down"}', 429, headers=(("Retry-After", header),))
    _, error, _ = await ask(canned)
    assert error is not None
    assert error.retryable
    assert error.retry_after_s == seconds
