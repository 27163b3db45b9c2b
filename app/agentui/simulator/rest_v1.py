"""The native routes under /api/v1: what there is, load, unload."""

from __future__ import annotations

from aiohttp import web

from agentui.simulator.answers import Refusal, native_error
from agentui.simulator.catalog import CatalogModel
from agentui.simulator.chat_request import JsonObject
from agentui.simulator.faults import Fault
from agentui.simulator.registry import Instance, LoadSettings
from agentui.simulator.state import STATE, ServerState, read_json


async def list_models(request: web.Request) -> web.Response:
    """Answer GET /api/v1/models."""
    state = request.app[STATE]
    if state.plan.is_on(Fault.SLOW_MODELS):
        await state.engine.pace.wait(state.config.slow_listing_s)
    models = [_entry(model, state.registry.loaded(model)) for model in state.registry.models]
    return web.json_response({"models": models})


def _entry(model: CatalogModel, instances: list[Instance]) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": model.type,
        "publisher": model.publisher,
        "key": model.key,
        "display_name": model.display_name,
        "architecture": model.architecture,
        "quantization": {"name": model.quantization, "bits_per_weight": model.bits_per_weight},
        "size_bytes": model.size_bytes,
        "params_string": model.params,
        "loaded_instances": [{"id": item.id, "config": _config(item)} for item in instances],
        "max_context_length": model.max_context_length,
        "format": model.format,
    }
    if not model.is_embedding:
        entry["capabilities"] = {
            "vision": model.vision,
            "trained_for_tool_use": model.trained_for_tool_use,
            "reasoning": {"allowed_options": ["off", "on"], "default": "on"},
        }
        entry["description"] = None
    if model.variants:
        entry["variants"] = list(model.variants)
        entry["selected_variant"] = model.variants[0]
    return entry


def _config(instance: Instance) -> dict[str, object]:
    settings = instance.settings
    if instance.model.is_embedding:
        return {"context_length": settings.context_length}
    config: dict[str, object] = {
        "context_length": settings.context_length,
        "parallel": settings.parallel,
    }
    if instance.model.format == "gguf":
        config.update(_llama_keys(settings))
    return config


def _llama_keys(settings: LoadSettings) -> dict[str, object]:
    keys: dict[str, object] = {
        "eval_batch_size": settings.eval_batch_size,
        "flash_attention": settings.flash_attention,
        "offload_kv_cache_to_gpu": settings.offload_kv_cache_to_gpu,
    }
    if settings.num_experts is not None:
        keys["num_experts"] = settings.num_experts
    return keys


def _native_refusal(status: int, kind: str, message: str, *, code: str = "", param: str = "") -> Refusal:
    return Refusal(status, native_error(kind, message, code=code, param=param))


def required_model(state: ServerState, body: JsonObject) -> CatalogModel:
    """Return the model a body names.

    Raises:
        Refusal: In the shape of /api/v1, if it names none or an unknown one.
    """
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise _native_refusal(
            400, "invalid_request", '"model" is required', code="missing_required_parameter", param="model"
        )
    instance = state.registry.instances.get(name)
    model = instance.model if instance else state.registry.model(name)
    if model is None:
        raise _native_refusal(404, "model_not_found", f'Model "{name}" not found.', param="model")
    return model


def asked_settings(state: ServerState, model: CatalogModel, body: JsonObject) -> LoadSettings:
    """Return how a body wants a model loaded; what it leaves out is the server's default."""
    number = {name: body.get(name) for name in ("context_length", "eval_batch_size", "num_experts")}
    whole = {name: value for name, value in number.items() if isinstance(value, int) and value > 0}
    default_context = min(state.config.context_length, model.max_context_length)
    return LoadSettings(
        context_length=min(whole.get("context_length", default_context), model.max_context_length),
        parallel=state.config.parallel,
        eval_batch_size=whole.get("eval_batch_size", 512),
        flash_attention=body.get("flash_attention") is not False,
        offload_kv_cache_to_gpu=body.get("offload_kv_cache_to_gpu") is not False,
        num_experts=whole.get("num_experts", model.num_experts or 0) or None,
    )


async def load(request: web.Request) -> web.Response:
    """Answer POST /api/v1/models/load; every call loads one more instance."""
    state = request.app[STATE]
    try:
        body = await read_json(request)
        model = required_model(state, body)
        started_s = state.engine.pace.now_s()
        instance = await state.engine.load(model, asked_settings(state, model, body))
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    loaded: dict[str, object] = {
        "type": model.type,
        "instance_id": instance.id,
        "load_time_seconds": round(state.engine.pace.now_s() - started_s, 3),
        "status": "loaded",
    }
    if body.get("echo_load_config") is True:
        config: dict[str, object] = {"context_length": instance.settings.context_length}
        if model.format == "gguf" and not model.is_embedding:
            config.update(_llama_keys(instance.settings))
        loaded["load_config"] = config
    return web.json_response(loaded)


async def unload(request: web.Request) -> web.Response:
    """Answer POST /api/v1/models/unload; it takes an instance id, not a model key."""
    state = request.app[STATE]
    try:
        body = await read_json(request)
        name = body.get("instance_id")
        if not isinstance(name, str) or not name:
            message = '"instance_id" is required'
            code = "missing_required_parameter"
            raise _native_refusal(400, "invalid_request", message, code=code, param="instance_id")
        if not state.registry.remove(name):
            raise _native_refusal(404, "model_not_found", f'No loaded instance "{name}".')
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    return web.json_response({"instance_id": name})
