"""Watching whole: a real server or its recorded answers at one end, what users read at the other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentui.cli.readings import plain_lines, reading_object
from agentui.config.settings import Settings
from agentui.events import Recorded
from agentui.paths import places
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.server import start_simulator
from agentui.view.fold import View
from agentui.wire import sources
from agentui.wire.watching import WatchSession
from tests.unit.backends.gateways import STREAMED, listen
from tests.unit.backends.replay import ReplayServer, as_json
from tests.unit.backends.test_ollama import ollama
from tests.unit.run.test_watch import FakeSource
from tests.unit.telemetry.kv.cases import GEMMA_26B as GEMMA_26B_FILE
from tests.unit.wire.llama_stand_in import at, stand_in


@asynccontextmanager
async def watching(url: str, gateway_port: int | None = None) -> AsyncIterator[tuple[WatchSession, View]]:
    session = WatchSession(Settings(url=url), gateway_port)
    view = View()

    def fold(recorded: Recorded) -> None:
        view.apply(recorded)

    session.subscribe(fold)
    try:
        yield session, view
    finally:
        await session.aclose()


def shown(session: WatchSession, view: View) -> dict[str, Any]:
    """The reading as a script gets it."""
    found = json.loads(json.dumps(reading_object(session, view, "now")))
    assert isinstance(found, dict)
    return found


async def test_a_busy_llama_server_gives_the_figures_worked_out_by_hand() -> None:
    async with stand_in("busy") as server, watching(server.url) as (session, view):
        await session.read_once()
        found = shown(session, view)
        lines = plain_lines(session, view)
    assert found["state"] == "generating"
    assert found["server"]["kind"] == "llama.cpp"
    assert found["model"]["loaded_context_tokens"] == 8192
    # A token takes 1 x (64 + 64) x 2 B = 256 B in the full layer, and 5 x 2 x (32 + 32) x 2 B = 1280 B in the
    # sliding ones, there of the last 256 tokens only: 405 x 256 + 256 x 1280. Cells are 8192 and 1536.
    assert found["kv"]["filled_bytes"] == 431_360
    assert found["kv"]["allocated_bytes"] == 4_063_232
    assert found["kv"]["tokens"] == 405
    assert (found["context"]["used_tokens"], found["context"]["limit_tokens"]) == (405, 8192)
    busy = found["slots"][3]
    assert (busy["used_tokens"], busy["cached_tokens"], busy["read_tokens"]) == (405, 104, 6)
    assert found["totals"]["prefill_tok_per_s"] == pytest.approx(3750.18, abs=0.01)
    assert "slot 3: busy, 405 of 8k, reused 104, re-read 6, answered 296" in lines
    assert any(line.startswith("kv cache: ~421 KiB of ~3.9 MiB filled") for line in lines)


async def test_several_sequences_fill_the_cache_each_with_a_window_of_its_own() -> None:
    async with stand_in("after") as server, watching(server.url) as (session, view):
        slots = json.loads(server.routes["GET /slots"].body)
        slots[0] |= {"id_task": 1, "n_prompt_tokens": 100}
        server.routes["GET /slots"] = as_json(slots)
        await session.read_once()
        found = shown(session, view)
    # (709 + 100) x 256 + (256 + 100) x 1280
    assert found["kv"]["filled_bytes"] == 662_784


async def test_a_request_of_another_client_is_followed_from_its_begin_to_its_end() -> None:
    async with stand_in("idle") as server, watching(server.url) as (session, view):
        await session.watch.read()
        server.routes.update(at("busy"))
        await session.watch.read()
        assert view.status.phase == "generating"
        server.routes.update(at("after"))
        await session.watch.read()
        found = shown(session, view)
    assert found["state"] == "idle"
    assert found["speed"]["decode_tok_per_s"] == pytest.approx(1315.29, abs=0.01)
    assert (found["reused_tokens"], found["read_tokens"]) == (104, 6)
    assert found["context"]["used_tokens"] == 709


@pytest.mark.parametrize("status", [404, 501])
async def test_a_llama_server_without_slots_and_counters_still_shows_its_model(status: int) -> None:
    off = as_json({"error": {"code": status, "message": "This server does not support it."}}, status)
    async with stand_in("idle", slots=off, metrics=off) as server, watching(server.url) as (session, view):
        await session.read_once()
        found = shown(session, view)
    assert found["trouble"] is None
    assert found["slots"] == []
    assert found["model"]["model"] == "tiny-gemma4"
    assert found["kv"]["allocated_bytes"] == 4_063_232
    assert found["kv"]["filled_bytes"] is None
    assert found["kv"]["source"] == "estimated"  # how it was started is not seen


async def test_ollama_is_shown_as_far_as_it_tells() -> None:
    async with ollama() as server, watching(server.url) as (session, view):
        await session.read_once()
        found = shown(session, view)
    assert found["server"]["kind"] == "ollama"
    assert found["server_model_bytes"] == 6_654_289_920
    assert found["server_gpu_bytes"] == 6_000_000_000
    # 32 layers x 8 heads x (128 + 128) x 2 B, for 8192 tokens of one sequence.
    assert found["kv"]["allocated_bytes"] == 8192 * 131_072
    assert found["kv"]["source"] == "estimated"


async def test_without_a_server_there_is_memory_and_a_reason() -> None:
    async with watching("http://127.0.0.1:9") as (session, view):
        assert plain_lines(session, view)[0].startswith("server: ?; ")  # nobody has looked yet
        await session.read_once()
        found = shown(session, view)
        lines = plain_lines(session, view)
    assert found["server"] is None
    assert found["state"] is None
    assert found["memory"]["total_bytes"] > 0
    assert "no model server at http://127.0.0.1:9" in found["trouble"]["message"]
    assert lines[0] == "server: none; only this machine's memory can be read"
    assert [line for line in lines if line.startswith("memory: ")]


async def test_lm_studio_is_shown_and_another_clients_requests_through_the_gateway_are_measured() -> None:
    simulator = await start_simulator(SimulatorConfig(unpaced=True))
    async with watching(simulator.url, 0) as (session, view):
        await session.start()
        while view.status.model is None:
            await session.watch.read()
        await listen(f"http://127.0.0.1:{session.gateway_port}", STREAMED)
        found = shown(session, view)
    record = simulator.truth.requests[-1]
    await simulator.stop()
    assert found["server"]["is_simulated"]
    assert found["model"]["model"] == GEMMA_26B
    assert found["context"]["used_tokens"] == record.prompt_tokens + record.completion_tokens
    assert found["context"]["limit_tokens"] == 65536
    assert found["speed"]["ttft_s"] is not None


async def test_what_three_requests_of_another_client_grew_by_foretells_when_the_context_is_full() -> None:
    simulator = await start_simulator(SimulatorConfig(unpaced=True))
    async with watching(simulator.url, 0) as (session, view):
        await session.start()
        while view.status.model is None:
            await session.watch.read()
        for turn in range(1, 4):
            words = [{"role": "user", "content": "word " * 400}] * turn
            await listen(f"http://127.0.0.1:{session.gateway_port}", STREAMED | {"messages": words})
        while (made := view.gauges.forecasts.get("context")) is None or made.turns_left is None:
            await session.watch.read()
        lines = plain_lines(session, view)
    used = [record.prompt_tokens + record.completion_tokens for record in simulator.truth.requests]
    await simulator.stop()
    # Of each answer the last token is not in the cache yet.
    assert made.turns_left == pytest.approx((65_536 - used[-1]) / ((used[-1] - used[0]) / 2), abs=0.2)
    assert any(line.startswith(f"context full: in ~{made.turns_left:.0f} turns, ") for line in lines)
    assert any(line.startswith("last prompt: reused ~") for line in lines)


async def test_lm_studios_own_cache_settings_and_model_file_count_for_a_watch_as_for_a_run() -> None:
    folder = places().home / ".lmstudio/models/somebody/gemma-4-26b-a4b"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(GEMMA_26B_FILE.read_bytes())
    simulator = await start_simulator(SimulatorConfig(unpaced=True, k_cache_type="q8_0", parallel=2))
    async with watching(simulator.url) as (session, view):
        await session.read_once()
        found = shown(session, view)
    await simulator.stop()
    assert (found["kv"]["cache_type"], found["kv"]["basis"]) == (
        "q8_0, V f16",
        "llama.cpp, shape from the model's own file",
    )


async def test_another_kind_of_source_needs_a_line_in_wire_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeSource()
    monkeypatch.setitem(sources.SOURCES, "openai", lambda backend, settings: fake)
    listing = as_json({"object": "list", "data": [{"id": "fake-7b"}]})
    async with ReplayServer({"GET /v1/models": listing}) as server, watching(server.url) as (session, view):
        await session.read_once()
        found = shown(session, view)
    assert found["model"]["model"] == "fake-7b"
    assert found["server"]["base_url"] == "http://fake"
    assert fake.is_closed


async def test_words_of_a_server_cannot_touch_the_terminal() -> None:
    name = "\x1b]0;x\x07evil\nmemory: 0"
    listing = as_json({"object": "list", "data": [{"id": name}]})
    async with ReplayServer({"GET /v1/models": listing}) as server, watching(server.url) as (session, view):
        await session.read_once()
        lines = plain_lines(session, view)
    assert not set("".join(lines)) & {"\x1b", "\x07"}
    assert len([line for line in lines if line.startswith("memory: ")]) == 1
