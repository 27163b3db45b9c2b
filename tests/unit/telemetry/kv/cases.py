"""The recorded cases and the small model files, and a writer for files that no engine would make."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from agentui.telemetry.kv import Layer, LayerKind, LlamaCppCache, ModelShape
from agentui.telemetry.kv.mlx import LayerSlots

DATA = Path(__file__).parents[3] / "data" / "kv"
GEMMA_26B = DATA / "gemma4-26b-a4b.header-only.gguf"
GEMMA_12B = DATA / "gemma4-12b.header-only.gguf"
QWEN_35 = DATA / "qwen3.5-9b.header-only.gguf"
TINY_GEMMA = DATA / "tiny-gemma4-fixture.gguf"

_RECORDED: dict[str, Any] = json.loads((DATA / "kv-cases.json").read_text())
ENGINE_CASES: list[dict[str, Any]] = _RECORDED["cases"]
MLX_CASES: list[dict[str, Any]] = _RECORDED["mlx_cases"]

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


def metadata_of(geometry: str) -> dict[str, Any]:
    """A copy of the GGUF metadata recorded for a geometry."""
    for case in ENGINE_CASES:
        if case["geometry"] == geometry:
            return dict(case["metadata"])
    raise KeyError(geometry)


def settings_of(load: Mapping[str, Any]) -> LlamaCppCache:
    """The settings a recorded case was loaded with."""
    return LlamaCppCache(
        context_tokens=load["n_ctx"],
        parallel=load["parallel"],
        unified=load["kv_unified"],
        cache_k=load["cache_type_k"],
        cache_v=load["cache_type_v"],
        swa_full=load["swa_full"],
        batch=load["n_batch"],
        ubatch=load["n_ubatch"],
        flash_attention=load["flash_attn"],
    )


def one_layer(
    kv_heads: int, head_dim: int, window: int = 0, source: Literal["gguf", "config"] = "config"
) -> ModelShape:
    """A model of a single layer, sliding if it has a window."""
    kind = LayerKind.SLIDING if window else LayerKind.FULL
    return ModelShape("test", (Layer(kind, kv_heads, head_dim, head_dim),), source, window_tokens=window)


def slots_after(pushes: Iterable[tuple[int, int]], window_tokens: int = 0) -> LayerSlots:
    """A layer's slots after runs of `(tokens per push, times)`, starting empty."""
    state = LayerSlots(window_tokens)
    for tokens, times in pushes:
        if tokens == 1:
            state = state.decode(times)
        else:
            for _ in range(times):
                state = state.push(tokens)
    return state


def text(value: str) -> bytes:
    """A GGUF string."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind: int, value: float) -> bytes:
    """A GGUF number with its type."""
    return struct.pack("<I" + _FORMATS[kind], kind, value)


def string(value: str) -> bytes:
    """A GGUF string value with its type."""
    return struct.pack("<I", 8) + text(value)


def array(kind: int, values: Sequence[Any], count: int | None = None) -> bytes:
    """A GGUF array with its type, claiming `count` elements."""
    head = struct.pack("<IIQ", 9, kind, len(values) if count is None else count)
    if kind == 8:
        return head + b"".join(text(value) for value in values)
    return head + b"".join(struct.pack("<" + _FORMATS[kind], value) for value in values)


def gguf(entries: Mapping[str, bytes], *, version: int = 3, count: int | None = None) -> bytes:
    """A GGUF header with the given encoded values, claiming `count` entries."""
    number = len(entries) if count is None else count
    body = b"".join(text(key) + value for key, value in entries.items())
    return b"GGUF" + struct.pack("<IQQ", version, 0, number) + body


def encode(metadata: Mapping[str, Any]) -> bytes:
    """A GGUF header holding metadata as recorded in JSON."""
    return gguf({key: _encoded(value) for key, value in metadata.items()})


def _encoded(value: Any) -> bytes:
    match value:
        case bool():
            return scalar(7, value)
        case int():
            return scalar(4, value)
        case float():
            return scalar(6, value)
        case str():
            return string(value)
        case list():
            return array(7 if isinstance(value[0], bool) else 5, value)
    raise TypeError(value)
