"""llama-server as a source; all figures were worked out by hand from the recorded answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.discover import find_server
from agentui.backends.llama_server import (
    LlamaServerSource,
    PromptLengths,
    parse_metrics,
    parse_slot_readings,
    reading_of,
)
from agentui.backends.source import ServerReading, ServerTotals, SlotReading
from agentui.errors import BackendUnavailable
from tests.unit.backends.replay import DATA, LLAMA_ROUTES, Canned, ReplayServer, as_json, llama_server, recorded


def slots(name: str) -> tuple[SlotReading, ...]:
    return parse_slot_readings(json.loads((DATA / f"slots-{name}.json").read_text()))


def metrics(name: str) -> dict[str, float]:
    return parse_metrics((DATA / f"metrics-{name}.txt").read_text())


def test_a_busy_slot_is_read() -> None:
    # 104 tokens of the prompt were cached and 6 read: 110. Of 296 answered tokens the last is not cached yet:
    # 110 + 295 = 405.
    assert slots("busy")[3] == SlotReading(
        slot=3,
        is_busy=True,
        context_tokens=8192,
        task=66,
        used_tokens=405,
        prompt_tokens=110,
        cached_tokens=104,
        read_tokens=6,
        answer_tokens=296,
    )
    assert [slot.is_busy for slot in slots("busy")] == [False, False, False, True]


def test_a_slot_keeps_its_tokens_when_it_is_done() -> None:
    assert slots("after")[3] == SlotReading(3, False, 8192, 66, 709)
    assert slots("idle")[0] == SlotReading(0, False, 8192)


def test_the_counters_give_speeds_since_the_start_and_between_two_readings() -> None:
    start, busy, after = (reading_of((), metrics(name)).totals for name in ("start", "busy", "after"))
    assert start is not None
    assert busy is not None
    assert after is not None
    assert (start.decode_tok_per_s, start.prefill_tok_per_s) == (None, None)
    # 652 tokens in 0.485076 s; 208 prompt tokens in 0.055464 s, 524 more were cached.
    assert after.decode_tok_per_s == pytest.approx(1344.12, abs=0.01)
    assert after.prefill_tok_per_s == pytest.approx(3750.18, abs=0.01)
    assert (after.prompt_tokens, after.cached_tokens, after.most_used_tokens) == (208, 524, 709)
    # In between 600 tokens in 0.455413 s: 1317.48; how many answers that were, the counters do not say.
    added = after.since(busy)
    assert (added.answer_tokens, added.prompt_tokens) == (600, 0)
    assert added.decode_tok_per_s == pytest.approx(1317.48, abs=0.01)
    assert added.prefill_tok_per_s is None
    assert start.since(after) == ServerTotals()


def test_slots_and_counters_say_together_what_the_server_does() -> None:
    assert reading_of(slots("busy"), metrics("busy")).status == "generating"
    assert reading_of(slots("idle"), {}).status == "idle"
    assert reading_of((), metrics("busy")).status == "other"
    assert reading_of((), metrics("busy")).queued == 1
    assert reading_of((), metrics("after")).status == "idle"
    assert reading_of(slots("busy"), {"requests_deferred": 2}).queued == 3
    assert reading_of((), {}) == ServerReading()


def reading_slot(held: int, read: int, task: int = 1) -> tuple[SlotReading, ...]:
    """A slot that reads a prompt of which 1000 tokens were in the cache before."""
    entry = {
        "id": 0,
        "id_task": task,
        "is_processing": True,
        "n_prompt_tokens": held,
        "n_prompt_tokens_cache": 1000,
        "n_prompt_tokens_processed": read,
        "next_token": {"n_decoded": 0},
    }
    return parse_slot_readings([entry])


def told(lengths: PromptLengths, held: int, read: int, task: int = 1) -> tuple[int | None, int | None]:
    (slot,) = lengths.told(reading_slot(held, read, task))
    return slot.prompt_tokens, slot.used_tokens


def test_a_slot_that_reads_its_prompt_is_in_prefill() -> None:
    assert reading_of(reading_slot(1500, 500), {}).status == "prefill"


def test_a_builds_prompt_length_is_told_once_it_is_seen_to_be_the_whole_prompts() -> None:
    lengths = PromptLengths()
    assert told(lengths, 4000, 0) == (None, 1000)
    assert told(lengths, 4000, 500) == (4000, 1500)
    assert told(lengths, 9000, 0, task=2) == (9000, 1000)


def test_a_build_that_counts_the_batch_being_read_tells_no_length() -> None:
    lengths = PromptLengths()
    assert told(lengths, 3048, 0) == (None, 1000)
    assert told(lengths, 3048, 2048) == (None, 3048)  # between two batches
    assert told(lengths, 5096, 2048) == (None, 3048)
    assert told(lengths, 5096, 4096) == (None, 5096)
    assert told(lengths, 3000, 0, task=2) == (None, 1000)
    assert told(lengths, 3000, 2000, task=2) == (None, 3000)  # one batch was all of it


def test_builds_from_before_are_read_as_far_as_they_tell() -> None:
    (slot,) = parse_slot_readings([{"id": 2, "state": 1, "n_ctx": 4096, "next_token": {"n_decoded": 7}}])
    assert slot == SlotReading(2, True, 4096, answer_tokens=7)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "next_token", "n_ctx", "n_prompt_tokens", "n_decoded"]), inner)
    ),
)


@given(JSON, st.text(max_size=200))
def test_no_answer_of_a_server_can_break_the_readers(body: object, text: str) -> None:
    reading_of(parse_slot_readings(body), parse_metrics(text))
    assert parse_metrics("llamacpp:requests_processing nan\nllamacpp:tokens_predicted_total 1e400") == {}


async def source_of(server: ReplayServer) -> LlamaServerSource:
    return LlamaServerSource(await find_server(server.url), None)


async def test_a_whole_server_is_described_and_read() -> None:
    routes = {
        **LLAMA_ROUTES,
        "GET /slots": recorded("slots-busy.json"),
        "GET /metrics": Canned((DATA / "metrics-busy.txt").read_bytes(), content_type="text/plain"),
    }
    async with ReplayServer(routes, server_header="llama.cpp") as server:
        source = await source_of(server)
        model, files, reading = await source.describe(None), await source.files(), await source.read()
        await source.aclose()
    assert (model.model, model.loaded_context_tokens, model.parallel) == ("tiny-gemma4", 8192, 4)
    assert (model.size_bytes, model.trained_context_tokens, model.quantization) == (209920, 8192, "F16")
    assert files.path == "tiny-gemma4-fixture.gguf"
    assert source.facts.kind == "llama.cpp"
    assert source.facts.version == "b0-3f545becc"
    assert reading.status == "generating"
    assert reading.used_tokens == (405,)
    assert reading.totals is not None


@pytest.mark.parametrize("status", [501, 404, 401])
async def test_routes_that_are_switched_off_are_left_out_and_not_asked_again(status: int) -> None:
    off = as_json({"error": {"message": "not enabled"}}, status)
    async with llama_server(slots=off) as server:
        server.routes["GET /metrics"] = off
        source = await source_of(server)
        assert await source.read() == await source.read() == ServerReading()
        asked = [path for path in server.paths() if path in ("GET /slots", "GET /metrics")]
        await source.aclose()
    assert sorted(asked) == ["GET /metrics", "GET /slots"]


async def test_a_server_that_loads_its_model_is_not_taken_for_one_without_slots() -> None:
    loading = as_json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)
    async with llama_server(slots=loading) as server:
        server.routes["GET /metrics"] = loading
        source = await source_of(server)
        assert await source.read() == ServerReading()
        server.routes["GET /slots"] = recorded("slots-idle.json")
        assert (await source.read()).status == "idle"
        await source.aclose()


async def test_without_slots_and_counters_a_loading_server_is_still_seen_by_its_health() -> None:
    off = as_json({"error": "off"}, 501)
    loading = as_json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)
    async with llama_server(slots=off) as server:
        server.routes["GET /metrics"] = off
        source = await source_of(server)
        await source.read()
        server.routes["GET /health"] = loading
        with pytest.raises(BackendUnavailable, match="still loading"):
            await source.read()
        await source.aclose()
