"""The Gemma 4 family from memory, for when no file of the model can be read.

Figures from the released configurations (huggingface/transformers `convert_gemma4_weights.py` and
`convert_gemma4_unified_weights.py`). A table is not the file: shapes made here are marked as estimates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentui.telemetry.kv.shape import Layer, LayerKind, ModelShape

_NOTE = "taken from a built-in table, because the model's file could not be read"


@dataclass(frozen=True, slots=True)
class _Variant:
    layers: int
    period: int
    shared_layers: int
    sliding_kv_heads: int
    full_kv_heads: int
    window_tokens: int
    trained_context_tokens: int
    head_count: int


_SLIDING_DIM, _FULL_DIM = 256, 512
_VOCAB_TOKENS = 262_144
_VARIANTS = {
    "26b": _Variant(30, 6, 0, 8, 2, 1024, 262_144, 16),
    "12b": _Variant(48, 6, 0, 8, 1, 1024, 262_144, 16),
    "31b": _Variant(60, 6, 0, 16, 4, 1024, 262_144, 32),
    "e4b": _Variant(42, 6, 18, 2, 2, 512, 131_072, 8),
    "e2b": _Variant(35, 5, 20, 1, 1, 512, 131_072, 8),
}
_NAME = re.compile(r"(?<![a-z0-9])gemma[-_ ]?4[-_: ](?:[a-z]+[-_ ])?(e2b|e4b|12b|26b|31b)(?![a-z0-9])")
_OTHER_KINDS = ("assistant", "draft", "mtp", "embedding", "mmproj")


def builtin_shape(model_name: str) -> ModelShape | None:
    """The shape of a Gemma 4 model by its name, or None for every other model.

    Takes LM Studio keys (`google/gemma-4-26b-a4b`), repository names and file names with quantization
    suffixes.
    """
    name = model_name.lower()
    match = _NAME.search(name)
    if match is None or any(word in name for word in _OTHER_KINDS):
        return None
    variant = _VARIANTS[match.group(1)]
    return ModelShape(
        architecture="gemma4",
        layers=tuple(_layer(variant, index) for index in range(variant.layers)),
        source="table",
        window_tokens=variant.window_tokens,
        trained_context_tokens=variant.trained_context_tokens,
        head_count=variant.head_count,
        vocab_tokens=_VOCAB_TOKENS,
        is_exact=False,
        notes=(_NOTE,),
    )


def _layer(variant: _Variant, index: int) -> Layer:
    is_full = (index + 1) % variant.period == 0
    kv_heads = variant.full_kv_heads if is_full else variant.sliding_kv_heads
    dim = _FULL_DIM if is_full else _SLIDING_DIM
    kind = LayerKind.FULL if is_full else LayerKind.SLIDING
    if index >= variant.layers - variant.shared_layers:
        kind = LayerKind.SHARED
    return Layer(kind, kv_heads, dim, dim)
