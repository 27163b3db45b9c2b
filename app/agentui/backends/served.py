"""What servers other than LM Studio tell of the models they serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentui.backends.base import LoadedInstance, ProcessingState, ServerModel
from agentui.backends.fields import as_count, as_list, as_object, as_size, as_text

_CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window")


def model_entries(body: object) -> list[Any] | None:
    """The entries of a ``/v1/models``: below ``data``, below ``models``, or a bare list; else ``None``."""
    if isinstance(body, list):
        return body
    fields = as_object(body)
    return next((found for key in ("data", "models") if isinstance(found := fields.get(key), list)), None)


def parse_models(body: object) -> tuple[ServerModel, ...]:
    """Read ``/v1/models`` of any server. What is listed counts as served, so as one instance.

    The context comes from llama-server's ``meta.n_ctx``, vLLM's ``max_model_len`` or LiteLLM-like
    ``context_length``; most servers do not tell it.
    """
    entries = model_entries(body) or []
    found = (_model({"id": entry} if isinstance(entry, str) else as_object(entry)) for entry in entries)
    return tuple(model for model in found if model.key)


def _model(entry: Mapping[str, Any]) -> ServerModel:
    key = next((text for name in ("id", "name", "model") if (text := as_text(entry.get(name)))), "")
    meta = as_object(entry.get("meta"))
    told = (meta.get("n_ctx"), *(entry.get(name) for name in _CONTEXT_FIELDS))
    context_tokens = next((size for value in told if (size := as_size(value))), None)
    return ServerModel(
        key=key,
        display_name=key,
        kind="embedding" if "embed" in key.casefold() else "unknown",
        quantization=as_text(meta.get("ftype")),
        size_bytes=as_size(meta.get("size")),
        trained_context_tokens=as_size(meta.get("n_ctx_train")),
        instances=(LoadedInstance(key, context_tokens),) if key else (),
    )


def with_props(models: tuple[ServerModel, ...], props: Mapping[str, Any]) -> tuple[ServerModel, ...]:
    """Add llama-server's ``/props``: the slots, and the context of one, which is what a request can use."""
    settings = as_object(props.get("default_generation_settings"))
    context_tokens, slots = as_size(settings.get("n_ctx")), as_size(props.get("total_slots"))
    quantization = as_text(props.get("model_ftype"))
    return tuple(
        replace(
            model,
            engine="gguf",
            quantization=model.quantization or quantization,
            instances=tuple(
                replace(
                    instance,
                    context_tokens=context_tokens or instance.context_tokens,
                    parallel=slots,
                    settings={"model_path": props.get("model_path"), "build_info": props.get("build_info")},
                )
                for instance in model.instances
            ),
        )
        for model in models
    )


def parse_slots(slots: object) -> ProcessingState | None:
    """What llama-server does, from ``/slots``; `queued` counts running requests, waiting ones are not told."""
    entries = [as_object(slot) for slot in as_list(slots)]
    if not entries:
        return None
    busy = [slot for slot in entries if slot.get("is_processing") is True]
    if not busy:
        return ProcessingState("idle", 0)
    decoded = [as_count(as_object(token).get("n_decoded")) for slot in busy for token in _next_tokens(slot)]
    return ProcessingState("generating" if any(decoded) else "prefill", len(busy))


def _next_tokens(slot: Mapping[str, Any]) -> list[Any]:
    # A list in current builds, an object before.
    value = slot.get("next_token")
    return as_list(value) or [value]


def parse_ollama(tags: Mapping[str, Any], running: Mapping[str, Any]) -> tuple[ServerModel, ...]:
    """Read Ollama's ``/api/tags`` (what is on disk) and ``/api/ps`` (what is in memory)."""
    loaded = {
        as_text(as_object(entry).get("name")): as_object(entry) for entry in as_list(running.get("models"))
    }
    return tuple(
        _ollama_model(as_object(entry), loaded)
        for entry in as_list(tags.get("models"))
        if as_text(as_object(entry).get("name"))
    )


def _ollama_model(entry: Mapping[str, Any], loaded: Mapping[str | None, Mapping[str, Any]]) -> ServerModel:
    key = str(entry["name"])
    details = as_object(entry.get("details"))
    family = as_text(details.get("family"))
    running = loaded.get(key)
    instances: tuple[LoadedInstance, ...] = ()
    if running is not None:
        memory = {name: running.get(name) for name in ("size", "size_vram")}
        instances = (LoadedInstance(key, as_size(running.get("context_length")), settings=memory),)
    return ServerModel(
        key=key,
        display_name=key,
        kind="embedding" if "embed" in key.casefold() or "bert" in (family or "") else "llm",
        architecture=family,
        quantization=as_text(details.get("quantization_level")),
        engine=as_text(details.get("format")),
        size_bytes=as_size(entry.get("size")),
        instances=instances,
    )


def ollama_trained_context(show: Mapping[str, Any]) -> int | None:
    """The context a model was trained for, from Ollama's ``/api/show``."""
    info = as_object(show.get("model_info"))
    architecture = as_text(info.get("general.architecture"))
    return as_size(info.get(f"{architecture}.context_length"))
