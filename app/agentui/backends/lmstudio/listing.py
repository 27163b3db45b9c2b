"""LM Studio's three listings of models, read into the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentui.backends.base import LoadedInstance, ServerModel
from agentui.backends.fields import as_flag, as_list, as_object, as_size, as_text


def parse_v1(body: Mapping[str, Any]) -> tuple[ServerModel, ...]:
    """Read the answer of ``/api/v1/models``. Nearly every field may be null or missing."""
    found = (_v1_model(as_object(entry)) for entry in as_list(body.get("models")))
    return tuple(model for model in found if model.key)


def _v1_model(entry: Mapping[str, Any]) -> ServerModel:
    capabilities = as_object(entry.get("capabilities"))
    device = entry.get("device_identifier") or entry.get("deviceIdentifier")
    return ServerModel(
        key=as_text(entry.get("key")) or "",
        display_name=as_text(entry.get("display_name")) or "",
        kind="embedding" if entry.get("type") == "embedding" else "llm",
        architecture=as_text(entry.get("architecture")),
        quantization=_quantization(entry.get("quantization")),
        engine=as_text(entry.get("format")),
        size_bytes=as_size(entry.get("size_bytes")),
        trained_context_tokens=as_size(entry.get("max_context_length")),
        trained_for_tools=as_flag(capabilities.get("trained_for_tool_use")),
        is_remote=bool(device),
        instances=tuple(
            _v1_instance(as_object(instance))
            for instance in as_list(entry.get("loaded_instances"))
            if as_text(as_object(instance).get("id"))
        ),
    )


def _v1_instance(entry: Mapping[str, Any]) -> LoadedInstance:
    config = as_object(entry.get("config"))
    return LoadedInstance(
        id=str(entry["id"]),
        context_tokens=as_size(config.get("context_length")),
        parallel=as_size(config.get("parallel")),
        settings=dict(config),
    )


def _quantization(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    return as_text(as_object(value).get("name"))


def parse_v0(body: Mapping[str, Any]) -> tuple[ServerModel, ...]:
    """Read the answer of ``/api/v0/models``: no sizes, no parallel slots; ids serve as instance ids."""
    return tuple(
        _v0_model(as_object(entry))
        for entry in as_list(body.get("data"))
        if as_text(as_object(entry).get("id"))
    )


def _v0_model(entry: Mapping[str, Any]) -> ServerModel:
    key = str(entry["id"])
    kind = entry.get("type")
    is_loaded = entry.get("state") == "loaded"
    context_tokens = as_size(entry.get("loaded_context_length"))
    capabilities = as_list(entry.get("capabilities"))
    return ServerModel(
        key=key,
        kind="embedding" if kind == "embeddings" else "llm" if kind in ("llm", "vlm") else "unknown",
        architecture=as_text(entry.get("arch")),
        quantization=as_text(entry.get("quantization")),
        engine=as_text(entry.get("compatibility_type")),
        trained_context_tokens=as_size(entry.get("max_context_length")),
        trained_for_tools="tool_use" in capabilities if capabilities else None,
        instances=(LoadedInstance(key, context_tokens),) if is_loaded else (),
    )


def parse_openai(body: Mapping[str, Any]) -> tuple[ServerModel, ...]:
    """Read LM Studio's ``/v1/models``: names only; it does not say which of them are loaded."""
    keys = (as_text(as_object(entry).get("id")) for entry in as_list(body.get("data")))
    return tuple(
        ServerModel(key=key, kind="embedding" if "embed" in key.casefold() else "unknown")
        for key in keys
        if key
    )
