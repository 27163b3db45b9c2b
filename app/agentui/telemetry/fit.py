"""What a model would take before it is loaded, and which contexts fit under both walls. Pure arithmetic.

The walls are the GPU's working set (one process may make so much resident on it) and physical memory less what
everything else holds. Whatever is computed of compute buffers and of the walls is an estimate and wears ``~``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agentui.errors import UsageError
from agentui.events import ModelFacts, Warned
from agentui.frozen import frozen
from agentui.telemetry.kv.fit import largest_context_tokens, needed_bytes
from agentui.telemetry.kv.llama_cpp import LlamaCppCache
from agentui.telemetry.kv.mlx import MlxCache
from agentui.telemetry.kv.shape import ModelShape
from agentui.telemetry.memory.reader import MachineMemory
from agentui.text import GIB, human_bytes, human_context, human_gib

SPARE_BYTES = 8 * GIB
"""Left free under both walls by the context that is chosen where the user names none."""
MOST_DEFAULT_TOKENS = 65_536
SMALL_CONTEXT_TOKENS = 16_384
"""Instructions, a few files and their changes take about so much; with less a task comes to no end."""
CONTEXTS = (4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144)

WallName = Literal["GPU wall", "memory wall"]


@frozen
class Walls:
    """What one model may take: on the GPU, and of physical memory. Bytes; ``None`` is no or an unknown wall."""

    gpu_bytes: int | None
    memory_bytes: int | None

    @property
    def least_bytes(self) -> int | None:
        """The nearer of the two walls; ``None`` if neither is known."""
        known = [wall for wall in (self.gpu_bytes, self.memory_bytes) if wall is not None]
        return min(known, default=None)


def walls_of(machine: MachineMemory, held_bytes: int = 0) -> Walls:
    """The walls as they stand; `held_bytes` is what the model itself holds now, which a reload gives back."""
    available = machine.available_bytes
    if available is not None and machine.total_bytes is not None:
        available = min(machine.total_bytes, available + held_bytes)
    return Walls(machine.gpu_limit_bytes, available)


@frozen
class ContextFit:
    """What one context takes. `passed_wall` is the wall it passes by most, ``None`` if it fits."""

    context_tokens: int
    needed_bytes: int
    passed_wall: WallName | None = None
    over_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether it stays under both walls."""
        return self.passed_wall is None

    @property
    def in_words(self) -> str:
        """What it takes and whether it fits: ``~17.9 GiB, fits``."""
        needed = f"~{human_gib(self.needed_bytes)} GiB"
        if self.passed_wall is None:
            return f"{needed}, fits"
        return f"{needed}, passes the {self.passed_wall} by ~{human_gib(self.over_bytes)} GiB"


@frozen
class ModelFit:
    """Which contexts of a model fit. `default_tokens` is ``None`` where none leaves enough to spare."""

    contexts: tuple[ContextFit, ...]
    largest_tokens: int
    default_tokens: int | None
    weights_bytes: int | None
    is_exact: bool

    @property
    def in_words(self) -> str:
        """One line: ``64k fits, 128k passes the GPU wall by ~2.1 GiB``."""
        fitting = [fit for fit in self.contexts if fit.fits]
        passing = next((fit for fit in self.contexts if not fit.fits), None)
        beyond = "" if passing is None else _passes(passing)
        if not fitting:
            return f"even {beyond}" if beyond else "not known"
        longest = human_context(fitting[-1].context_tokens)
        return f"{longest} fits, {beyond}" if beyond else f"{longest} fits, the longest it was trained for"


def _passes(fit: ContextFit) -> str:
    over = f"{human_gib(fit.over_bytes)} GiB" if fit.over_bytes >= GIB // 10 else human_bytes(fit.over_bytes)
    return f"{human_context(fit.context_tokens)} passes the {fit.passed_wall} by ~{over}"


def context_fit(
    shape: ModelShape,
    settings: LlamaCppCache | MlxCache,
    tokens: int,
    weights_bytes: int | None,
    walls: Walls,
) -> ContextFit:
    """What a context of `tokens` takes with the weights, and which wall it passes.

    Raises:
        UsageError: The settings do not fit the model.
    """
    needed = (weights_bytes or 0) + needed_bytes(shape, settings, tokens)
    named: tuple[tuple[WallName, int | None], ...] = (
        ("GPU wall", walls.gpu_bytes),
        ("memory wall", walls.memory_bytes),
    )
    passed: list[tuple[int, WallName]] = [
        (needed - wall, name) for name, wall in named if wall is not None and needed > wall
    ]
    if not passed:
        return ContextFit(tokens, needed)
    over, name = max(passed, key=lambda wall: wall[0])
    return ContextFit(tokens, needed, name, over)


def model_fit(
    shape: ModelShape,
    settings: LlamaCppCache | MlxCache,
    weights_bytes: int | None,
    walls: Walls,
    contexts: Sequence[int] = CONTEXTS,
) -> ModelFit:
    """What the usual contexts of a model take, up to the trained one, and the one to load by default.

    The default is the largest that leaves `SPARE_BYTES` under both walls, at most `MOST_DEFAULT_TOKENS`.

    Raises:
        UsageError: The settings do not fit the model.
    """
    trained = shape.trained_context_tokens
    asked = sorted({tokens for tokens in contexts if not trained or tokens <= trained} | {trained} - {0})
    fits = tuple(context_fit(shape, settings, tokens, weights_bytes, walls) for tokens in asked)
    wall = walls.least_bytes
    if wall is None:
        return ModelFit(fits, trained, None, weights_bytes, shape.is_exact)
    budget = wall - (weights_bytes or 0)
    largest = largest_context_tokens(shape, settings, budget)
    most = min(MOST_DEFAULT_TOKENS, trained or MOST_DEFAULT_TOKENS)
    default = largest_context_tokens(shape, settings, budget - SPARE_BYTES, maximum_tokens=most)
    return ModelFit(fits, largest, default or None, weights_bytes, shape.is_exact)


@frozen
class ContextAdvice:
    """What to say of a context too small for work. `wider_tokens` fits both walls; ``None`` if not known."""

    warning: Warned
    wider_tokens: int | None


def context_advice(model: ModelFacts, fit: ModelFit | None) -> ContextAdvice | None:
    """What to say before the first request of a model that is loaded with too little context for work.

    What is offered is the default length, or what just fits where that leaves too little to spare.
    """
    loaded = model.loaded_context_tokens
    if loaded is None or loaded >= SMALL_CONTEXT_TOKENS:
        return None
    if model.trained_context_tokens is not None and model.trained_context_tokens <= loaded:
        return None
    fitting = 0 if fit is None else fit.default_tokens or min(fit.largest_tokens, MOST_DEFAULT_TOKENS)
    wider = fitting if fitting > loaded else None
    hint = "/context lists what fits"
    if wider is not None:
        length = human_context(wider)
        hint = f"/context {wider} reloads it with {length}, which fits both walls"
    words = f"{model.model} is loaded with {human_context(loaded)} of context: a few files fill that"
    return ContextAdvice(Warned("small_context", words, hint), wider)


def load_settings(engine: str | None, parallel: int | None = None) -> LlamaCppCache | MlxCache:
    """How LM Studio would load a model: MLX as it is, llama.cpp for four sequences on one cache."""
    if "mlx" in (engine or "").lower():
        return MlxCache()
    return LlamaCppCache(parallel=parallel or 4, unified=True)


def fit_of_model(
    shape: ModelShape | None, engine: str | None, weights_bytes: int | None, walls: Walls
) -> ModelFit | None:
    """The fit of a model as LM Studio would load it; ``None`` where its shape is not known or not usable."""
    if shape is None:
        return None
    try:
        return model_fit(shape, load_settings(engine), weights_bytes, walls)
    except UsageError:
        return None
