from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.telemetry.kv import (
    LlamaCppCache,
    MlxCache,
    largest_context_tokens,
    needed_bytes,
    shape_from_gguf,
    shape_from_source,
)
from agentui.telemetry.kv.report import llama_cpp_report, mlx_report, table_rows
from tests.unit.telemetry.kv.cases import ENGINE_CASES, GEMMA_26B, QWEN_35

GIB = 1 << 30
GEMMA = shape_from_source(GEMMA_26B)


@given(
    case=st.sampled_from(ENGINE_CASES),
    budget_bytes=st.integers(0, 40 * GIB),
    settings=st.sampled_from([LlamaCppCache(), LlamaCppCache(parallel=4, unified=False), MlxCache()]),
)
def test_the_largest_context_fits_and_the_next_does_not(
    case: dict[str, dict[str, object]], budget_bytes: int, settings: LlamaCppCache | MlxCache
) -> None:
    shape = shape_from_gguf(case["metadata"])
    largest = largest_context_tokens(shape, settings, budget_bytes)
    assert largest % 256 == 0
    assert largest <= shape.trained_context_tokens
    if largest:
        assert needed_bytes(shape, settings, largest) <= budget_bytes
    if largest < shape.trained_context_tokens:
        assert needed_bytes(shape, settings, largest + 256) > budget_bytes


def test_a_given_maximum_replaces_the_trained_context() -> None:
    assert largest_context_tokens(GEMMA, LlamaCppCache(), 100 * GIB) == 262_144
    assert largest_context_tokens(GEMMA, LlamaCppCache(), 100 * GIB, maximum_tokens=65_536) == 65_536
    assert largest_context_tokens(GEMMA, LlamaCppCache(), 1000) == 0


def test_needs_of_mlx_include_the_prefill_transient() -> None:
    assert needed_bytes(GEMMA, MlxCache(), 8192) == 8192 * 20_480 + 3071 * 204_800


def test_the_json_has_the_promised_fields_for_llama_cpp() -> None:
    report = llama_cpp_report(GEMMA, LlamaCppCache(32_768, parallel=4), 1000)
    assert json.loads(json.dumps(report.to_json())) == {
        "architecture": "gemma4",
        "engine": "llama.cpp",
        "layers": {"full": 5, "sliding": 25, "recurrent": 0, "shared": 0},
        "cells": {"full": 32_768, "sliding": 4608, "streams": 1},
        "allocated_bytes": {
            "full": {"k": 335_544_320, "v": 335_544_320},
            "sliding": {"k": 471_859_200, "v": 471_859_200},
            "recurrent": 0,
            "total": 1_614_807_040,
        },
        "filled_bytes": 225_280_000,
        "bytes_per_token": {"full": 20_480, "sliding": 204_800},
        "checkpoint_bytes": 204_800_000,
        "confidence": "exact",
    }


def test_the_json_has_the_promised_fields_for_mlx() -> None:
    assert mlx_report(shape_from_source(QWEN_35), MlxCache(), 1000).to_json() == {
        "architecture": "qwen35",
        "engine": "mlx",
        "layers": {"full": 8, "sliding": 0, "recurrent": 24, "shared": 0},
        "cells": {"full": 1024, "sliding": 0, "streams": 1},
        "allocated_bytes": {
            "full": {"k": 16_777_216, "v": 16_777_216},
            "sliding": {"k": 0, "v": 0},
            "recurrent": 24 * (3 * 8192 * 2 + 128 * 4096 * 4),
            "total": 33_554_432 + 24 * (3 * 8192 * 2 + 128 * 4096 * 4),
        },
        "filled_bytes": 32_768_000 + 24 * (3 * 8192 * 2 + 128 * 4096 * 4),
        "bytes_per_token": {"full": 32_768, "sliding": 0},
        "checkpoint_bytes": 0,
        "confidence": "estimate",
    }


@pytest.mark.parametrize("settings", [LlamaCppCache(), MlxCache()])
def test_the_table_has_a_row_for_each_context_and_marks_the_untrained(
    settings: LlamaCppCache | MlxCache,
) -> None:
    small = shape_from_gguf(next(case["metadata"] for case in ENGINE_CASES if case["geometry"] == "qwen3-8b"))
    rows = table_rows(small, settings)
    assert [row.context_tokens for row in rows] == [4096 << shift for shift in range(7)]
    assert [row.is_trained for row in rows] == [True] * 4 + [False] * 3
    assert all(row.filled_bytes <= row.allocated_bytes for row in rows)
