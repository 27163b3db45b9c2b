"""What a model's cache is made of: one entry per layer, independent of the engine that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Source = Literal["gguf", "config", "table"]

MAX_LAYERS = 1024
"""More layers than any known model has (llama.cpp itself stops at 512); larger counts are refused."""


class LayerKind(Enum):
    """How a layer remembers what it has read."""

    FULL = "full"
    SLIDING = "sliding"
    RECURRENT = "recurrent"
    SHARED = "shared"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. K and V rows are `kv_heads` times `k_dim` and `v_dim` elements per token.

    `v_dim` is 0 where V is not stored (multi-head latent attention). `conv_elements` and `state_elements` are
    the recurrent state of one sequence; a layer of kind FULL may have one too (attention and recurrence side
    by side). SHARED layers read another layer's cache, NONE layers have no memory at all; both keep their
    nominal dimensions, because engines pad V rows to the largest of all layers. `is_mtp` marks a trailing
    multi-token-prediction layer, which llama.cpp gives a cache for some families and MLX never does.
    """

    kind: LayerKind
    kv_heads: int = 0
    k_dim: int = 0
    v_dim: int = 0
    conv_elements: int = 0
    state_elements: int = 0
    is_mtp: bool = False

    @property
    def k_elements(self) -> int:
        """Elements of one K row."""
        return self.kv_heads * self.k_dim

    @property
    def v_elements(self) -> int:
        """Elements of one V row, without padding."""
        return self.kv_heads * self.v_dim


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Everything about a model that its cache size depends on.

    `window_tokens` is 0 without sliding layers, `trained_context_tokens` 0 when unknown. `is_exact` is False
    for unknown architectures and for the built-in table; `notes` then say why, in words for the user.
    `embedding_length`, `head_count`, `vocab_tokens` and `per_layer_input_elements` (per-layer embeddings of
    one token) matter for the compute buffer only.
    """

    architecture: str
    layers: tuple[Layer, ...]
    source: Source
    window_tokens: int = 0
    trained_context_tokens: int = 0
    embedding_length: int = 0
    head_count: int = 0
    vocab_tokens: int = 0
    per_layer_input_elements: int = 0
    is_mla: bool = False
    is_exact: bool = True
    notes: tuple[str, ...] = ()

    @property
    def v_elements_max(self) -> int:
        """Longest V row of any layer, owning or not: the padding used without flash attention."""
        return max((layer.v_elements for layer in self.layers), default=0)

    def count(self, kind: LayerKind, *, with_mtp: bool = True) -> int:
        """Number of layers of a kind; RECURRENT includes layers that have attention beside it."""
        layers = [layer for layer in self.layers if with_mtp or not layer.is_mtp]
        if kind is LayerKind.RECURRENT:
            return sum(1 for layer in layers if layer.kind is kind or layer.state_elements)
        return sum(1 for layer in layers if layer.kind is kind)
