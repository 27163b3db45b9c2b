from __future__ import annotations

from typing import Any

import pytest

from agentui.telemetry.kv import LayerKind, MlxCache, llama_cpp, mlx, shape_from_gguf
from tests.unit.telemetry.kv.cases import ENGINE_CASES, MLX_CASES, encode, one_layer, settings_of, slots_after

MIB = 1 << 20


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case["id"])
def test_allocated_bytes_equal_what_llama_server_printed(case: dict[str, Any]) -> None:
    shape, settings = shape_from_gguf(case["metadata"]), settings_of(case["load"])
    found = llama_cpp.allocated_bytes(shape, settings)
    cells = llama_cpp.cells(shape, settings)
    printed = case["engine"]["kv_caches"]
    halves = [(found.full_k, found.full_v, cells.full), (found.sliding_k, found.sliding_v, cells.sliding)]
    for line, (k_bytes, v_bytes, places) in zip(printed, halves, strict=False):
        assert f"{k_bytes / MIB:.2f}" == f"{line['k_mib']:.2f}"
        assert f"{v_bytes / MIB:.2f}" == f"{line['v_mib']:.2f}"
        assert (places, cells.streams) == (line["cells"], line["streams"])
    if len(printed) == 1:
        assert (found.sliding, cells.sliding) == (0, 0)
    for line in case["engine"]["recurrent"]:
        assert f"{found.recurrent_conv / MIB:.2f}" == f"{line['r_mib']:.2f}"
        assert f"{found.recurrent_state / MIB:.2f}" == f"{line['s_mib']:.2f}"


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case["id"])
def test_allocated_bytes_equal_the_checked_formula_to_the_byte(case: dict[str, Any]) -> None:
    shape = shape_from_gguf(case["metadata"])
    found = llama_cpp.allocated_bytes(shape, settings_of(case["load"]))
    exact = case["exact_bytes"]
    full, sliding, recurrent = exact["full_attention"], exact["sliding_window"], exact["recurrent"]
    assert (found.full_k, found.full_v) == (full["k"], full["v"])
    assert (found.sliding_k, found.sliding_v) == (sliding["k"], sliding["v"])
    assert (found.recurrent_conv, found.recurrent_state) == (recurrent["r"], recurrent["s"])
    assert found.total == exact["total"]
    assert shape.count(LayerKind.FULL) == full["layers"]
    assert shape.count(LayerKind.SLIDING) == sliding["layers"]
    assert shape.count(LayerKind.RECURRENT) == recurrent["layers"]
    assert shape.is_exact


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case["id"])
def test_compute_buffer_estimate_is_within_a_third_of_the_engines(case: dict[str, Any]) -> None:
    shape = shape_from_gguf(case["metadata"])
    estimate = llama_cpp.compute_buffer_bytes(shape, settings_of(case["load"])) / MIB
    real = sum(case["engine"]["compute_buffer_mib"])
    assert 0.66 * real < estimate < 1.34 * real


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case["id"])
def test_recorded_metadata_survives_a_gguf_file(case: dict[str, Any], tmp_path: Any) -> None:
    from agentui.telemetry.kv import shape_from_source

    path = tmp_path / "model.gguf"
    path.write_bytes(encode(case["metadata"]))
    assert shape_from_source(path) == shape_from_gguf(case["metadata"])


@pytest.mark.parametrize("case", MLX_CASES, ids=lambda case: f"{case['geometry']}, {case['pushes']}")
def test_mlx_slots_and_bytes_equal_the_measured_caches(case: dict[str, Any]) -> None:
    window = case["window"] if case.get("window") else 0
    settings = MlxCache(kv_bits=case.get("bits"), group_size=case.get("group_size", 64))
    slots = slots_after(case["chunks"], window)
    assert (slots.tokens, slots.slots) == (case["tokens"], case["slots"])
    shape = one_layer(case["kv_heads"], case["head_dim"], window)
    full = slots_after(case["chunks"]).slots
    held = mlx.bytes_of_slots(shape, settings, full_slots=full, sliding_slots=slots.slots, tokens=slots.tokens)
    assert held.total == case["nbytes"]
