"""The cache of llama.cpp: allocated in full when the model is loaded, then filled.

Cells, padding and streams follow `llama-kv-cache.cpp`, `llama-kv-cache-iswa.cpp`,
`llama-memory-recurrent.cpp` and `llama-context.cpp` of August 2026: sliding caches are padded to 256 cells
(since ggml-org/llama.cpp #17046) and latent attention keeps K alone (since #19067).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentui.errors import UsageError
from agentui.telemetry.kv.allocation import CacheBytes, Cells
from agentui.telemetry.kv.cache_types import FLOAT_TYPES, GGML_TYPES, require_type, row_bytes
from agentui.telemetry.kv.shape import Layer, LayerKind, ModelShape

CELL_PADDING = 256
STATE_ITEM_BYTES = 4
"""Recurrent state is f32 whatever the cache types are."""
MAX_CHECKPOINTS_PER_SLOT = 32
CHECKPOINT_SPACING_TOKENS = 8192
_TOKENS_LIMIT = 1 << 32


@dataclass(frozen=True, slots=True)
class LlamaCppCache:
    """How a context is loaded. The defaults are those of one plain context of the trained length.

    `unified` shares one set of cells between all `parallel` sequences, else each has its own stream.
    `rollback_states` is above 0 only with speculative decoding of recurrent models. LM Studio loads with
    `parallel=4, unified=True`.

    Raises:
        UsageError: A number out of range, an unknown cache type, or a quantized V without flash attention.
    """

    context_tokens: int = 0
    parallel: int = 1
    unified: bool = True
    cache_k: str = "f16"
    cache_v: str = "f16"
    swa_full: bool = False
    batch: int = 2048
    ubatch: int = 512
    flash_attention: Literal["on", "off", "auto"] = "auto"
    rollback_states: int = 0

    def __post_init__(self) -> None:
        require_type(self.cache_k)
        require_type(self.cache_v)
        if not 0 <= self.context_tokens < _TOKENS_LIMIT:
            raise UsageError(f"a context of {self.context_tokens} tokens is not possible")
        if not 1 <= self.parallel <= 256:
            raise UsageError(f"{self.parallel} parallel sequences are not possible", hint="use 1 to 256")
        if self.batch < 1 or self.ubatch < 1:
            raise UsageError("batch and ubatch must be at least 1")
        if self.flash_attention == "off" and self.cache_v not in FLOAT_TYPES:
            raise UsageError(
                f"a {self.cache_v} V cache needs flash attention",
                hint="leave flash attention on, or keep V f16",
            )

    @property
    def pads_v(self) -> bool:
        """Whether V rows are padded to the longest; `auto` counts as on, even where it is later disabled."""
        return self.flash_attention == "off"


@dataclass(frozen=True, slots=True)
class RowBytes:
    """Bytes one token takes in all owning layers of a kind."""

    full_k: int
    full_v: int
    sliding_k: int
    sliding_v: int

    @property
    def full(self) -> int:
        """K and V of one token in all full layers."""
        return self.full_k + self.full_v

    @property
    def sliding(self) -> int:
        """K and V of one token in all sliding layers."""
        return self.sliding_k + self.sliding_v


def pad_cells(tokens: int) -> int:
    """Round up to whole blocks of 256 cells."""
    return -(-tokens // CELL_PADDING) * CELL_PADDING


def doubts(shape: ModelShape, settings: LlamaCppCache) -> tuple[str, ...]:
    """Why such a cache may not come to be, beyond the doubts about the model itself."""
    if shape.is_mla and settings.cache_k != settings.cache_v:
        return ("builds of late 2026 refuse latent attention with K and V of different types",)
    if settings.flash_attention == "off":
        return ()
    owning = [layer for layer in shape.layers if layer.kind in (LayerKind.FULL, LayerKind.SLIDING)]
    dims = {(layer.k_dim, settings.cache_k) for layer in owning}
    dims |= {(layer.v_dim, settings.cache_v) for layer in owning}
    for dim, cache_type in sorted(dims):
        if dim % GGML_TYPES[cache_type][0]:
            return (f"builds with flash attention refuse heads of {dim} as {cache_type}: no whole blocks",)
    return ()


def context_tokens(shape: ModelShape, settings: LlamaCppCache) -> int:
    """Tokens asked for, which is the trained context if the settings leave it open.

    Raises:
        UsageError: The settings leave it open and the model does not say.
    """
    tokens = settings.context_tokens or shape.trained_context_tokens
    if not tokens:
        raise UsageError("the model does not say its context length", hint="pass one, e.g. --context 32768")
    return tokens


def cells(shape: ModelShape, settings: LlamaCppCache) -> Cells:
    """Cells per stream. With separate sequences their total may exceed the request."""
    requested = context_tokens(shape, settings)
    ubatch = min(requested, settings.batch, settings.ubatch)
    full = pad_cells(requested)
    if not settings.unified:
        full = pad_cells(full // settings.parallel)
    sequences_in_stream = settings.parallel if settings.unified else 1
    sliding = full
    if not settings.swa_full:
        sliding = pad_cells(min(full, shape.window_tokens * sequences_in_stream + ubatch))
    return Cells(
        full=full if shape.count(LayerKind.FULL) else 0,
        sliding=sliding if shape.count(LayerKind.SLIDING) else 0,
        streams=1 if settings.unified else settings.parallel,
    )


def rows(shape: ModelShape, settings: LlamaCppCache, *, padded: bool = True) -> RowBytes:
    """Bytes per token; `padded` includes the padding of V rows without flash attention.

    Raises:
        UsageError: A row is not a whole number of the cache type's blocks.
    """
    v_elements = shape.v_elements_max if settings.pads_v and padded and not shape.is_mla else None
    sums = {LayerKind.FULL: [0, 0], LayerKind.SLIDING: [0, 0]}
    for layer in shape.layers:
        if layer.kind in sums:
            k_and_v = sums[layer.kind]
            k_and_v[0] += row_bytes(layer.k_elements, settings.cache_k)
            k_and_v[1] += row_bytes(layer.v_elements if v_elements is None else v_elements, settings.cache_v)
    return RowBytes(*sums[LayerKind.FULL], *sums[LayerKind.SLIDING])


def allocated_bytes(shape: ModelShape, settings: LlamaCppCache) -> CacheBytes:
    """Bytes the engine allocates at load, all of them resident at once. O(layers).

    Raises:
        UsageError: The settings do not fit the model, or leave the context open where the model does too.
    """
    place, row = cells(shape, settings), rows(shape, settings)
    full, sliding = place.full * place.streams, place.sliding * place.streams
    sequences = settings.parallel * (1 + settings.rollback_states)
    conv, state = _state_bytes(shape.layers)
    return CacheBytes(
        full_k=row.full_k * full,
        full_v=row.full_v * full,
        sliding_k=row.sliding_k * sliding,
        sliding_v=row.sliding_v * sliding,
        recurrent_conv=conv * sequences,
        recurrent_state=state * sequences,
    )


def filled_bytes(shape: ModelShape, settings: LlamaCppCache, tokens: int | Sequence[int]) -> int:
    """Bytes that hold live tokens: those of one sequence, or of several (one number each). O(layers).

    A sequence's tokens beyond the cells of its stream do not count. In sliding layers only the window is live,
    also where `swa_full` keeps more.
    """
    row = rows(shape, settings)
    capacity = cells(shape, settings).full or context_tokens(shape, settings)
    sequences = [tokens] if isinstance(tokens, int) else tokens
    state = sum(_state_bytes(shape.layers))
    total = 0
    for live in sequences:
        held = min(live, capacity)
        total += row.full * held + row.sliding * min(held, shape.window_tokens) + state
    return total


def checkpoint_bytes(shape: ModelShape, settings: LlamaCppCache, tokens: int) -> int:
    """Bytes of one context checkpoint of a slot with `tokens` tokens, in ordinary host memory. O(layers).

    A copy of what cannot be rolled back: the window of the sliding layers and the recurrent state of one
    sequence, so 0 for models that have neither. A header of some 12 KiB is left out.
    """
    window = min(tokens, shape.window_tokens)
    return rows(shape, settings, padded=False).sliding * window + sum(_state_bytes(shape.layers))


def checkpoints_upper_bytes(
    shape: ModelShape, settings: LlamaCppCache, slot_tokens: Sequence[int], *, per_slot: int = 32
) -> int:
    """Upper estimate of what all slots' checkpoints may grow to; `per_slot` is the engine's own limit.

    A short chat settles at four; earlier turns are thinned to one per 8192 tokens.
    """
    limit = min(per_slot, MAX_CHECKPOINTS_PER_SLOT)
    return sum(
        min(limit, 4 + tokens // CHECKPOINT_SPACING_TOKENS) * checkpoint_bytes(shape, settings, tokens)
        for tokens in slot_tokens
        if tokens
    )


def compute_buffer_bytes(shape: ModelShape, settings: LlamaCppCache) -> int:
    """Estimate of the compute buffer: activations of one micro-batch plus the attention masks.

    The masks are exact (2 bytes per cell and token of the micro-batch). The rest is the widest thing a graph
    holds at once, in f32: the logits, attention in and out, per-layer embeddings four times, linear
    attention's inputs; without flash attention also the scores of one layer. Compared with 90 loads of
    llama-server on CPU: most within 15 %, all within a third.
    """
    place = cells(shape, settings)
    ubatch = min(context_tokens(shape, settings), settings.batch, settings.ubatch)
    mask = (place.full + place.sliding) * ubatch * 2
    head_dim = max((layer.k_dim for layer in shape.layers), default=0)
    widest = max(
        shape.vocab_tokens + shape.embedding_length,
        2 * shape.head_count * head_dim,
        4 * shape.per_layer_input_elements,
        max((layer.conv_elements for layer in shape.layers), default=0),
    )
    scores = place.full * shape.head_count * ubatch * 4 if settings.pads_v else 0
    return mask + widest * ubatch * 4 + scores


def _state_bytes(layers: Sequence[Layer]) -> tuple[int, int]:
    """Convolution and recurrent state of one sequence."""
    conv = sum(layer.conv_elements for layer in layers)
    state = sum(layer.state_elements for layer in layers)
    return conv * STATE_ITEM_BYTES, state * STATE_ITEM_BYTES
