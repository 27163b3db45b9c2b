"""Element types a cache can be stored in, and the size of one row."""

from __future__ import annotations

from agentui.errors import UsageError

GGML_TYPES: dict[str, tuple[int, int]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
"""Elements per block and bytes per block of the nine types llama.cpp takes for `-ctk` and `-ctv`."""

FLOAT_TYPES = frozenset({"f32", "f16", "bf16"})


def require_type(name: str) -> None:
    """Check that llama.cpp knows a cache type.

    Raises:
        UsageError: It does not.
    """
    if name not in GGML_TYPES:
        raise UsageError(
            f"{name!r} is not a cache type", hint=f"use one of {', '.join(GGML_TYPES)}; f16 is the default"
        )


def row_bytes(elements: int, cache_type: str) -> int:
    """Bytes of one token's K or V in one layer.

    Raises:
        UsageError: The row is not a whole number of the type's blocks; the engine refuses such a cache.
    """
    block, block_bytes = GGML_TYPES[cache_type]
    if elements % block:
        raise UsageError(
            f"a row of {elements} elements cannot be stored as {cache_type} (blocks of {block})",
            hint="use f16 or bf16 for this model's cache",
        )
    return elements // block * block_bytes


def mlx_row_bytes(elements: int, bits: int, group_size: int, itemsize_bytes: int) -> int:
    """Bytes of one row of MLX's quantized cache: packed values plus a scale and a bias for each group.

    Raises:
        UsageError: The row is not a whole number of groups.
    """
    if elements % group_size:
        raise UsageError(
            f"a row of {elements} elements cannot be quantized in groups of {group_size}",
            hint="use a group size that divides the head dimension, or no cache quantization",
        )
    return elements * bits // 8 + 2 * (elements // group_size) * itemsize_bytes
