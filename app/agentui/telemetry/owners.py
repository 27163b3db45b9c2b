"""Who holds the memory: the engine's own share from its process, and how memory moves. Pure arithmetic."""

from __future__ import annotations

from collections import deque

from agentui.events import ModelFacts
from agentui.telemetry.cache import is_mlx
from agentui.telemetry.memory.process import ModelProcess
from agentui.telemetry.memory.reader import MachineMemory

GROWTH_WINDOW_S = 30.0
_LEAST_HELD_RATIO = 0.9
"""A process that holds less than this share of the cache does not hold it: it lies on a card, or elsewhere."""


def engine_rest_bytes(
    process: ModelProcess | None, model: ModelFacts | None, kv_bytes: int | None, compute_bytes: int | None
) -> int | None:
    """What the engine holds beside weights, cache and compute buffer: checkpoints and prompt caches.

    Weights that are mapped from their file are not in a process's private memory; MLX copies them into it, and
    so does llama.cpp without mmap. ``None`` where the process is not known for certain or does not hold the
    cache.
    """
    if process is None or not process.is_sure or model is None or kv_bytes is None:
        return None
    memory = process.memory
    private = memory.held_bytes - (memory.mapped_bytes or 0)
    weights = model.size_bytes
    if weights and _are_private(weights, memory.mapped_bytes, model):
        private -= weights
    if private < kv_bytes * _LEAST_HELD_RATIO:
        return None
    return max(0, private - kv_bytes - (compute_bytes or 0))


def _are_private(weights_bytes: int, mapped_bytes: int | None, model: ModelFacts) -> bool:
    if mapped_bytes is None:
        return is_mlx(model)  # macOS: mapped weights are not in the footprint
    return mapped_bytes < weights_bytes // 2


def headroom_bytes(machine: MachineMemory, engine_bytes: int | None, reserve_bytes: int) -> int | None:
    """What may still be taken under the nearer wall; ``None`` if no wall is known.

    `engine_bytes` is what the engine has on the GPU now: weights, cache and compute buffer. Where the system
    tells what all programs have there, the larger of the two counts.
    """
    rooms: list[int] = []
    if machine.gpu_limit_bytes is not None:
        taken = max(engine_bytes or 0, machine.gpu_used_bytes or 0)
        rooms.append(machine.gpu_limit_bytes - taken)
    if machine.available_bytes is not None:
        rooms.append(machine.available_bytes)
    return min(rooms) - reserve_bytes if rooms else None


class SwapGrowth:
    """How much more swap is used than half a minute ago: growth is the alarm, not use."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, used_bytes: int | None) -> int | None:
        """Note a reading; the growth since the oldest one within `GROWTH_WINDOW_S`, ``None`` for the first."""
        if used_bytes is None:
            return None
        self._marks.append((now_s, used_bytes))
        while now_s - self._marks[0][0] > GROWTH_WINDOW_S:
            self._marks.popleft()
        return used_bytes - self._marks[0][1] if len(self._marks) > 1 else None
