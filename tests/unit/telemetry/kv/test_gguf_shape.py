from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.errors import ModelFileError, UsageError
from agentui.telemetry.kv import LayerKind, LlamaCppCache, ModelShape, llama_cpp, shape_from_gguf
from agentui.telemetry.kv.architecture import rule_for
from tests.unit.telemetry.kv.cases import metadata_of

KIB = 1 << 10
BASE: dict[str, Any] = {
    "block_count": 12,
    "embedding_length": 1024,
    "context_length": 8192,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 32,
}


def shape_of(architecture: str, **changes: Any) -> ModelShape:
    """A twelve-layer model; `__` in a name stands for a dot, None takes a key out."""
    keys = BASE | {name.replace("__", "."): value for name, value in changes.items()}
    metadata: dict[str, Any] = {
        f"{architecture}.{key}": value for key, value in keys.items() if value is not None
    }
    return shape_from_gguf({"general.architecture": architecture, **metadata})


def pattern(shape: ModelShape) -> str:
    return "".join(layer.kind.value[0] for layer in shape.layers)


@pytest.mark.parametrize(
    ("architecture", "changes", "expected", "window"),
    [
        ("gemma2", {}, "sf" * 6, 4096),
        ("gemma2", {"attention__sliding_window": 512}, "sf" * 6, 512),
        ("gemma2", {"attention__sliding_window_pattern": 3}, "ssf" * 4, 4096),
        ("gemma3", {"attention__sliding_window": 512}, "sssssf" * 2, 512),
        ("gemma3", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 4}, "sssf" * 3, 512),
        ("gemma3", {}, "f" * 12, 0),
        ("gpt-oss", {"attention__sliding_window": 128}, "sf" * 6, 128),
        ("cohere2", {"attention__sliding_window": 128}, "sssf" * 3, 128),
        ("olmo2", {"attention__sliding_window": 128}, "sssf" * 3, 128),
        ("olmo2", {}, "f" * 12, 0),
        ("llama4", {}, "sssf" * 3, 8192),
        ("llama4", {"attention__sliding_window": 77}, "sssf" * 3, 8192),
        ("llama4", {"attention__sliding_window": 0}, "f" * 12, 0),
        ("phi3", {"attention__sliding_window": 512}, "f" * 12, 0),
        ("llama", {"attention__sliding_window": 512}, "f" * 12, 0),
        ("gemma3", {"attention__sliding_window": 9, "attention__sliding_window_pattern": 0}, "s" * 12, 9),
        ("gemma3", {"attention__sliding_window": 9, "attention__sliding_window_pattern": 1}, "f" * 12, 0),
    ],
)
def test_layers_slide_as_the_architecture_has_it(
    architecture: str, changes: dict[str, Any], expected: str, window: int
) -> None:
    shape = shape_of(architecture, **changes)
    assert (pattern(shape), shape.window_tokens, shape.is_exact) == (expected, window, True)


@pytest.mark.parametrize("architecture", ["gemma3", "gpt-oss"])
def test_a_list_that_differs_from_the_familys_period_is_ignored_and_makes_an_estimate(
    architecture: str,
) -> None:
    plain = shape_of(architecture, attention__sliding_window=128)
    listed = shape_of(
        architecture, attention__sliding_window=128, attention__sliding_window_pattern=[False] * 12
    )
    assert listed.layers == plain.layers
    assert not listed.is_exact
    same = [letter == "s" for letter in pattern(plain)]
    assert (
        shape_of(architecture, attention__sliding_window=128, attention__sliding_window_pattern=same) == plain
    )


def test_only_the_exaone_4_of_64_layers_slides() -> None:
    large = shape_of("exaone4", block_count=64, attention__sliding_window=512)
    assert (pattern(large), large.window_tokens) == ("sssf" * 16, 512)
    assert shape_of("exaone4", block_count=64).window_tokens == 4096
    assert pattern(shape_of("exaone4", attention__sliding_window=512)) == "f" * 12


def test_gemma_4_needs_its_list_and_says_so() -> None:
    flags = [True, False, True] * 4
    shape = shape_of("gemma4", attention__sliding_window=64, attention__sliding_window_pattern=flags)
    assert (pattern(shape), shape.is_exact) == ("sfs" * 4, True)
    without = shape_of("gemma4", attention__sliding_window=64)
    assert not without.is_exact
    assert "missing" in without.notes[0]


def test_the_last_layers_of_gemma_4_share_and_only_20_of_gemma_3n_own() -> None:
    flags = [True, True, False] * 4
    shared = shape_of(
        "gemma4",
        attention__sliding_window=64,
        attention__sliding_window_pattern=flags,
        attention__shared_kv_layers=5,
    )
    assert pattern(shared) == "ssfssfs" + "s" * 5
    assert (shared.count(LayerKind.SHARED), shared.count(LayerKind.SLIDING)) == (5, 5)
    gemma3n = shape_of("gemma3n", block_count=35, attention__sliding_window=512, attention__shared_kv_layers=3)
    assert gemma3n.count(LayerKind.SHARED) == 15
    assert (gemma3n.count(LayerKind.FULL), gemma3n.count(LayerKind.SLIDING)) == (4, 16)


def test_gemma_3n_e4b_takes_8_and_32_kib_per_token() -> None:
    shape = shape_of(
        "gemma3n",
        block_count=35,
        attention__sliding_window=512,
        attention__key_length=256,
        attention__value_length=256,
    )
    row = llama_cpp.rows(shape, LlamaCppCache())
    assert (row.full, row.sliding) == (8 * KIB, 32 * KIB)


@pytest.mark.parametrize("architecture", ["llama", "mistral3"])
def test_mistrals_head_size_is_taken_from_its_key_not_from_its_width(architecture: str) -> None:
    shape = shape_of(
        architecture,
        block_count=40,
        embedding_length=5120,
        attention__head_count=32,
        attention__head_count_kv=8,
        attention__key_length=128,
        attention__value_length=128,
    )
    assert llama_cpp.rows(shape, LlamaCppCache()).full == 160 * KIB


def test_sliding_layers_have_their_own_head_sizes() -> None:
    shape = shape_of(
        "cohere2", attention__sliding_window=64, attention__key_length_swa=16, attention__value_length_swa=8
    )
    assert {(one.kind, one.k_dim, one.v_dim) for one in shape.layers} == {
        (LayerKind.SLIDING, 16, 8),
        (LayerKind.FULL, 64, 32),
    }


def test_absent_keys_fall_back_to_heads_and_width() -> None:
    shape = shape_of(
        "llama", attention__head_count_kv=None, attention__key_length=None, attention__value_length=None
    )
    assert {(one.kv_heads, one.k_dim, one.v_dim) for one in shape.layers} == {(8, 128, 128)}


def test_latent_attention_keeps_k_alone_and_older_files_keep_both() -> None:
    mla = shape_of(
        "deepseek2",
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
    )
    assert llama_cpp.rows(mla, LlamaCppCache()).full == 12 * 576 * 2
    old = shape_of(
        "deepseek2", attention__head_count_kv=16, attention__key_length=192, attention__value_length=128
    )
    assert llama_cpp.rows(old, LlamaCppCache()).full == 12 * 16 * 320 * 2


@pytest.mark.parametrize(
    ("architecture", "counted"), [("glm4moe", 12), ("llama", 12), ("qwen35", 11), ("step35", 11), ("hy-v3", 11)]
)
def test_prediction_layers_count_only_for_some(architecture: str, counted: int) -> None:
    shape = shape_of(architecture, nextn_predict_layers=1, ssm__state_size=8, ssm__inner_size=16)
    assert len(shape.layers) == counted


def test_a_hybrid_lists_its_recurrent_layers_or_has_an_interval() -> None:
    ssm = {"ssm__state_size": 8, "ssm__inner_size": 16, "ssm__conv_kernel": 4, "ssm__group_count": 2}
    assert pattern(shape_of("qwen3next", **ssm)) == "rrrf" * 3
    assert pattern(shape_of("qwen35moe", full_attention_interval=3, **ssm)) == "rrf" * 4
    flags = [True, False] * 6
    shape = shape_of("qwen35", attention__recurrent_layers=flags, **ssm)
    assert pattern(shape) == "rf" * 6
    assert {(one.conv_elements, one.state_elements) for one in shape.layers} == {(3 * 48, 128), (0, 0)}


@pytest.mark.parametrize(
    ("architecture", "keys", "conv", "state"),
    [
        ("lfm2", {"shortconv__l_cache": 3}, 2048, 0),
        ("lfm2moe", {"shortconv__l_cache": 4}, 3072, 0),
        ("jamba", {"ssm__conv_kernel": 4, "ssm__inner_size": 100, "ssm__state_size": 16}, 300, 1600),
        ("granitehybrid", {"ssm__conv_kernel": 4, "ssm__inner_size": 100, "ssm__state_size": 16}, 300, 1600),
        ("kimi-linear", {"ssm__conv_kernel": 4, "kda__head_dim": 16}, 3 * 3 * 8 * 16, 16 * 16 * 8),
    ],
)
def test_layers_without_kv_heads_are_recurrent(
    architecture: str, keys: dict[str, int], conv: int, state: int
) -> None:
    kv_heads = [0, 0, 2] * 4
    shape = shape_of(architecture, attention__head_count_kv=kv_heads, **keys)
    assert pattern(shape) == "rrf" * 4
    found = llama_cpp.allocated_bytes(shape, LlamaCppCache(256, parallel=3))
    assert (found.recurrent_conv, found.recurrent_state) == (8 * 4 * conv * 3, 8 * 4 * state * 3)


def test_nemotron_h_has_layers_without_any_memory() -> None:
    shape = shape_of(
        "nemotron_h",
        attention__head_count_kv=[0, 0, 2] * 4,
        feed_forward_length=[0, 4096, 0] * 4,
        ssm__state_size=8,
        ssm__inner_size=16,
    )
    assert pattern(shape) == "rnf" * 4


def test_falcon_h1_has_state_beside_its_attention() -> None:
    shape = shape_of("falcon-h1", ssm__state_size=8, ssm__inner_size=16, ssm__conv_kernel=4)
    assert (shape.count(LayerKind.FULL), shape.count(LayerKind.RECURRENT)) == (12, 12)
    assert llama_cpp.allocated_bytes(shape, LlamaCppCache(256)).recurrent_state == 12 * 128 * 4


@pytest.mark.parametrize(
    ("architecture", "keys", "conv", "state"),
    [
        ("mamba", {"ssm__conv_kernel": 4, "ssm__inner_size": 2048, "ssm__state_size": 16}, 6144, 32_768),
        ("rwkv6", {"wkv__head_size": 64}, 2048, 65_536),
        ("rwkv7", {"wkv__head_size": 64, "token_shift_count": 1}, 1024, 65_536),
    ],
)
def test_recurrent_models_have_no_cells(architecture: str, keys: dict[str, int], conv: int, state: int) -> None:
    shape = shape_of(architecture, attention__head_count=None, attention__head_count_kv=None, **keys)
    settings = LlamaCppCache(parallel=2)
    found = llama_cpp.allocated_bytes(shape, settings)
    assert found.total == found.recurrent == 2 * 12 * 4 * (conv + state)
    assert llama_cpp.cells(shape, settings).full == 0
    assert llama_cpp.filled_bytes(shape, settings, 50) == found.total // 2


def test_an_unknown_architecture_is_a_full_cache_and_says_so() -> None:
    shape = shape_of("brandnew", attention__sliding_window=64)
    assert pattern(shape) == "f" * 12
    assert not shape.is_exact
    assert "unknown" in shape.notes[0]


@pytest.mark.parametrize("architecture", ["deepseek32", "deepseek4", "minimax-m3", "mimo2"])
def test_caches_of_another_kind_are_estimates(architecture: str) -> None:
    assert not shape_of(architecture).is_exact
    assert rule_for(architecture).doubt


def test_an_embedding_model_keeps_nothing() -> None:
    shape = shape_of("bert")
    assert llama_cpp.allocated_bytes(shape, LlamaCppCache()).total == 0
    assert not shape.is_exact


@pytest.mark.parametrize(
    "changes",
    [
        {"block_count": None},
        {"block_count": 0},
        {"block_count": 2**31},
        {"block_count": "12"},
        {"block_count": True},
        {"attention__head_count": None, "attention__head_count_kv": None},
        {"attention__head_count_kv": [2] * 11},
        {"attention__head_count_kv": [2.5] * 12},
        {"attention__head_count_kv": -1},
        {"attention__key_length": 0},
        {"attention__key_length": 2**60},
        {"context_length": float("nan")},
        {"context_length": float("inf")},
    ],
)
def test_metadata_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError):
        shape_of("llama", **changes)


def test_other_files_are_named_for_what_they_are() -> None:
    with pytest.raises(ModelFileError, match="mmproj"):
        shape_from_gguf({"general.architecture": "clip"})
    with pytest.raises(ModelFileError, match=r"general\.architecture"):
        shape_from_gguf({})
    with pytest.raises(ModelFileError, match=r"no usable llama\.block_count"):
        shape_from_gguf({"general.architecture": "llama"})
    with pytest.raises(ModelFileError, match=r"full_attention_interval"):
        shape_of("qwen35", full_attention_interval=0)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=16,
)
KEYS = [*BASE, "nextn_predict_layers", "full_attention_interval", "feed_forward_length"]
KEYS += [f"attention.{name}" for name in ("key_length_swa", "sliding_window", "sliding_window_pattern")]
KEYS += [f"attention.{name}" for name in ("shared_kv_layers", "key_length_mla", "value_length_mla")]
KEYS += [f"ssm.{name}" for name in ("conv_kernel", "inner_size", "state_size", "group_count")]
KEYS += ["attention.recurrent_layers", "shortconv.l_cache", "kda.head_dim", "wkv.head_size"]
ARCHITECTURES = ["llama", "gemma2", "gemma3n", "gemma4", "qwen35", "lfm2", "nemotron_h", "falcon-h1", "rwkv6"]
ARCHITECTURES += ["deepseek2", "llama4", "other", "bert"]


@settings(max_examples=400, deadline=2000)
@given(
    architecture=st.sampled_from(ARCHITECTURES),
    changes=st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6),
    base=st.booleans(),
)
def test_any_metadata_gives_a_size_or_a_clear_refusal(
    architecture: str, changes: dict[str, Any], base: bool
) -> None:
    keys = (BASE if base else {}) | changes
    metadata = {f"{architecture}.{key}": value for key, value in keys.items()}
    try:
        shape = shape_from_gguf({"general.architecture": architecture, **metadata})
        found = llama_cpp.allocated_bytes(shape, LlamaCppCache(4096, parallel=2, flash_attention="off"))
    except (ModelFileError, UsageError):
        return
    assert found.total >= 0


def test_recorded_metadata_with_a_vocabulary_size_is_known() -> None:
    assert shape_from_gguf(metadata_of("tiny-lfm2")).vocab_tokens == 512
