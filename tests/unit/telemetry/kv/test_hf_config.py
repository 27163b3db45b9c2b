from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.errors import ModelFileError, UsageError
from agentui.telemetry.kv import (
    LayerKind,
    LlamaCppCache,
    MlxCache,
    ModelShape,
    builtin_shape,
    llama_cpp,
    mlx,
    shape_from_config,
    shape_from_gguf,
    shape_from_source,
)
from tests.unit.telemetry.kv.cases import GEMMA_12B, GEMMA_26B, metadata_of

KIB = 1 << 10
PLAIN: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "hidden_size": 1024,
    "max_position_embeddings": 8192,
}
GEMMA_4_26B: dict[str, Any] = {
    "model_type": "gemma4",
    "vision_config": {"num_hidden_layers": 27},
    "text_config": {
        "model_type": "gemma4_text",
        "num_hidden_layers": 30,
        "hidden_size": 2816,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "global_head_dim": 512,
        "num_global_key_value_heads": 2,
        "attention_k_eq_v": True,
        "sliding_window": 1024,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
        "num_kv_shared_layers": 0,
        "max_position_embeddings": 262_144,
    },
}


def pattern(shape: ModelShape) -> str:
    names = {LayerKind.SHARED: "-"}
    return "".join(names.get(layer.kind, layer.kind.value[0]) for layer in shape.layers)


def test_a_gemma_4_config_gives_the_same_bytes_as_its_gguf() -> None:
    config, gguf = shape_from_config(GEMMA_4_26B), shape_from_source(GEMMA_26B)
    settings = LlamaCppCache(32_768, parallel=4)
    assert llama_cpp.allocated_bytes(config, settings) == llama_cpp.allocated_bytes(gguf, settings)
    assert mlx.allocated_bytes(config, MlxCache(), 5000) == mlx.allocated_bytes(gguf, MlxCache(), 5000)
    assert (config.architecture, config.is_exact, config.window_tokens) == ("gemma4", True, 1024)
    assert config.trained_context_tokens == 262_144


def test_global_head_counts_hold_only_where_k_and_v_share_a_weight() -> None:
    text: dict[str, Any] = GEMMA_4_26B["text_config"] | {"attention_k_eq_v": False}
    row = llama_cpp.rows(shape_from_config({"text_config": text}), LlamaCppCache())
    assert row.full == 5 * 8 * 1024 * 2


@pytest.mark.parametrize("name", ["{}", "{:02d}"])
def test_per_layer_overrides_replace_the_global_keys(name: str) -> None:
    text: dict[str, Any] = dict(GEMMA_4_26B["text_config"])
    for key in ("global_head_dim", "num_global_key_value_heads", "attention_k_eq_v"):
        del text[key]
    full = {"head_dim": 512, "num_key_value_heads": 2}
    text["per_layer_config"] = {name.format(index): full for index in range(5, 30, 6)}
    row = llama_cpp.rows(shape_from_config({"text_config": text}), LlamaCppCache())
    assert (row.full, row.sliding) == (20 * KIB, 200 * KIB)


def test_the_unified_12b_config_gives_the_bytes_of_its_gguf() -> None:
    text: dict[str, Any] = GEMMA_4_26B["text_config"] | {
        "model_type": "gemma4_unified_text",
        "num_hidden_layers": 48,
        "num_global_key_value_heads": 1,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 8,
    }
    shape = shape_from_config({"model_type": "gemma4_unified", "text_config": text})
    settings = LlamaCppCache(4096)
    gguf = llama_cpp.allocated_bytes(shape_from_source(GEMMA_12B), settings)
    assert llama_cpp.allocated_bytes(shape, settings) == gguf
    assert shape.is_exact


def test_shared_layers_own_no_cache() -> None:
    text: dict[str, Any] = GEMMA_4_26B["text_config"] | {"num_kv_shared_layers": 18}
    shape = shape_from_config({"text_config": text})
    assert pattern(shape) == "sssssfsssssf" + "-" * 18


@pytest.mark.parametrize(
    ("changes", "expected", "window"),
    [
        ({"model_type": "gemma3_text", "sliding_window": 512}, "sssssf" * 2, 512),
        ({"model_type": "gemma3", "sliding_window": 512, "sliding_window_pattern": 4}, "sssf" * 3, 512),
        ({"model_type": "gemma2"}, "sf" * 6, 4096),
        ({"model_type": "gpt_oss", "sliding_window": 128}, "sf" * 6, 128),
        ({"model_type": "cohere2", "sliding_window": 128}, "sssf" * 3, 128),
        ({"model_type": "llama4", "attention_chunk_size": 8192}, "sssf" * 3, 8192),
        ({"model_type": "mistral", "sliding_window": 4096}, "f" * 12, 0),
        ({"model_type": "phi3", "sliding_window": 2047}, "f" * 12, 0),
        (
            {"model_type": "qwen2", "sliding_window": 9, "layer_types": ["sliding_attention"] * 12},
            "f" * 12,
            0,
        ),
    ],
)
def test_layers_slide_as_the_family_has_it(changes: dict[str, Any], expected: str, window: int) -> None:
    shape = shape_from_config(PLAIN | changes)
    assert (pattern(shape), shape.window_tokens, shape.is_exact) == (expected, window, True)


@pytest.mark.parametrize(
    "layout",
    [
        {"layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 8},
        {"full_attention_interval": 4},
        {},
    ],
)
def test_a_linear_attention_config_gives_the_same_bytes_as_its_gguf(layout: dict[str, Any]) -> None:
    config = {
        "model_type": "qwen3_5",
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_size": 4096,
        "linear_num_value_heads": 32,
        "linear_num_key_heads": 16,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
    } | layout
    settings = LlamaCppCache(16_384, parallel=4)
    gguf = llama_cpp.allocated_bytes(shape_from_gguf(metadata_of("qwen3.5-9b")), settings)
    assert llama_cpp.allocated_bytes(shape_from_config(config), settings) == gguf


@pytest.mark.parametrize(
    "layout", [{"layer_types": ["conv", "conv", "full_attention"] * 2}, {"full_attn_idxs": [2, 5]}]
)
def test_a_short_convolution_config_gives_the_same_bytes_as_its_gguf(layout: dict[str, Any]) -> None:
    config = {
        "model_type": "lfm2",
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "hidden_size": 256,
        "conv_L_cache": 3,
    } | layout
    settings = LlamaCppCache(4096)
    gguf = llama_cpp.allocated_bytes(shape_from_gguf(metadata_of("tiny-lfm2")), settings)
    assert llama_cpp.allocated_bytes(shape_from_config(config), settings) == gguf


def test_latent_attention_is_recognised_by_its_rank() -> None:
    config = PLAIN | {
        "model_type": "deepseek_v3",
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    }
    shape = shape_from_config(config)
    assert shape.is_mla
    assert llama_cpp.rows(shape, LlamaCppCache()).full == 12 * 576 * 2
    assert mlx.bytes_per_token(shape, MlxCache(), 1)[0] == 12 * 576 * 2


@pytest.mark.parametrize("settings", [LlamaCppCache(4096), MlxCache()], ids=["llama.cpp", "mlx"])
def test_latent_attention_that_keeps_its_heads_is_counted_by_heads(settings: LlamaCppCache | MlxCache) -> None:
    latent = {"kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64}
    shape = shape_from_config(PLAIN | latent | {"model_type": "minicpm3", "num_key_value_heads": 16})
    if isinstance(settings, LlamaCppCache):
        found = llama_cpp.allocated_bytes(shape, settings)
    else:
        assert not mlx.doubts(shape)
        found = mlx.allocated_bytes(shape, settings, 4096)
    assert (found.full_k, found.full_v) == (12 * 16 * 96 * 2 * 4096, 12 * 16 * 64 * 2 * 4096)


@pytest.mark.parametrize(("written", "expected"), [("LLLG", "sssfsssfsssf"), ("GL", "fsfsfsfsfsfs")])
def test_a_pattern_of_letters_is_repeated_over_the_layers(written: str, expected: str) -> None:
    exaone = {"model_type": "exaone4", "sliding_window": 512, "sliding_window_pattern": written}
    assert pattern(shape_from_config(PLAIN | exaone)) == expected


def test_prediction_layers_come_on_top_of_the_hidden_ones() -> None:
    config = PLAIN | {
        "model_type": "glm4_moe",
        "num_hidden_layers": 46,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_nextn_predict_layers": 1,
    }
    shape = shape_from_config(config)
    assert llama_cpp.rows(shape, LlamaCppCache()).full == 188 * KIB
    assert mlx.bytes_per_token(shape, MlxCache(), 1)[0] == 184 * KIB
    assert shape_from_config(config | {"model_type": "llama"}).count(LayerKind.FULL) == 46


def test_absent_keys_fall_back_to_heads_and_width() -> None:
    config = {key: value for key, value in PLAIN.items() if key != "num_key_value_heads"}
    assert {(one.kv_heads, one.k_dim) for one in shape_from_config(config).layers} == {(16, 64)}


def test_indices_given_as_text_are_passed_over() -> None:
    assert pattern(shape_from_config(PLAIN | {"full_attn_idxs": ""})) == "f" * 12


def test_unknown_families_are_estimates_that_say_why() -> None:
    shape = shape_from_config(PLAIN | {"model_type": "brandnew"})
    assert not shape.is_exact
    assert "brandnew" in shape.notes[0]
    listed = shape_from_config(PLAIN | {"layer_types": ["full_attention", "strange"] * 6})
    assert "strange" in listed.notes[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": None},
        {"num_hidden_layers": None},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": "12"},
        {"num_attention_heads": None, "num_key_value_heads": None},
        {"num_key_value_heads": -4},
        {"layer_types": ["full_attention"] * 3},
        {"layer_types": [1] * 12},
        {"hidden_size": float("nan")},
        {"full_attn_idxs": ["2"]},
        {"model_type": "glm4_moe", "num_nextn_predict_layers": 10**9},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError):
        shape_from_config(PLAIN | changes)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=16,
)
KEYS = [*PLAIN, *GEMMA_4_26B["text_config"], "text_config", "per_layer_config", "kv_lora_rank"]
KEYS += ["full_attention_interval", "linear_num_value_heads", "linear_conv_kernel_dim", "conv_L_cache"]
KEYS += ["full_attn_idxs", "sliding_window_pattern", "num_nextn_predict_layers", "v_head_dim"]


@settings(max_examples=400, deadline=2000)
@given(
    model_type=st.sampled_from(["llama", "gemma4", "gemma3", "glm4_moe", "lfm2", "qwen3_5", "other"]),
    changes=st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6),
    is_nested=st.booleans(),
)
def test_any_config_gives_a_size_or_a_clear_refusal(
    model_type: str, changes: dict[str, Any], is_nested: bool
) -> None:
    config = PLAIN | {"model_type": model_type} | changes
    try:
        shape = shape_from_config({"text_config": config} if is_nested else config)
        found = mlx.allocated_bytes(shape, MlxCache(), 4096)
        llama_cpp.allocated_bytes(shape, LlamaCppCache(4096))
    except (ModelFileError, UsageError):
        return
    assert found.total >= 0


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("google/gemma-4-26b-a4b", (5, 25, 0)),
        ("gemma-4-12b-qat", (8, 40, 0)),
        ("lmstudio-community/gemma-4-31B-it-GGUF", (10, 50, 0)),
        ("mlx-community/gemma-4-e4b-it-4bit", (4, 20, 18)),
        ("gemma-4-E2B-it-Q4_K_M.gguf", (3, 12, 20)),
        ("gemma4:26b", (5, 25, 0)),
        ("google/gemma-4-26b-a4b@q8_0", (5, 25, 0)),
    ],
)
def test_gemma_4_is_known_by_name_and_marked(name: str, layers: tuple[int, int, int]) -> None:
    shape = builtin_shape(name)
    assert shape is not None
    kinds = (LayerKind.FULL, LayerKind.SLIDING, LayerKind.SHARED)
    assert tuple(shape.count(kind) for kind in kinds) == layers
    assert (shape.source, shape.is_exact) == ("table", False)
    assert shape.layers[-1].k_dim == 512


@pytest.mark.parametrize(
    "name",
    ["gemma-3-4b", "gemma-4b", "gemma-3-12b", "gemma-4-120b", "qwen3-4-12b", "gemma-4-26b-a4b-assistant", ""],
)
def test_other_models_are_not_taken_for_gemma_4(name: str) -> None:
    assert builtin_shape(name) is None


@pytest.mark.parametrize(
    ("name", "geometry"), [("26b-a4b", "26b-a4b"), ("12b", "12b"), ("e4b", "e4b"), ("e2b", "e2b")]
)
def test_the_table_agrees_with_the_files(name: str, geometry: str) -> None:
    shape = builtin_shape(f"gemma-4-{name}")
    assert shape is not None
    file = shape_from_gguf(metadata_of(f"gemma4-{geometry}"))
    assert shape.layers == file.layers
    assert shape.window_tokens == file.window_tokens
    assert shape.trained_context_tokens == file.trained_context_tokens
