"""The KV cache of the loaded model as the gauges see it: tokens in, bytes filled and allocated out.

The arithmetic itself is imported inside functions: it costs a start of the dashboard some 50 ms, and is needed
only once a model has been seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from agentui.events import ModelFacts, Source

if TYPE_CHECKING:
    from agentui.telemetry.kv.llama_cpp import LlamaCppCache
    from agentui.telemetry.kv.mlx import MlxCache
    from agentui.telemetry.kv.shape import ModelShape

LM_STUDIO_PARALLEL = 4
"""Sequences LM Studio and llama-server load a model for when nobody says otherwise, on one unified cache."""


@dataclass(frozen=True, slots=True)
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
    def source(self) -> Source:
        """How sure they are."""
        ...

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes with `tokens` of one sequence in the cache."""
        ...


FindCache: TypeAlias = Callable[[ModelFacts], CacheModel | None]
"""Finds the cache of a loaded model, ``None`` if its shape is not known. May block (reads a file's header)."""


@dataclass(frozen=True, slots=True)
class LlamaCppCacheModel:
    """A llama.cpp cache: all of it is allocated at load, tokens then fill it."""

    shape: ModelShape
    settings: LlamaCppCache
    basis: str
    source: Source

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes with `tokens` of one sequence in the cache."""
        from agentui.telemetry.kv import llama_cpp

        return CacheBytesNow(
            filled_bytes=llama_cpp.filled_bytes(self.shape, self.settings, tokens),
            allocated_bytes=llama_cpp.allocated_bytes(self.shape, self.settings).total,
            checkpoint_bytes=llama_cpp.checkpoints_upper_bytes(self.shape, self.settings, [tokens]),
        )


@dataclass(frozen=True, slots=True)
class MlxCacheModel:
    """An MLX cache: it grows in steps while tokens arrive. MLX keeps no checkpoints."""

    shape: ModelShape
    settings: MlxCache
    basis: str
    source: Source

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes with `tokens` of one sequence in the cache, as they are between two decode steps."""
        from agentui.telemetry.kv import mlx

        return CacheBytesNow(
            filled_bytes=mlx.filled_bytes(self.shape, self.settings, tokens),
            allocated_bytes=mlx.settled_bytes(self.shape, self.settings, tokens).total,
            checkpoint_bytes=0,
        )


def cache_model(
    model: ModelFacts, shape: ModelShape, settings: LlamaCppCache | MlxCache | None = None
) -> CacheModel:
    """The cache model for a loaded model of known shape.

    Without `settings`, which no REST interface tells, the engine's defaults at the loaded context are assumed
    and the result is an estimate: 16-bit cache, as many parallel sequences as the server says (else four).

    Raises:
        UsageError: If settings and shape do not fit, or neither says the context length.
    """
    from agentui.telemetry.kv.mlx import MlxCache

    is_assumed = settings is None
    if settings is None:
        settings = _default_settings(model, shape)
    origin = "the built-in table" if shape.source == "table" else "the model's own file"
    assumed = ", default cache settings assumed" if is_assumed else ""
    source: Source = "reported" if shape.is_exact and not is_assumed else "estimated"
    if isinstance(settings, MlxCache):
        return MlxCacheModel(shape, settings, f"MLX, shape from {origin}{assumed}", source)
    found = LlamaCppCacheModel(shape, settings, f"llama.cpp, shape from {origin}{assumed}", source)
    found.at(0)  # settings that do not fit the shape are an error now, not at the first token
    return found


def find_builtin_cache(model: ModelFacts) -> CacheModel | None:
    """The cache model of a family whose shapes are built in (Gemma 4), by the model's name; does not block.

    Raises:
        UsageError: If the model's context length is not possible.
    """
    from agentui.telemetry.kv.gemma4 import builtin_shape

    shape = builtin_shape(model.model) or builtin_shape(model.display_name)
    return None if shape is None else cache_model(model, shape)


def _default_settings(model: ModelFacts, shape: ModelShape) -> LlamaCppCache | MlxCache:
    from agentui.telemetry.kv.llama_cpp import LlamaCppCache
    from agentui.telemetry.kv.mlx import MlxCache

    if "mlx" in (model.engine or "").lower():
        return MlxCache()
    context = model.loaded_context_tokens or shape.trained_context_tokens
    return LlamaCppCache(context_tokens=context, parallel=model.parallel or LM_STUDIO_PARALLEL, unified=True)
