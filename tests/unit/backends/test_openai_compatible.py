from __future__ import annotations

import asyncio
import json

import pytest

from agentui.backends.address import parse_address
from agentui.backends.base import ChatRequest, FinishPart, ProcessingState
from agentui.backends.openai_compatible import OpenAiCompatibleBackend
from agentui.errors import (
    AuthenticationFailed,
    BackendRefused,
    BackendUnavailable,
    ModelLoadFailed,
    ModelNotFound,
)
from tests.unit.backends.replay import Canned, ReplayServer, as_json, llama_server, recorded

REQUEST = ChatRequest("tiny-gemma4", ({"role": "user", "content": "hi"},))


async def connected(server: ReplayServer, api_key: str | None = None) -> OpenAiCompatibleBackend:
    backend = OpenAiCompatibleBackend(parse_address(server.url), api_key)
    try:
        await backend.connect()
    except BaseException:
        await backend.aclose()
        raise
    return backend


def plain(*models: dict[str, object], base: str = "/v1") -> ReplayServer:
    return ReplayServer(
        {
            f"GET {base}/models": as_json({"object": "list", "data": list(models)}),
            f"POST {base}/chat/completions": recorded("chat-stream.sse"),
        }
    )


async def test_llama_server_is_known_by_its_header_and_tells_its_context() -> None:
    async with llama_server() as server:
        backend = await connected(server)
        assert (backend.facts.kind, backend.facts.version) == ("llama.cpp", "b0-3f545becc")
        assert not backend.facts.can_load
        facts = await backend.describe(None)
        assert facts.model == "tiny-gemma4"
        assert (facts.loaded_context_tokens, facts.trained_context_tokens) == (8192, 8192)
        assert (facts.parallel, facts.size_bytes, facts.quantization, facts.engine) == (
            4,
            209920,
            "F16",
            "gguf",
        )
        await backend.aclose()


async def test_llama_server_behind_a_proxy_is_known_by_its_props() -> None:
    async with llama_server() as server:
        server.server_header = "nginx"
        backend = await connected(server)
        assert backend.facts.kind == "llama.cpp"
        await backend.aclose()


async def test_llama_server_is_asked_for_prompt_progress_and_others_are_not() -> None:
    async with llama_server() as llama, plain({"id": "m"}) as other:
        for server in (llama, other):
            backend = await connected(server)
            assert [part async for part in backend.chat(REQUEST)]
            await backend.aclose()
        assert llama.seen[-1].fields["return_progress"] is True
        assert "return_progress" not in other.seen[-1].fields


async def test_a_server_that_serves_one_connection_at_a_time_gets_to_the_chat() -> None:
    async with plain({"id": "m"}) as server:
        server.is_serial = True
        async with asyncio.timeout(20):
            backend = await connected(server)
            assert (await backend.describe(None)).model == "m"
            assert [part async for part in backend.chat(REQUEST)]
        await backend.aclose()


async def test_llama_server_serves_its_one_model_under_any_name() -> None:
    async with llama_server() as server:
        backend = await connected(server)
        assert (await backend.describe("whatever")).model == "tiny-gemma4"
        await backend.aclose()


async def test_the_state_of_llama_server_comes_from_its_slots() -> None:
    async with llama_server(slots=recorded("slots-busy.json")) as server:
        backend = await connected(server)
        assert await backend.processing_state("tiny-gemma4") == ProcessingState("generating", 1)
        server.routes["GET /slots"] = recorded("slots-idle.json")
        assert await backend.processing_state("tiny-gemma4") == ProcessingState("idle", 0)
        slots = json.loads(recorded("slots-busy.json").body)
        for slot in slots:
            slot.pop("next_token", None)
        server.routes["GET /slots"] = as_json(slots)
        assert await backend.processing_state("tiny-gemma4") == ProcessingState("prefill", 1)
        server.routes["GET /slots"] = as_json({"error": "slots are off"}, 501)
        assert await backend.processing_state("tiny-gemma4") is None
        asked = server.paths().count("GET /slots")
        assert await backend.processing_state("tiny-gemma4") is None
        assert server.paths().count("GET /slots") == asked
        await backend.aclose()


async def test_a_llama_server_that_still_loads_is_not_there_yet() -> None:
    loading = as_json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)
    async with llama_server(health=loading) as server:
        with pytest.raises(BackendUnavailable, match="still loading"):
            await connected(server)


async def test_the_context_of_vllm_comes_from_its_listing() -> None:
    async with plain({"id": "qwen", "max_model_len": 32768}) as server:
        backend = await connected(server)
        assert backend.facts.kind == "openai"
        assert (await backend.describe(None)).loaded_context_tokens == 32768
        assert await backend.processing_state("qwen") is None
        await backend.aclose()


@pytest.mark.parametrize("base", ["/v1", ""])
async def test_routes_below_v1_or_not_are_both_found(base: str) -> None:
    async with plain({"id": "m"}, base=base) as server:
        backend = await connected(server)
        assert (await backend.describe(None)).model == "m"
        assert isinstance([part async for part in backend.chat(REQUEST)][-1], FinishPart)
        await backend.aclose()


@pytest.mark.parametrize("base", ["/v1", ""])
async def test_a_server_without_a_listing_works_with_a_named_model(base: str) -> None:
    async with ReplayServer({f"POST {base}/chat/completions": recorded("chat-stream.sse")}) as server:
        backend = await connected(server)
        with pytest.raises(ModelNotFound, match="lists no models, and none was named"):
            await backend.describe(None)
        facts = await backend.describe("mine")
        assert (facts.model, facts.loaded_context_tokens) == ("mine", None)
        for _ in range(2):
            assert isinstance([part async for part in backend.chat(REQUEST)][-1], FinishPart)
        await backend.aclose()


async def test_a_server_without_chat_is_said_to_have_no_such_path() -> None:
    async with ReplayServer({}) as server:
        backend = await connected(server)
        for _ in range(2):
            with pytest.raises(BackendRefused, match="no such path"):
                await anext(backend.chat(REQUEST))
        await backend.aclose()


@pytest.mark.parametrize(
    ("page", "what"),
    [
        (Canned(b"<!DOCTYPE html><h1>Welcome to nginx!</h1>", content_type="text/html"), "web page"),
        (Canned(b"OK", content_type="text/plain"), "not answer with JSON"),
    ],
)
async def test_what_answers_everything_with_a_page_is_no_model_server(page: Canned, what: str) -> None:
    async with ReplayServer({}, otherwise=page) as server:
        with pytest.raises(BackendUnavailable, match=f"{server.url} is not a model server.*{what}"):
            await connected(server)


async def test_a_model_server_may_have_pages_beside_its_routes() -> None:
    async with plain({"id": "m"}, base="") as server:
        server.otherwise = Canned(b"<html>", content_type="text/html")
        backend = await connected(server)
        assert (await backend.describe(None)).model == "m"
        await backend.aclose()


async def test_a_server_that_wants_a_key_says_so_at_once() -> None:
    async with ReplayServer({}, otherwise=as_json({"error": {"message": "who?"}}, 401)) as server:
        with pytest.raises(AuthenticationFailed, match="token"):
            await connected(server)


async def test_the_key_is_sent_to_the_listing_and_the_chat() -> None:
    async with plain({"id": "m"}) as server:
        backend = await connected(server, "the-key")
        assert [part async for part in backend.chat(REQUEST)]
        await backend.aclose()
        assert {request.headers["authorization"] for request in server.seen} == {"Bearer the-key"}


async def test_a_server_that_redirects_says_where_to() -> None:
    moved = Canned(status=307, headers=(("Location", "https://elsewhere/v1/models"),))
    async with ReplayServer({}, otherwise=moved) as server:
        with pytest.raises(BackendRefused, match="redirects elsewhere: https://elsewhere/v1/models"):
            await connected(server)


async def test_a_server_that_fails_inside_is_not_taken_for_one_without_a_listing() -> None:
    async with ReplayServer({}, otherwise=Canned(b"oops", 500, "text/plain")) as server:
        with pytest.raises(BackendRefused, match="500"):
            await connected(server)


async def test_a_name_that_is_not_listed_is_refused_with_the_names_there_are() -> None:
    async with plain({"id": "alpha-7b"}, {"id": "beta-7b"}, {"id": "text-embedding-x"}) as server:
        backend = await connected(server)
        with pytest.raises(ModelNotFound) as caught:
            await backend.describe("gamma")
        assert "alpha-7b, beta-7b" in caught.value.hint
        with pytest.raises(ModelNotFound):
            await backend.describe("7b")
        assert (await backend.describe("beta")).model == "beta-7b"
        assert (await backend.describe(None)).model == "alpha-7b"
        await backend.aclose()


async def test_loading_and_unloading_are_refused_in_words() -> None:
    async with plain({"id": "m"}) as server:
        backend = await connected(server)
        with pytest.raises(ModelLoadFailed):
            await backend.load("m", 4096, lambda ratio: None)
        with pytest.raises(BackendRefused):
            await backend.unload("m")
        await backend.aclose()


OLLAMA = {
    "GET /api/version": as_json({"version": "0.12.6"}),
    "GET /api/tags": as_json(
        {
            "models": [
                {
                    "name": "gemma4:12b",
                    "size": 8149190253,
                    "details": {"family": "gemma4", "quantization_level": "Q4_K_M", "format": "gguf"},
                },
                {"name": "nomic-embed-text:latest", "size": 274302450, "details": {"family": "nomic-bert"}},
                {"name": "other:latest", "size": 1},
            ]
        }
    ),
    "GET /api/ps": as_json({"models": [{"name": "gemma4:12b", "size": 9000000000, "context_length": 4096}]}),
    "POST /api/show": as_json(
        {"model_info": {"general.architecture": "gemma4", "gemma4.context_length": 131072}}
    ),
    "POST /v1/chat/completions": recorded("chat-stream.sse"),
}


async def test_ollama_tells_the_loaded_and_the_trained_context() -> None:
    async with ReplayServer(dict(OLLAMA)) as server:
        backend = await connected(server)
        assert (backend.facts.kind, backend.facts.version) == ("ollama", "0.12.6")
        facts = await backend.describe(None)
        assert facts.model == "gemma4:12b"
        assert (facts.loaded_context_tokens, facts.trained_context_tokens) == (4096, 131072)
        assert (facts.quantization, facts.architecture) == ("Q4_K_M", "gemma4")
        other = await backend.describe("other")
        assert (other.model, other.loaded_context_tokens) == ("other:latest", None)
        assert [part async for part in backend.chat(REQUEST)]
        await backend.aclose()


async def test_ollama_with_nothing_loaded_asks_for_a_name() -> None:
    async with ReplayServer({**OLLAMA, "GET /api/ps": as_json({"models": []})}) as server:
        backend = await connected(server)
        with pytest.raises(ModelNotFound, match="No model is loaded"):
            await backend.describe(None)
        await backend.aclose()


async def test_a_listing_and_chat_may_lie_below_different_bases() -> None:
    routes = {
        "GET /models": as_json({"models": ["tiny-gemma4"]}),
        "POST /v1/chat/completions": recorded("chat-stream.sse"),
    }
    async with ReplayServer(routes) as server:
        backend = await connected(server)
        assert isinstance([part async for part in backend.chat(REQUEST)][-1], FinishPart)
        assert [model.key for model in await backend.models()] == ["tiny-gemma4"]
        await backend.aclose()


@pytest.mark.parametrize(
    "listing", [[{"id": "tiny"}], ["tiny"], {"models": [{"name": "tiny"}]}, {"data": [{"model": "tiny"}]}]
)
async def test_a_listing_of_another_form_is_read(listing: object) -> None:
    async with ReplayServer({"GET /v1/models": as_json(listing)}) as server:
        backend = OpenAiCompatibleBackend(parse_address(server.url))
        assert (await backend.connect()).lists_models
        assert (await backend.describe(None)).model == "tiny"
        await backend.aclose()


async def test_of_several_models_of_another_machine_none_is_chosen_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(host: str) -> bool:
        return False

    monkeypatch.setattr("agentui.backends.openai_compatible.is_this_machine", never)
    async with plain({"id": "a"}, {"id": "b"}) as server:
        backend = await connected(server)
        assert backend.facts.is_remote
        with pytest.raises(ModelNotFound):
            await backend.describe(None)
        assert (await backend.describe("b")).is_remote
        await backend.aclose()
