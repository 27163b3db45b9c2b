from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.errors import UsageError
from agentui.telemetry.kv import MlxCache, mlx, shape_from_gguf, shape_from_source
from agentui.telemetry.kv.mlx import LayerSlots
from tests.unit.telemetry.kv.cases import GEMMA_12B, GEMMA_26B, QWEN_35, metadata_of, one_layer, slots_after

KIB, MIB = 1 << 10, 1 << 20


def grown_one_by_one(pushes: Sequence[int], window: int) -> tuple[int, int]:
    """Slots and most slots after single pushes, told step by step from the documented rules."""
    slots = tokens = most = 0
    for count in pushes:
        if not window:
            if tokens + count > slots:
                slots = (tokens if tokens % 256 else slots) + -(-count // 256) * 256
        elif count > 1:
            slots = min(tokens, slots, window - 1) + count
        else:
            if slots < window and tokens >= slots:
                slots += min(256, window - tokens)
            slots = min(slots, window)
        tokens += count
        most = max(most, slots)
    return slots, most


RUNS = st.lists(
    st.tuples(st.integers(1, 3000), st.integers(1, 4)) | st.tuples(st.just(1), st.integers(1, 2000))
)


@given(runs=RUNS, window=st.sampled_from([0, 1, 128, 512, 1000, 1024]))
def test_jumping_over_runs_equals_taking_every_step(runs: list[tuple[int, int]], window: int) -> None:
    singly = [count for count, times in runs for _ in range(times)]
    slots = slots_after(runs, window)
    assert slots.slots == grown_one_by_one(singly, window)[0]
    assert slots.tokens == sum(singly)


@given(
    before=st.integers(0, 3000),
    tokens=st.integers(0, 20_000),
    chunk=st.sampled_from([256, 512, 2048]),
    window=st.sampled_from([0, 128, 1000, 1024, 5000]),
)
def test_a_prefill_equals_its_chunks_and_knows_its_peak(
    before: int, tokens: int, chunk: int, window: int
) -> None:
    chunks = [chunk] * (tokens // chunk) + [tokens % chunk] * (tokens % chunk > 0)
    start = LayerSlots(window).decode(before)
    slots, _ = grown_one_by_one([1] * before + chunks, window)
    assert start.prefill(tokens, chunk).slots == slots
    held = [start.slots]
    for index in range(len(chunks)):
        held.append(grown_one_by_one([1] * before + chunks[: index + 1], window)[0])
    assert start.prefill_peak_slots(tokens, chunk) == max(held)


def test_a_huge_prefill_is_counted_at_once() -> None:
    assert LayerSlots(1024).prefill(2**40 + 7).slots == 1023 + 7
    assert LayerSlots().prefill(2**40 + 7).slots == 2**40 + 256
    assert LayerSlots().decode(2**40 + 1).slots == 2**40 + 256


def test_a_prefill_of_gemma_4_holds_600_mib_for_a_moment_then_200() -> None:
    shape = shape_from_source(GEMMA_26B)
    after = mlx.allocated_bytes(shape, MlxCache(), 8192)
    assert after.sliding == 3071 * 200 * KIB
    assert after.full == 8192 * 20 * KIB
    assert mlx.settled_bytes(shape, MlxCache(), 8193).sliding == 200 * MIB
    assert mlx.settled_bytes(shape, MlxCache(), 8193).full == 8448 * 20 * KIB
    peak = mlx.prefill_peak_bytes(shape, MlxCache(), 10_000, cached_tokens=5000)
    assert peak.sliding == 3071 * 200 * KIB
    assert mlx.prefill_peak_bytes(shape_from_source(GEMMA_12B), MlxCache(), 9000).sliding == 3071 * 320 * KIB


def test_bytes_per_token_are_those_the_engine_logs() -> None:
    assert mlx.bytes_per_token(shape_from_source(GEMMA_26B), MlxCache(), 1)[0] == 20_480
    assert mlx.bytes_per_token(shape_from_source(GEMMA_12B), MlxCache(), 1)[0] == 16_384


def test_live_tokens_are_counted_per_sequence() -> None:
    shape = shape_from_source(GEMMA_26B)
    assert (
        mlx.filled_bytes(shape, MlxCache(parallel=4), [1000, 3000])
        == (1000 * 220 + 3000 * 20 + 1024 * 200) * KIB
    )
    assert mlx.allocated_bytes(shape, MlxCache(parallel=3), 256).total == 3 * 256 * 220 * KIB


def test_quantization_starts_at_its_token_and_keeps_the_slots() -> None:
    shape = one_layer(2, 512)
    settings = MlxCache(kv_bits=8, quantized_from_tokens=mlx.LM_STUDIO_QUANTIZED_FROM_TOKENS)
    assert mlx.allocated_bytes(shape, settings, 4999).total == 5120 * 4096
    assert mlx.allocated_bytes(shape, settings, 5000).total == 5120 * 2176
    assert mlx.bytes_of_slots(shape, settings, full_slots=1, sliding_slots=0, tokens=5000).total == 2176


def test_sliding_caches_cannot_be_quantized() -> None:
    with pytest.raises(UsageError, match="sliding"):
        mlx.allocated_bytes(shape_from_source(GEMMA_26B), MlxCache(kv_bits=8), 100)
    with pytest.raises(UsageError, match="groups of 64"):
        mlx.allocated_bytes(one_layer(8, 80), MlxCache(kv_bits=8), 100)


def test_gemma_2_keeps_all_tokens_in_its_sliding_layers() -> None:
    metadata = {
        "general.architecture": "gemma2",
        "gemma2.block_count": 4,
        "gemma2.attention.head_count": 8,
        "gemma2.attention.key_length": 64,
        "gemma2.attention.value_length": 64,
        "gemma2.attention.sliding_window": 512,
    }
    shape = shape_from_gguf(metadata)
    found = mlx.allocated_bytes(shape, MlxCache(), 4096)
    assert found.sliding == found.full == 2 * 4096 * 8 * 128 * 2
    assert mlx.settled_bytes(shape, MlxCache(), 4096).sliding == found.sliding
    assert mlx.filled_bytes(shape, MlxCache(), 4000) == 4 * 4000 * 8 * 128 * 2


def test_prediction_layers_have_a_cache_in_llama_cpp_only() -> None:
    shape = shape_from_gguf(metadata_of("glm-4.5-air"))
    assert mlx.bytes_per_token(shape, MlxCache(), 1)[0] == 46 * 4096


def test_a_hybrid_is_an_estimate_in_mlx() -> None:
    shape = shape_from_source(QWEN_35)
    found = mlx.allocated_bytes(shape, MlxCache(), 256)
    assert found.recurrent_state == 24 * 128 * 4096 * 4
    assert found.recurrent_conv == 24 * 3 * 8192 * 2
    assert mlx.doubts(shape)
    assert not mlx.doubts(shape_from_source(GEMMA_26B))


@pytest.mark.parametrize(
    "change",
    [{"kv_bits": 7}, {"group_size": 48}, {"parallel": 0}, {"prefill_chunk_tokens": 100}, {"itemsize_bytes": 1}],
)
def test_settings_mlx_would_not_take_are_usage_errors(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MlxCache(**change)
