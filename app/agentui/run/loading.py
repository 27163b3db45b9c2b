"""Bringing a model into memory, told as events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentui.backends.base import Backend
from agentui.errors import AgentuiError
from agentui.events import (
    Event,
    ModelFacts,
    ModelLoadEnded,
    ModelLoadProgressed,
    ModelLoadStarted,
    Warned,
)


async def load_model(
    backend: Backend, model: str, context_tokens: int | None, emit: Callable[[Event], None]
) -> ModelFacts:
    """Load a model (or reload it with another context) and tell the progress as events.

    Raises:
        ModelLoadFailed: The engine or the server's memory guardrail refused.
    """
    clock = asyncio.get_running_loop().time
    began_s = clock()
    emit(ModelLoadStarted(model, context_tokens))

    def progress(ratio: float | None) -> None:
        emit(ModelLoadProgressed(model, ratio, clock() - began_s))

    try:
        facts = await backend.load(model, context_tokens, progress)
    except BaseException as error:
        why = error.message if isinstance(error, AgentuiError) else "it was not waited for"
        emit(ModelLoadEnded(model, None, clock() - began_s, error=why))
        raise
    emit(ModelLoadEnded(facts.model, facts.loaded_context_tokens, clock() - began_s))
    if context_tokens is not None and facts.loaded_context_tokens not in (None, context_tokens):
        emit(
            Warned(
                "context_clamped",
                f"{context_tokens:,} tokens of context were asked for, the engine gave "
                f"{facts.loaded_context_tokens:,}",
                "MLX engines choose the length themselves; a smaller model leaves room for more",
            )
        )
    return facts
