from __future__ import annotations

from agentui.events import ModelFacts
from agentui.telemetry.memory.process import ModelProcess
from agentui.telemetry.memory.reader import MachineMemory, ProcessMemory
from agentui.telemetry.owners import SwapGrowth, engine_rest_bytes, headroom_bytes

GIB = 1 << 30
GGUF = ModelFacts("g", engine="gguf", size_bytes=16 * GIB)
MLX = ModelFacts("m", engine="mlx", size_bytes=16 * GIB)


def process(held: int, mapped: int | None, *, is_sure: bool = True) -> ModelProcess:
    """A model's process."""
    return ModelProcess(7, "engine", ProcessMemory(held, mapped), is_sure)


def test_on_linux_mapped_weights_are_not_the_engines_own() -> None:
    held = process(16 * GIB + 3 * GIB, 16 * GIB)
    assert engine_rest_bytes(held, GGUF, 2 * GIB, GIB // 2) == GIB // 2


def test_without_mmap_weights_are_in_private_memory() -> None:
    assert engine_rest_bytes(process(19 * GIB, GIB // 8), GGUF, 2 * GIB, 0) == 19 * GIB - 18 * GIB - GIB // 8


def test_on_a_mac_the_footprint_holds_mlxs_weights_but_no_mapped_ones() -> None:
    assert engine_rest_bytes(process(19 * GIB, None), MLX, 2 * GIB, None) == GIB
    assert engine_rest_bytes(process(3 * GIB, None), GGUF, 2 * GIB, None) == GIB


def test_nothing_is_said_of_a_process_that_is_unsure_or_does_not_hold_the_cache() -> None:
    assert engine_rest_bytes(process(19 * GIB, 16 * GIB, is_sure=False), GGUF, 2 * GIB, 0) is None
    assert engine_rest_bytes(process(GIB, None), GGUF, 2 * GIB, 0) is None
    assert engine_rest_bytes(None, GGUF, 2 * GIB, 0) is None


def test_the_nearer_wall_counts_and_what_the_system_says_of_the_gpu() -> None:
    machine = MachineMemory(total_bytes=64 * GIB, available_bytes=30 * GIB, gpu_limit_bytes=48 * GIB)
    assert headroom_bytes(machine, 20 * GIB, 3 * GIB) == 25 * GIB
    busy = MachineMemory(available_bytes=30 * GIB, gpu_limit_bytes=48 * GIB, gpu_used_bytes=40 * GIB)
    assert headroom_bytes(busy, 20 * GIB, 3 * GIB) == 5 * GIB
    assert headroom_bytes(MachineMemory(), 20 * GIB, 0) is None


def test_swap_grows_only_against_the_last_half_minute() -> None:
    swap = SwapGrowth()
    assert swap.add(0.0, 5 * GIB) is None
    assert swap.add(2.0, 6 * GIB) == GIB
    assert swap.add(40.0, 6 * GIB) is None
    assert swap.add(42.0, 6 * GIB) == 0
    assert swap.add(43.0, None) is None
