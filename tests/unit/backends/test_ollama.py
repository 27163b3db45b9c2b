from __future__ import annotations

from agentui.backends.discover import find_server
from agentui.backends.ollama import OllamaSource, parse_running
from agentui.backends.source import ModelFiles, ServerReading
from tests.unit.backends.replay import ReplayServer, as_json

RUNNING = {
    "models": [
        {
            "name": "gemma:4b",
            "model": "gemma:4b",
            "size": 6_654_289_920,
            "size_vram": 6_000_000_000,
            "details": {"format": "gguf", "family": "gemma3", "quantization_level": "Q4_K_M"},
            "context_length": 8192,
            "expires_at": "2026-11-23T04:00:00Z",
        }
    ]
}
TAGS = {
    "models": [
        {"name": "gemma:4b", "size": 3_338_801_804, "details": RUNNING["models"][0]["details"]},
        {"name": "qwen:8b", "size": 5_000_000_000, "details": {"format": "gguf", "family": "qwen3"}},
    ]
}
INFO = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.context_length": 131072,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.embedding_length": 4096,
    "tokenizer.ggml.tokens": None,
}


def ollama() -> ReplayServer:
    return ReplayServer(
        {
            "GET /api/version": as_json({"version": "0.12.3"}),
            "GET /api/tags": as_json(TAGS),
            "GET /api/ps": as_json(RUNNING),
            "POST /api/show": as_json({"model_info": INFO, "capabilities": ["completion"]}),
        }
    )


async def test_what_ollama_tells_is_told() -> None:
    async with ollama() as server:
        source = OllamaSource(await find_server(server.url), None)
        model, files, reading = await source.describe(None), await source.files(), await source.read()
        await source.aclose()
    assert source.facts.kind == "ollama"
    assert (model.model, model.quantization, model.engine) == ("gemma:4b", "Q4_K_M", "gguf")
    assert (model.loaded_context_tokens, model.trained_context_tokens) == (8192, 131072)
    assert files == ModelFiles(metadata=INFO)
    assert reading == ServerReading(model_bytes=6_654_289_920, gpu_bytes=6_000_000_000)


def test_another_models_memory_is_not_taken_for_this_ones() -> None:
    assert parse_running(RUNNING, "qwen:8b") == ServerReading()
    assert parse_running({}, None) == ServerReading()
    assert parse_running({"models": [None, "x", {"size": -1}]}, None) == ServerReading()
