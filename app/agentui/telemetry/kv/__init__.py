"""KV-cache sizes from a model's own metadata: pure arithmetic, no IO but reading a header.

A `ModelShape` comes from a file (`shape_from_source`), from parsed metadata or from the built-in table; the
modules `llama_cpp` and `mlx` turn it into bytes, `fit` inverts them and `report` gathers everything.
"""

from __future__ import annotations

from agentui.telemetry.kv import llama_cpp, mlx
from agentui.telemetry.kv.allocation import CacheBytes, Cells
from agentui.telemetry.kv.fit import largest_context_tokens, needed_bytes
from agentui.telemetry.kv.gemma4 import builtin_shape
from agentui.telemetry.kv.gguf import read_gguf_metadata
from agentui.telemetry.kv.gguf_shape import shape_from_gguf
from agentui.telemetry.kv.hf_config import shape_from_config
from agentui.telemetry.kv.llama_cpp import LlamaCppCache
from agentui.telemetry.kv.mlx import MlxCache
from agentui.telemetry.kv.shape import Layer, LayerKind, ModelShape
from agentui.telemetry.kv.source import shape_from_mapping, shape_from_source, weights_bytes

__all__ = [
    "CacheBytes",
    "Cells",
    "Layer",
    "LayerKind",
    "LlamaCppCache",
    "MlxCache",
    "ModelShape",
    "builtin_shape",
    "largest_context_tokens",
    "llama_cpp",
    "mlx",
    "needed_bytes",
    "read_gguf_metadata",
    "shape_from_config",
    "shape_from_gguf",
    "shape_from_mapping",
    "shape_from_source",
    "weights_bytes",
]
