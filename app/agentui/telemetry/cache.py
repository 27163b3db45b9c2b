"""The KV cache of the loaded model as the gauges see it: tokens in, bytes filled and allocated out.

The arithmetic itself is imported inside functions: it costs a start of the dashboard some 50 ms, and is needed
only once a model has been seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from agentui.events import ModelFacts, Source
from agentui.frozen import frozen

if TYPE_CHECKING:
    from agentui.telemetry.kv.llama_cpp import LlamaCppCache
    from agentui.telemetry.kv.mlx import MlxCache
    from agentui.telemetry.kv.shape import ModelShape

LM_STUDIO_PARALLEL = 4
"""Sequences LM Studio and llama-server load a model for when nobody says otherwise, on one unified cache."""


@frozen
class CacheBytesNow:
    """Bytes of the cache at some number of tokens; `checkpoint_bytes` is an upper estimate."""

    filled_bytes: int
    allocated_bytes: int
    checkpoint_bytes: int | None


class CacheModel(Protocol):
    """What one loaded model's cache takes. Pure arithmetic, fast enough for every token."""

    @property
    def basis(self) -> str:
        """What the figures rest on, in words for the user."""
        ...

    @property
    def cache_type(self) -> str:
        """What the values are stored as, in the engine's words; K and V apart where they differ."""
        ...

    @property
    def source(self) -> Source:
        """How sure they are."""
        ...

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes with `tokens` of one sequence in the cache."""
        ...

    def prefill_bytes(self, new_tokens: int) -> int:
        """What is taken for a moment, beyond `at`, while so many tokens of a prompt are read."""
        ...

    @property
    def compute_bytes(self) -> int | None:
        """Estimate of the engine's compute buffer, reserved at load; ``None`` where nobody knows."""
        ...


FindCache: TypeAlias = Callable[[ModelFacts], Awaitable[CacheModel | None]]
"""Finds the cache of a loaded model, ``None`` if its shape is not known. Called on the event loop; reads of
files belong into threads."""


@frozen
class LlamaCppCacheModel:
    """A llama.cpp cache: all of it is allocated at load, tokens then fill it."""

    shape: ModelShape
    settings: LlamaCppCache
    basis: str
    source: Source

    @property
    def cache_type(self) -> str:
        """Types of K and V in llama.cpp's words, one where they are the same."""
        k, v = self.settings.cache_k, self.settings.cache_v
        return k if k == v else f"{k}, V {v}"

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes with `tokens` of one sequence in the cache."""
        from agentui.telemetry.kv import llama_cpp

        return CacheBytesNow(
            filled_bytes=llama_cpp.filled_bytes(self.shape, self.settings, tokens),
            allocated_bytes=llama_cpp.allocated_bytes(self.shape, self.settings).total,
            checkpoint_bytes=llama_cpp.checkpoints_upper_bytes(self.shape, self.settings, [tokens]),
        )

    def prefill_bytes(self, new_tokens: int) -> int:
        """Nothing: the buffers are there since the load."""
        return 0

    @property
    def compute_bytes(self) -> int | None:
        """The engine's compute buffer, an estimate."""
        from agentui.telemetry.kv import llama_cpp

        return llama_cpp.compute_buffer_bytes(self.shape, self.settings)


@frozen
class MlxCacheModel:
    """An MLX cache: it grows in steps while tokens arrive. MLX keeps no checkpoints."""

    shape: ModelShape
    settings: MlxCache
    basis: str
    source: Source

    @property
    def cache_type(self) -> str:
        """Bits per value."""
        return f"{self.settings.kv_bits or 8 * self.settings.itemsize_bytes} bit"

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes with `tokens` of one sequence in the cache, as they are between two decode steps."""
        from agentui.telemetry.kv import mlx

        return CacheBytesNow(
            filled_bytes=mlx.filled_bytes(self.shape, self.settings, tokens),
            allocated_bytes=mlx.settled_bytes(self.shape, self.settings, tokens).total,
            checkpoint_bytes=0,
        )

    def prefill_bytes(self, new_tokens: int) -> int:
        """A chunk of the prompt in the sliding layers, on top of their window."""
        from agentui.telemetry.kv import mlx

        chunk = min(new_tokens, self.settings.prefill_chunk_tokens)
        _, sliding = mlx.bytes_per_token(self.shape, self.settings, new_tokens)
        return chunk * sliding if mlx.window_tokens(self.shape) else 0

    @property
    def compute_bytes(self) -> int | None:
        """MLX keeps no buffer of known size between steps."""
        return None


def cache_model(
    model: ModelFacts,
    shape: ModelShape,
    settings: LlamaCppCache | MlxCache | None = None,
    *,
    is_assumed: bool = False,
) -> CacheModel:
    """The cache model for a loaded model of known shape.

    Without `settings`, which no REST interface tells, the engine's defaults at the loaded context are assumed
    and the result is an estimate: 16-bit cache, as many parallel sequences as the server says (else four).
    Settings that are guessed elsewhere are marked by `is_assumed`.

    Raises:
        UsageError: If settings and shape do not fit, or neither says the context length.
    """
    from agentui.telemetry.kv.mlx import MlxCache

    if settings is None:
        settings, is_assumed = _default_settings(model, shape), True
    origin = "the built-in table" if shape.source == "table" else "the model's own file"
    assumed = ", default cache settings assumed" if is_assumed else ""
    source: Source = "reported" if shape.is_exact and not is_assumed else "estimated"
    if isinstance(settings, MlxCache):
        return MlxCacheModel(shape, settings, f"MLX, shape from {origin}{assumed}", source)
    found = LlamaCppCacheModel(shape, settings, f"llama.cpp, shape from {origin}{assumed}", source)
    found.at(0)  # settings that do not fit the shape are an error now, not at the first token
    return found


def settings_from_lmstudio(model: ModelFacts, keys: Mapping[str, Any]) -> LlamaCppCache | MlxCache | None:
    """How an instance was loaded, from LM Studio's own keys (``llm.load.…``), as its WebSocket tells them.

    ``None`` where they do not say the context of a llama.cpp instance.

    Raises:
        UsageError: If they name what no engine takes.
    """
    from agentui.telemetry.kv.llama_cpp import LlamaCppCache
    from agentui.telemetry.kv.mlx import LM_STUDIO_QUANTIZED_FROM_TOKENS, MlxCache

    def number(name: str, default: int) -> int:
        value = keys.get(f"llm.load.{name}")
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default

    if is_mlx(model):
        chosen = keys.get("llm.load.mlx.kvCacheQuantization")
        quantized = chosen if isinstance(chosen, Mapping) and chosen.get("enabled") is True else {}
        if not quantized:
            return MlxCache()
        return MlxCache(
            kv_bits=int(quantized.get("bits", 8)),
            group_size=int(quantized.get("groupSize", 64)),
            quantized_from_tokens=int(quantized.get("quantizedStart", LM_STUDIO_QUANTIZED_FROM_TOKENS)),
        )
    context = number("contextLength", model.loaded_context_tokens or 0)
    if not context:
        return None
    return LlamaCppCache(
        context_tokens=context,
        parallel=number("numParallelSessions", model.parallel or LM_STUDIO_PARALLEL),
        unified=keys.get("llm.load.useUnifiedKvCache") is not False,
        cache_k=_cache_type(keys.get("llm.load.llama.kCacheQuantizationType")),
        cache_v=_cache_type(keys.get("llm.load.llama.vCacheQuantizationType")),
        batch=number("llama.evalBatchSize", 2048),
        ubatch=number("llama.physicalBatchSize", 512),
    )


def _cache_type(chosen: object) -> str:
    """LM Studio writes a choice as ``{"checked": true, "value": "q8_0"}``; unchecked is f16."""
    if isinstance(chosen, Mapping):
        return str(chosen.get("value")) if chosen.get("checked") is True else "f16"
    return chosen if isinstance(chosen, str) else "f16"


def is_mlx(model: ModelFacts) -> bool:
    """Whether the model runs on MLX, as far as the server says."""
    return "mlx" in (model.engine or "").lower()


def builtin_cache(model: ModelFacts) -> CacheModel | None:
    """The cache model of a family whose shapes are built in (Gemma 4), by the model's name.

    Raises:
        UsageError: If the model's context length is not possible.
    """
    from agentui.telemetry.kv.gemma4 import builtin_shape

    shape = builtin_shape(model.model) or builtin_shape(model.display_name)
    return None if shape is None else cache_model(model, shape)


async def find_builtin_cache(model: ModelFacts) -> CacheModel | None:
    """As `builtin_cache`, for a `Readers` that looks at no files."""
    return builtin_cache(model)


def _default_settings(model: ModelFacts, shape: ModelShape) -> LlamaCppCache | MlxCache:
    from agentui.telemetry.kv.llama_cpp import LlamaCppCache
    from agentui.telemetry.kv.mlx import MlxCache

    if is_mlx(model):
        return MlxCache()
    context = model.loaded_context_tokens or shape.trained_context_tokens
    return LlamaCppCache(context_tokens=context, parallel=model.parallel or LM_STUDIO_PARALLEL, unified=True)
