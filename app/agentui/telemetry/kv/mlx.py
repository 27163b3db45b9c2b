"""The cache of MLX (mlx-lm, LM Studio's mlx-engine): it grows while tokens arrive.

Growth follows the cache classes of `mlx_lm/models/cache.py` (ml-explore/mlx-lm, August 2026): full layers
grow by 256 slots, sliding layers up to their window, beyond which a chunk of several tokens leaves them
larger until the next single token. Freed buffers that MLX keeps for itself are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentui.errors import UsageError
from agentui.telemetry.kv.allocation import CacheBytes, Cells
from agentui.telemetry.kv.cache_types import mlx_row_bytes
from agentui.telemetry.kv.shape import Layer, LayerKind, ModelShape

STEP_SLOTS = 256
PREFILL_CHUNK_TOKENS = 2048
LM_STUDIO_QUANTIZED_FROM_TOKENS = 5000
"""LM Studio's default start of cache quantization; before it the cache keeps full precision."""
_STATE_ITEM_BYTES = 4
_WITHOUT_ROTATING = frozenset({"gemma2"})
"""Families whose sliding layers mlx-lm gives a plain, growing cache."""
_KEEPS_WHOLE_HEADS = "deepseek_v2"
"""The family with latent attention whose cache in mlx-lm holds the heads made of it (`mlx_lm/models/*.py`)."""


@dataclass(frozen=True, slots=True)
class MlxCache:
    """How MLX holds a cache. `itemsize_bytes` is that of the activations: 2 for bfloat16 and float16.

    With `kv_bits` the cache is quantized as soon as a sequence has `quantized_from_tokens` tokens. `parallel`
    requests are padded to the longest and cost that many times as much.

    Raises:
        UsageError: A number that MLX does not take.
    """

    parallel: int = 1
    itemsize_bytes: int = 2
    kv_bits: int | None = None
    group_size: int = 64
    quantized_from_tokens: int = 0
    prefill_chunk_tokens: int = PREFILL_CHUNK_TOKENS

    def __post_init__(self) -> None:
        if self.kv_bits not in (None, 2, 3, 4, 5, 6, 8):
            raise UsageError(f"MLX cannot quantize a cache to {self.kv_bits} bits", hint="use 8 or 4")
        if self.group_size not in (32, 64, 128):
            raise UsageError(f"MLX has no cache groups of {self.group_size}", hint="use 32, 64 or 128")
        if not 1 <= self.parallel <= 256:
            raise UsageError(f"{self.parallel} parallel sequences are not possible", hint="use 1 to 256")
        if self.prefill_chunk_tokens < 1 or self.prefill_chunk_tokens % STEP_SLOTS:
            raise UsageError("a prefill chunk must be a multiple of 256 tokens")
        if self.itemsize_bytes not in (2, 4):
            raise UsageError("activations have items of 2 or 4 bytes")


@dataclass(frozen=True, slots=True)
class LayerSlots:
    """Slots of one layer's cache after some tokens. `window_tokens` 0: a full layer, which keeps all of them.

    All steps are O(1), also for many tokens.
    """

    window_tokens: int = 0
    tokens: int = 0
    slots: int = 0

    def push(self, tokens: int) -> LayerSlots:
        """Take in several tokens at once (a prefill chunk), or one (a decode step)."""
        if tokens <= 0:
            return self
        if tokens == 1:
            return self.decode(1)
        if self.window_tokens:
            kept = min(self.tokens, self.slots, self.window_tokens - 1)
            return replace(self, tokens=self.tokens + tokens, slots=kept + tokens)
        slots = self.slots
        if self.tokens + tokens > slots:
            slots = (self.tokens if self.tokens % STEP_SLOTS else slots) + _whole_steps(tokens)
        return replace(self, tokens=self.tokens + tokens, slots=slots)

    def decode(self, steps: int) -> LayerSlots:
        """Take in single tokens one after the other."""
        if steps <= 0:
            return self
        beyond = steps - max(0, self.slots - self.tokens)
        slots = self.slots + (_whole_steps(beyond) if beyond > 0 else 0)
        if self.window_tokens:
            slots = min(slots, self.window_tokens)
        return replace(self, tokens=self.tokens + steps, slots=slots)

    def prefill(self, tokens: int, chunk_tokens: int = PREFILL_CHUNK_TOKENS) -> LayerSlots:
        """Take in a prompt in chunks, a multiple of 256 tokens each."""
        whole, rest = divmod(max(0, tokens), chunk_tokens)
        if whole and not self.window_tokens:
            return self.push(whole * chunk_tokens).push(rest)
        state = self
        if whole > 1:
            before_last = self.tokens + (whole - 1) * chunk_tokens
            state = replace(self, tokens=before_last, slots=min(before_last, self.window_tokens))
        return state.push(chunk_tokens if whole else 0).push(rest)

    def prefill_peak_slots(self, tokens: int, chunk_tokens: int = PREFILL_CHUNK_TOKENS) -> int:
        """Most slots held at any moment of a prefill, itself included."""
        whole = tokens // chunk_tokens * chunk_tokens
        return max(
            self.slots, self.prefill(whole, chunk_tokens).slots, self.prefill(tokens, chunk_tokens).slots
        )


def cells(shape: ModelShape, settings: MlxCache, tokens: int) -> Cells:
    """Slots per sequence after one prefill of `tokens`, before the first decode step."""
    full, sliding = _layer_slots(shape, settings, tokens)
    return Cells(
        full=full if shape.count(LayerKind.FULL, with_mtp=False) else 0,
        sliding=sliding if shape.count(LayerKind.SLIDING) else 0,
        streams=settings.parallel,
    )


def allocated_bytes(shape: ModelShape, settings: MlxCache, tokens: int) -> CacheBytes:
    """Bytes held right after one prefill of `tokens` in chunks. O(layers).

    Sliding layers then still hold the last chunk; `settled_bytes` is what remains after the next decode step.

    Raises:
        UsageError: Quantization asked for where MLX has none: sliding layers, or heads that are no whole
        groups.
    """
    full, sliding = _layer_slots(shape, settings, tokens)
    return bytes_of_slots(shape, settings, full_slots=full, sliding_slots=sliding, tokens=tokens)


def settled_bytes(shape: ModelShape, settings: MlxCache, tokens: int) -> CacheBytes:
    """Bytes held while decoding at `tokens`: whole steps of the full layers, the window of the sliding ones."""
    return bytes_of_slots(
        shape,
        settings,
        full_slots=_whole_steps(tokens),
        sliding_slots=min(tokens, window_tokens(shape)) or _whole_steps(tokens),
        tokens=tokens,
    )


def prefill_peak_bytes(
    shape: ModelShape, settings: MlxCache, tokens: int, *, cached_tokens: int = 0
) -> CacheBytes:
    """Most bytes held while `tokens` are read on top of `cached_tokens`."""
    chunk = settings.prefill_chunk_tokens
    full = LayerSlots().prefill(cached_tokens, chunk)
    sliding = LayerSlots(window_tokens(shape)).decode(cached_tokens)
    return bytes_of_slots(
        shape,
        settings,
        full_slots=full.prefill_peak_slots(tokens, chunk),
        sliding_slots=sliding.prefill_peak_slots(tokens, chunk),
        tokens=cached_tokens + tokens,
    )


def filled_bytes(shape: ModelShape, settings: MlxCache, tokens: int | Sequence[int]) -> int:
    """Bytes that hold live tokens: those of one sequence, or of several (one number each)."""
    sequences = [tokens] if isinstance(tokens, int) else tokens
    single = replace(settings, parallel=1)
    return sum(
        bytes_of_slots(
            shape, single, full_slots=live, sliding_slots=min(live, window_tokens(shape)) or live, tokens=live
        ).total
        for live in sequences
    )


def bytes_per_token(shape: ModelShape, settings: MlxCache, tokens: int) -> tuple[int, int]:
    """Bytes of one token in all full and in all sliding layers, at a length of `tokens`."""
    one = bytes_of_slots(shape, replace(settings, parallel=1), full_slots=1, sliding_slots=1, tokens=tokens)
    return one.full, one.sliding


def bytes_of_slots(
    shape: ModelShape, settings: MlxCache, *, full_slots: int, sliding_slots: int, tokens: int
) -> CacheBytes:
    """Bytes of given numbers of slots; `tokens` decides whether the cache is quantized already."""
    is_quantized = settings.kv_bits is not None and tokens >= settings.quantized_from_tokens
    sums = {LayerKind.FULL: [0, 0], LayerKind.SLIDING: [0, 0]}
    conv = state = 0
    for layer in shape.layers:
        conv += layer.conv_elements
        state += layer.state_elements
        if layer.kind not in sums or layer.is_mtp:
            continue
        if settings.kv_bits is not None and _rotates(shape, layer):
            raise UsageError(
                "MLX cannot quantize the cache of a model with sliding windows", hint="leave the cache at f16"
            )
        k_and_v = sums[layer.kind]
        for side, dim in enumerate((layer.k_dim, layer.v_dim)):
            k_and_v[side] += layer.kv_heads * _head_bytes(dim, settings, is_quantized)
    full, sliding = full_slots * settings.parallel, sliding_slots * settings.parallel
    return CacheBytes(
        full_k=sums[LayerKind.FULL][0] * full,
        full_v=sums[LayerKind.FULL][1] * full,
        sliding_k=sums[LayerKind.SLIDING][0] * sliding,
        sliding_v=sums[LayerKind.SLIDING][1] * sliding,
        recurrent_conv=conv * settings.itemsize_bytes * settings.parallel,
        recurrent_state=state * _STATE_ITEM_BYTES * settings.parallel,
    )


def doubts(shape: ModelShape) -> tuple[str, ...]:
    """Why a figure for MLX is only an estimate, beyond the doubts about the model itself."""
    found = []
    if shape.count(LayerKind.RECURRENT, with_mtp=False):
        found.append("MLX keeps recurrent state as each model's own code decides: assumed 4 bytes an element")
    if shape.is_mla and shape.architecture == _KEEPS_WHOLE_HEADS:
        found.append("mlx-lm keeps whole heads for this family, not the latent: the figure is a lower bound")
    if shape.architecture == "llama4":
        found.append("Llama 4's chunked cache is taken for a sliding one")
    return tuple(found)


def _head_bytes(dim: int, settings: MlxCache, is_quantized: bool) -> int:
    if is_quantized and settings.kv_bits is not None:
        return mlx_row_bytes(dim, settings.kv_bits, settings.group_size, settings.itemsize_bytes)
    return dim * settings.itemsize_bytes


def _rotates(shape: ModelShape, layer: Layer) -> bool:
    return layer.kind is LayerKind.SLIDING and shape.architecture not in _WITHOUT_ROTATING


def window_tokens(shape: ModelShape) -> int:
    """Tokens beyond which sliding layers stop to grow; 0 where every layer grows."""
    return 0 if shape.architecture in _WITHOUT_ROTATING else shape.window_tokens


def _layer_slots(shape: ModelShape, settings: MlxCache, tokens: int) -> tuple[int, int]:
    chunk = settings.prefill_chunk_tokens
    full = LayerSlots().prefill(tokens, chunk).slots
    return full, LayerSlots(window_tokens(shape)).prefill(tokens, chunk).slots


def _whole_steps(tokens: int) -> int:
    return -(-tokens // STEP_SLOTS) * STEP_SLOTS
