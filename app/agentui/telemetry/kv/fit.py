"""What context would fit into given memory: the size model, inverted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agentui.telemetry.kv import llama_cpp, mlx
from agentui.telemetry.kv.llama_cpp import LlamaCppCache
from agentui.telemetry.kv.mlx import MlxCache
from agentui.telemetry.kv.shape import ModelShape

STEP_TOKENS = 256
_UNKNOWN_MAXIMUM_TOKENS = 1 << 20


def needed_bytes(shape: ModelShape, settings: LlamaCppCache | MlxCache, tokens: int) -> int:
    """Memory a context of `tokens` takes beside the weights, at its worst moment.

    llama.cpp: cache and compute buffer (an estimate). MLX: the cache while the whole context is read at once.

    Raises:
        UsageError: The settings do not fit the model.
    """
    match settings:
        case LlamaCppCache():
            loaded = replace(settings, context_tokens=tokens)
            cache = llama_cpp.allocated_bytes(shape, loaded).total
            return cache + llama_cpp.compute_buffer_bytes(shape, loaded)
        case MlxCache():
            return mlx.prefill_peak_bytes(shape, settings, tokens).total


def largest_context_tokens(
    shape: ModelShape,
    settings: LlamaCppCache | MlxCache,
    budget_bytes: int,
    *,
    maximum_tokens: int | None = None,
) -> int:
    """Largest context, in steps of 256, whose `needed_bytes` fit the budget; 0 if none does.

    `budget_bytes` is what is left after the weights and every reserve. The trained context is the upper end
    unless `maximum_tokens` says otherwise. O(layers x log context).
    """
    maximum = maximum_tokens or shape.trained_context_tokens or _UNKNOWN_MAXIMUM_TOKENS

    def fits(steps: int) -> bool:
        return needed_bytes(shape, settings, steps * STEP_TOKENS) <= budget_bytes

    return _largest(fits, maximum // STEP_TOKENS) * STEP_TOKENS


def _largest(fits: Callable[[int], bool], maximum: int) -> int:
    """Largest n from 1 to `maximum` that fits, by bisection; 0 if none."""
    low, high = 0, maximum
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
