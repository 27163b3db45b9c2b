from __future__ import annotations

from agentui.backends.base import LoadedInstance
from agentui.backends.lmstudio.listing import parse_openai, parse_v0, parse_v1

FULL = {
    "type": "llm",
    "publisher": "google",
    "key": "google/gemma-4-26b-a4b",
    "display_name": "Gemma 4 26B A4B",
    "architecture": "gemma4",
    "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
    "size_bytes": 17990911801,
    "params_string": "26B-A4B",
    "loaded_instances": [
        {
            "id": "google/gemma-4-26b-a4b",
            "config": {"context_length": 4096, "eval_batch_size": 512, "parallel": 4, "flash_attention": True},
        },
        {"id": "google/gemma-4-26b-a4b:2", "config": {"context_length": 8192}},
    ],
    "max_context_length": 262144,
    "format": "gguf",
    "capabilities": {"vision": True, "trained_for_tool_use": True},
    "description": None,
}


def test_the_native_listing_is_read_with_its_instances() -> None:
    (model,) = parse_v1({"models": [FULL]})
    assert model.is_loaded
    assert (model.kind, model.architecture, model.quantization, model.engine) == (
        "llm",
        "gemma4",
        "Q4_K_M",
        "gguf",
    )
    assert (model.size_bytes, model.trained_context_tokens) == (17990911801, 262144)
    assert model.trained_for_tools
    first, second = model.instances
    assert (first.context_tokens, first.parallel) == (4096, 4)
    assert first.settings["flash_attention"] is True
    assert second == LoadedInstance("google/gemma-4-26b-a4b:2", 8192, None, {"context_length": 8192})


def test_nulls_and_missing_fields_stay_unknown() -> None:
    bare = {"type": "llm", "key": "x", "quantization": None, "architecture": None, "format": None}
    odd = {"type": "embedding", "key": "y", "quantization": {"name": None}, "loaded_instances": None}
    models = parse_v1({"models": [bare, odd, {"type": "llm"}, None, 3]})
    assert [model.key for model in models] == ["x", "y"]
    assert [model.kind for model in models] == ["llm", "embedding"]
    for model in models:
        assert (model.architecture, model.quantization, model.engine, model.size_bytes) == (
            None,
            None,
            None,
            None,
        )
        assert not model.is_loaded


def test_a_model_of_another_device_is_remote() -> None:
    (model,) = parse_v1({"models": [{"key": "x", "deviceIdentifier": "studio-mac"}]})
    assert model.is_remote


def test_the_older_listing_is_read_with_state_and_loaded_context() -> None:
    loaded = {
        "id": "google/gemma-4-26b-a4b",
        "type": "vlm",
        "arch": "gemma4",
        "compatibility_type": "gguf",
        "quantization": "Q4_K_M",
        "state": "loaded",
        "max_context_length": 262144,
        "loaded_context_length": 200000,
        "capabilities": ["tool_use"],
    }
    other = {"id": "text-embedding-x", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048}
    first, second = parse_v0({"data": [loaded, other]})
    assert first.instances == (LoadedInstance("google/gemma-4-26b-a4b", 200000),)
    assert (first.kind, first.trained_for_tools, first.quantization) == ("llm", True, "Q4_K_M")
    assert (second.kind, second.is_loaded, second.trained_for_tools) == ("embedding", False, None)


def test_the_poorest_listing_gives_names_only() -> None:
    models = parse_openai({"data": [{"id": "a"}, {"id": "text-embedding-b"}, {"object": "model"}]})
    assert [(model.key, model.kind, model.is_loaded) for model in models] == [
        ("a", "unknown", False),
        ("text-embedding-b", "embedding", False),
    ]


def test_bodies_of_another_shape_give_no_models() -> None:
    for parse in (parse_v1, parse_v0, parse_openai):
        assert parse({}) == ()
        assert parse({"models": "x", "data": {}}) == ()
