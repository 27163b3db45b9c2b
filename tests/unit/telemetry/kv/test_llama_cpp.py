from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.errors import UsageError
from agentui.telemetry.kv import (
    LayerKind,
    LlamaCppCache,
    builtin_shape,
    llama_cpp,
    shape_from_gguf,
    shape_from_source,
)
from tests.unit.telemetry.kv.cases import ENGINE_CASES, GEMMA_12B, GEMMA_26B, QWEN_35, metadata_of, one_layer

KIB, MIB = 1 << 10, 1 << 20

# Context, one slot, four unified slots, the same at q8_0, filled by one sequence: published for Gemma 4.
TABLE_26B = [
    (4096, 398_458_880, 922_746_880, 490_209_280, 293_601_280),
    (32_768, 985_661_440, 1_614_807_040, 857_866_240, 880_803_840),
    (131_072, 2_998_927_360, 3_628_072_960, 1_927_413_760, 2_894_069_760),
    (262_144, 5_683_281_920, 6_312_427_520, 3_353_477_120, 5_578_424_320),
]
TABLE_12B = [
    (4096, 570_425_344, 1_409_286_144, 748_683_264, 402_653_184),
    (32_768, 1_040_187_392, 2_046_820_352, 1_087_373_312, 872_415_232),
    (131_072, 2_650_800_128, 3_657_433_088, 1_943_011_328, 2_483_027_968),
    (262_144, 4_798_283_776, 5_804_916_736, 3_083_862_016, 4_630_511_616),
]


@pytest.mark.parametrize(
    ("path", "row"),
    [(GEMMA_26B, row) for row in TABLE_26B] + [(GEMMA_12B, row) for row in TABLE_12B],
    ids=lambda value: value.name if isinstance(value, Path) else str(value[0]),
)
def test_gemma_4_takes_the_published_bytes(path: Path, row: tuple[int, int, int, int, int]) -> None:
    context, one_slot, four_slots, four_slots_q8, filled = row
    shape = shape_from_source(path)
    one = LlamaCppCache(context_tokens=context)
    four = replace(one, parallel=4)
    assert llama_cpp.allocated_bytes(shape, one).total == one_slot
    assert llama_cpp.allocated_bytes(shape, four).total == four_slots
    q8 = replace(four, cache_k="q8_0", cache_v="q8_0")
    assert llama_cpp.allocated_bytes(shape, q8).total == four_slots_q8
    assert llama_cpp.filled_bytes(shape, one, context) == filled
    assert llama_cpp.checkpoint_bytes(shape, one, context) == (200 if path == GEMMA_26B else 320) * MIB


def test_the_trained_context_is_used_when_none_is_given() -> None:
    shape = shape_from_source(GEMMA_26B)
    assert llama_cpp.allocated_bytes(shape, LlamaCppCache()).total == TABLE_26B[-1][1]
    with pytest.raises(UsageError, match="context length"):
        llama_cpp.cells(one_layer(8, 128), LlamaCppCache())


@pytest.mark.parametrize(
    ("settings", "full", "sliding", "streams"),
    [
        (LlamaCppCache(5000), 5120, 1536, 1),
        (LlamaCppCache(10_000, parallel=3, unified=False), 3584, 1536, 3),
        (LlamaCppCache(10_000, parallel=3), 10_240, 3584, 1),
        (LlamaCppCache(100), 256, 256, 1),
        (LlamaCppCache(4096, parallel=4), 4096, 4096, 1),
        (LlamaCppCache(65_536, batch=256), 65_536, 1280, 1),
        (LlamaCppCache(65_536, ubatch=1), 65_536, 1280, 1),
        (LlamaCppCache(65_536, swa_full=True), 65_536, 65_536, 1),
        (LlamaCppCache(1024, parallel=8, unified=False), 256, 256, 8),
    ],
)
def test_cells_are_padded_to_256_in_every_stream(
    settings: LlamaCppCache, full: int, sliding: int, streams: int
) -> None:
    cells = llama_cpp.cells(shape_from_source(GEMMA_26B), settings)
    assert (cells.full, cells.sliding, cells.streams) == (full, sliding, streams)


def test_the_27b_hybrid_of_a_public_lm_studio_log_is_met() -> None:
    """16384 MiB in 262144 cells of 16 layers, and 598.5 MiB of state for 4 sequences on one stream."""
    metadata: dict[str, object] = {
        "general.architecture": "qwen35",
        "qwen35.block_count": 64,
        "qwen35.attention.head_count": 24,
        "qwen35.attention.head_count_kv": 4,
        "qwen35.attention.key_length": 256,
        "qwen35.attention.value_length": 256,
        "qwen35.ssm.conv_kernel": 4,
        "qwen35.ssm.inner_size": 6144,
        "qwen35.ssm.state_size": 128,
        "qwen35.ssm.group_count": 16,
    }
    shape = shape_from_gguf(metadata)
    found = llama_cpp.allocated_bytes(shape, LlamaCppCache(262_144, parallel=4))
    assert found.full == 16_384 * MIB
    assert found.recurrent == int(598.5 * MIB)
    assert (shape.count(LayerKind.FULL), shape.count(LayerKind.RECURRENT)) == (16, 48)


def test_filling_counts_each_sequence_and_stops_at_the_window_and_at_the_cells() -> None:
    shape = shape_from_source(GEMMA_26B)
    settings = LlamaCppCache(32_768, parallel=4)
    assert llama_cpp.filled_bytes(shape, settings, 1000) == 1000 * 220 * KIB
    assert llama_cpp.filled_bytes(shape, settings, [1000, 3000]) == (1000 * 220 + 3000 * 20 + 1024 * 200) * KIB
    assert llama_cpp.filled_bytes(shape, settings, 10**6) == (32_768 * 20 + 1024 * 200) * KIB
    separate = replace(settings, unified=False)
    assert llama_cpp.filled_bytes(shape, separate, 10**6) == (8192 * 20 + 1024 * 200) * KIB


def test_a_hybrids_state_is_constant_and_is_its_checkpoint() -> None:
    shape = shape_from_source(QWEN_35)
    settings = LlamaCppCache(8192, cache_k="q8_0", cache_v="q8_0")
    state = int(50.25 * MIB)
    assert llama_cpp.checkpoint_bytes(shape, settings, 10) == state
    assert llama_cpp.filled_bytes(shape, settings, 0) == state
    assert llama_cpp.filled_bytes(shape, settings, 100) == state + 100 * 17_408
    doubled = llama_cpp.allocated_bytes(shape, replace(settings, rollback_states=1))
    assert doubled.recurrent == 2 * state


def test_a_plain_model_needs_no_checkpoints() -> None:
    shape = shape_from_gguf(metadata_of("llama-3.1-8b"))
    assert llama_cpp.checkpoint_bytes(shape, LlamaCppCache(), 5000) == 0
    assert llama_cpp.checkpoints_upper_bytes(shape, LlamaCppCache(), [5000]) == 0


def test_checkpoints_grow_from_four_by_one_for_8192_tokens_up_to_the_limit() -> None:
    shape = shape_from_source(GEMMA_26B)
    settings = LlamaCppCache(262_144)
    one = 200 * MIB
    assert llama_cpp.checkpoints_upper_bytes(shape, settings, [5000, 0]) == 4 * one
    assert llama_cpp.checkpoints_upper_bytes(shape, settings, [65_536]) == 12 * one
    assert llama_cpp.checkpoints_upper_bytes(shape, settings, [262_144, 262_144]) == 64 * one
    assert llama_cpp.checkpoints_upper_bytes(shape, settings, [65_536], per_slot=0) == 0


def test_checkpoints_leave_out_the_padding_of_v() -> None:
    shape = shape_from_source(GEMMA_12B)
    padded = LlamaCppCache(4096, flash_attention="off")
    assert llama_cpp.checkpoint_bytes(shape, padded, 4096) == 320 * MIB
    assert llama_cpp.rows(shape, padded).full_v == 4 * llama_cpp.rows(shape, padded, padded=False).full_v


def test_auto_flash_attention_is_laid_out_like_on() -> None:
    shape = shape_from_source(GEMMA_12B)
    on = LlamaCppCache(4096, flash_attention="on")
    assert llama_cpp.allocated_bytes(shape, on) == llama_cpp.allocated_bytes(shape, LlamaCppCache(4096))


def test_latent_attention_stores_no_v_even_without_flash_attention() -> None:
    shape = shape_from_gguf(metadata_of("deepseek-v2-lite"))
    found = llama_cpp.allocated_bytes(shape, LlamaCppCache(4096, flash_attention="off"))
    assert (found.full_k, found.full_v) == (127_401_984, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"cache_k": "q6_k"},
        {"cache_v": "q8_0", "flash_attention": "off"},
        {"parallel": 0},
        {"context_tokens": -1},
        {"ubatch": 0},
    ],
)
def test_settings_no_engine_would_take_are_usage_errors(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LlamaCppCache(**change)


def test_rows_that_are_no_whole_blocks_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="blocks of 32"):
        llama_cpp.allocated_bytes(one_layer(1, 80), LlamaCppCache(256, cache_k="q8_0"))


def test_heads_that_are_no_whole_blocks_are_doubted_with_flash_attention() -> None:
    two_heads_of_48 = one_layer(2, 48)
    settings = LlamaCppCache(256, cache_k="q8_0", flash_attention="off")
    assert llama_cpp.allocated_bytes(two_heads_of_48, settings).full_k == 256 * 96 * 34 // 32
    assert not llama_cpp.doubts(two_heads_of_48, settings)
    (doubt,) = llama_cpp.doubts(two_heads_of_48, replace(settings, flash_attention="on"))
    assert "heads of 48 as q8_0" in doubt
    assert not llama_cpp.doubts(one_layer(2, 64), replace(settings, flash_attention="auto"))


def test_latent_attention_with_two_cache_types_is_doubted() -> None:
    latent = replace(one_layer(1, 576), is_mla=True)
    assert not llama_cpp.doubts(latent, LlamaCppCache(256, cache_k="q8_0", cache_v="q8_0"))
    (doubt,) = llama_cpp.doubts(latent, LlamaCppCache(256, cache_k="q8_0"))
    assert "different types" in doubt


@given(
    case=st.sampled_from(ENGINE_CASES),
    context=st.integers(1, 300_000),
    parallel=st.integers(1, 8),
    unified=st.booleans(),
    tokens=st.integers(0, 300_000),
    flash_attention=st.sampled_from(["on", "off"]),
)
def test_filled_never_exceeds_allocated_and_more_context_never_takes_less(
    case: dict[str, dict[str, object]],
    context: int,
    parallel: int,
    unified: bool,
    tokens: int,
    flash_attention: str,
) -> None:
    shape = shape_from_gguf(case["metadata"])
    settings = LlamaCppCache(
        context, parallel, unified, flash_attention="off" if flash_attention == "off" else "on"
    )
    allocated = llama_cpp.allocated_bytes(shape, settings).total
    assert llama_cpp.filled_bytes(shape, settings, tokens) <= allocated
    assert allocated <= llama_cpp.allocated_bytes(shape, replace(settings, context_tokens=context + 1)).total


@pytest.mark.parametrize(
    ("name", "full_kib", "sliding_kib"),
    [("26b-a4b", 20, 200), ("12b", 16, 320), ("31b", 80, 800), ("e4b", 16, 40), ("e2b", 6, 12)],
)
def test_the_builtin_table_gives_the_published_bytes_per_token(
    name: str, full_kib: int, sliding_kib: int
) -> None:
    shape = builtin_shape(f"google/gemma-4-{name}")
    assert shape is not None
    row = llama_cpp.rows(shape, LlamaCppCache())
    assert (row.full, row.sliding) == (full_kib * KIB, sliding_kib * KIB)
