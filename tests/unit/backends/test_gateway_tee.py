"""What passes is not altered by being read, however it is cut."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.backends.gateway_tee import MOST_HELD_BYTES, AnswerTee, Ending, translation
from agentui.backends.meter import RequestMeter
from agentui.events import Event, PrefillProgressed, RequestEnded, RequestId, Usage
from tests.unit.backends.gateways import CHAT, gateway_to
from tests.unit.backends.replay import DATA, Canned, ReplayServer

STREAMS = [
    (DATA / name).read_bytes()
    for name in (
        "chat-stream-include-usage.sse",
        "chat-stream-timings-per-token-progress.sse",
        "chat-stream.sse",
    )
]


def metered(pieces: list[bytes], content_type: str = "text/event-stream") -> tuple[Ending, list[Event]]:
    events: list[Event] = []
    meter = RequestMeter(RequestId("q"), events.append, lambda: 0.0)
    translate = translation("POST", CHAT)
    assert translate is not None
    tee = AnswerTee(meter, translate, "http://h")
    tee.begin(200, content_type)
    for piece in pieces:
        tee.feed(piece)
    ending = tee.end()
    meter.ended(ending.outcome, ending.error.message if ending.error is not None else None)
    return ending, events


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(edges)]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=30))
def test_figures_do_not_depend_on_how_the_answer_is_cut(body: bytes, places: list[int]) -> None:
    ending, events = metered(cut(body, places))
    whole_ending, whole = metered([body])
    assert ending == whole_ending
    assert [e for e in events if isinstance(e, RequestEnded | PrefillProgressed)] == [
        e for e in whole if isinstance(e, RequestEnded | PrefillProgressed)
    ]
    assert ending.outcome == "done"


def test_a_recorded_llama_server_gives_its_own_figures() -> None:
    _, events = metered([STREAMS[1]])
    (ended,) = [event for event in events if isinstance(event, RequestEnded)]
    prefills = [event for event in events if isinstance(event, PrefillProgressed)]
    assert [(e.processed_tokens, e.total_tokens, e.cached_tokens) for e in prefills] == [
        (105, 110, 105),
        (106, 110, 105),
        (110, 110, 105),
    ]
    assert ended.timing_source == "reported"
    assert ended.usage.prompt_tokens == 110
    assert ended.usage.cached_tokens == 105


@given(
    st.lists(st.binary(max_size=200), max_size=6),
    st.sampled_from(["text/event-stream", "application/json", ""]),
)
def test_nothing_that_a_server_sends_can_break_the_tee(pieces: list[bytes], content_type: str) -> None:
    ending, events = metered(pieces, content_type)
    assert ending.outcome in ("done", "failed")
    assert len([event for event in events if isinstance(event, RequestEnded)]) == 1


def test_a_record_without_an_end_is_not_held_for_ever() -> None:
    piece = b"x" * (1 << 20)
    ending, _ = metered([b"data: "] + [piece] * ((MOST_HELD_BYTES >> 20) + 2))
    assert ending.outcome == "failed"
    assert ending.error is not None
    assert "without an end" in ending.error.message


def test_an_error_in_a_stream_is_told_also_where_it_has_nothing_but_words() -> None:
    ending, _ = metered([b'event: error\ndata: {"message": "The model has crashed. (Exit code: 6)"}\n\n'])
    assert ending.outcome == "failed"
    assert ending.error is not None
    assert ending.error.message.startswith("The model's engine crashed")


def test_a_body_too_long_to_read_is_done_and_uncounted() -> None:
    piece = b"x" * (1 << 20)
    assert metered([piece] * 20, "application/json")[0] == Ending("done", None, Usage())


@pytest.mark.parametrize(
    ("method", "path"), [("GET", CHAT), ("POST", "/v1/embeddings"), ("POST", "/v1/models")]
)
def test_routes_that_generate_nothing_are_not_measured(method: str, path: str) -> None:
    assert translation(method, path) is None


@settings(max_examples=25)
@given(
    st.one_of(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=4000)),
    st.integers(1, 700),
    st.sampled_from(["text/event-stream", "application/octet-stream"]),
)
def test_any_bytes_in_any_pieces_come_through_alike(body: bytes, piece_bytes: int, kind: str) -> None:
    async def passed() -> tuple[int, bytes]:
        answer = Canned(body, content_type=kind, piece_bytes=piece_bytes)
        async with (
            ReplayServer({f"POST {CHAT}": answer}) as server,
            gateway_to(server.url) as opened,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            heard = await client.post(opened.url + CHAT, content=b"{}")
            return heard.status_code, heard.content

    assert asyncio.run(passed()) == (200, body)
