"""The older native routes under /api/v0."""

from __future__ import annotations

from aiohttp import web

from agentui.simulator.answering import Answer, answer
from agentui.simulator.answers import unknown_model
from agentui.simulator.catalog import CatalogModel
from agentui.simulator.chat_request import parse_chat
from agentui.simulator.openai_routes import whole_chat, write_chat
from agentui.simulator.registry import Instance, Registry
from agentui.simulator.state import STATE

RUNTIMES: dict[str, dict[str, object]] = {
    "gguf": {
        "name": "llama.cpp-mac-arm64-apple-metal-advsimd",
        "version": "2.12.0",
        "supported_formats": ["gguf"],
    },
    "mlx": {
        "name": "mlx-llm-mac-arm64-apple-metal-advsimd",
        "version": "1.10.1",
        "supported_formats": ["mlx"],
    },
}
STOP_REASONS = {
    "stop": "eosFound",
    "length": "maxPredictedTokensReached",
    "tool_calls": "toolCalls",
}


def _kind(model: CatalogModel) -> str:
    if model.is_embedding:
        return "embeddings"
    return "vlm" if model.vision else "llm"


def _entry(model: CatalogModel, instance: Instance | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": instance.id if instance else model.key,
        "object": "model",
        "type": _kind(model),
        "publisher": model.publisher,
        "arch": model.architecture,
        "compatibility_type": model.format,
        "quantization": model.quantization,
        "state": "loaded" if instance else "not-loaded",
        "max_context_length": model.max_context_length,
    }
    if instance is not None:
        entry["loaded_context_length"] = instance.settings.context_length
    if model.trained_for_tool_use:
        entry["capabilities"] = ["tool_use"]
    return entry


def _entries(registry: Registry) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for model in registry.models:
        instances = registry.loaded(model)
        entries += [_entry(model, instance) for instance in instances] or [_entry(model, None)]
    return entries


async def list_models(request: web.Request) -> web.Response:
    """Answer GET /api/v0/models."""
    return web.json_response({"object": "list", "data": _entries(request.app[STATE].registry)})


async def one_model(request: web.Request) -> web.Response:
    """Answer GET /api/v0/models/{id}."""
    name = request.match_info["id"]
    registry = request.app[STATE].registry
    for entry in _entries(registry):
        if entry["id"] == name:
            return web.json_response(entry)
    refusal = unknown_model(name, [model.key for model in registry.models])
    return web.json_response(refusal.body, status=404)


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer POST /api/v0/chat/completions; only the answer in one piece carries stats."""
    return await answer(request, parse_chat, _write)


async def _write(item: Answer) -> web.StreamResponse:
    if item.chat.stream:
        return await write_chat(item)
    return await whole_chat(item, lambda: native_stats(item))


def native_stats(item: Answer) -> dict[str, object]:
    """Return the stats block of a finished generation; seconds and tokens per second."""
    record, instance = item.record, item.instance
    first_s = (record.first_token_at_s or record.arrived_at_s) - record.arrived_at_s
    decode_s = max(record.decode_s, 1e-6)
    stop_reason = STOP_REASONS[record.finish_reason or "stop"]
    if record.finish_reason == "length" and item.chat.max_tokens is None:
        stop_reason = "contextLengthReached"
    return {
        "stats": {
            "tokens_per_second": record.completion_tokens / decode_s,
            "time_to_first_token": first_s,
            "generation_time": decode_s,
            "stop_reason": stop_reason,
        },
        "model_info": {
            "arch": instance.model.architecture,
            "quant": instance.model.quantization,
            "format": instance.model.format,
            "context_length": instance.settings.context_length,
        },
        "runtime": RUNTIMES[instance.model.format],
    }
