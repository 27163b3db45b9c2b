from __future__ import annotations

import pytest

from agentui.errors import UsageError
from agentui.events import ModelFacts
from agentui.telemetry.cache import cache_model, find_builtin_cache
from agentui.telemetry.kv.gemma4 import builtin_shape
from agentui.telemetry.kv.llama_cpp import LlamaCppCache
from agentui.telemetry.kv.shape import Layer, LayerKind, ModelShape

MIB = 1024**2
GEMMA = ModelFacts("google/gemma-4-26b-a4b", engine="gguf", loaded_context_tokens=32_768)


async def test_gemma_in_lm_studio_allocates_everything_at_load() -> None:
    cache = await find_builtin_cache(GEMMA)
    assert cache is not None
    assert cache.at(0).allocated_bytes == cache.at(30_000).allocated_bytes == 1540 * MIB
    assert cache.at(32_768).filled_bytes == 840 * MIB
    assert cache.at(32_768).checkpoint_bytes == 8 * 200 * MIB


async def test_number_of_parallel_sequences_is_taken_from_the_server() -> None:
    alone = await find_builtin_cache(ModelFacts("gemma-4-26b-a4b", loaded_context_tokens=32_768, parallel=1))
    assert alone is not None
    assert alone.at(0).allocated_bytes == 940 * MIB


async def test_mlx_grows_with_its_tokens_and_keeps_no_checkpoints() -> None:
    cache = await find_builtin_cache(ModelFacts("gemma-4-26b-a4b", engine="mlx", loaded_context_tokens=32_768))
    assert cache is not None
    empty, some, more = cache.at(0), cache.at(1000), cache.at(20_000)
    assert empty.allocated_bytes < some.allocated_bytes < more.allocated_bytes
    assert more.allocated_bytes >= more.filled_bytes
    assert more.checkpoint_bytes == 0


async def test_table_and_assumed_settings_are_only_an_estimate_and_say_so() -> None:
    cache = await find_builtin_cache(GEMMA)
    assert cache is not None
    assert cache.source == "estimated"
    assert "built-in table" in cache.basis
    assert "assumed" in cache.basis


def test_known_shape_with_known_settings_is_no_estimate() -> None:
    shape = ModelShape("llama", (Layer(LayerKind.FULL, 8, 128, 128),) * 32, "gguf")
    cache = cache_model(ModelFacts("llama"), shape, LlamaCppCache(context_tokens=4096))
    assert cache.source == "reported"
    assert cache.at(0).allocated_bytes == 512 * MIB
    assert cache.at(1000).filled_bytes == 1000 * 128 * 1024


async def test_unknown_model_has_no_cache_model() -> None:
    assert await find_builtin_cache(ModelFacts("somebody/other-7b", loaded_context_tokens=4096)) is None


def test_settings_that_do_not_fit_the_shape_fail_at_once() -> None:
    odd = ModelShape("llama", (Layer(LayerKind.FULL, 1, 40, 40),), "gguf")
    with pytest.raises(UsageError):
        cache_model(ModelFacts("odd"), odd, LlamaCppCache(context_tokens=4096, cache_k="q8_0"))


def test_context_that_nobody_knows_is_an_error() -> None:
    shape = ModelShape("llama", (Layer(LayerKind.FULL, 8, 128, 128),), "gguf")
    with pytest.raises(UsageError, match="context"):
        cache_model(ModelFacts("llama"), shape)


async def test_display_name_serves_where_the_key_says_nothing() -> None:
    assert builtin_shape("local-model") is None
    named = ModelFacts("local-model", display_name="Gemma 4 12B", loaded_context_tokens=4096)
    assert await find_builtin_cache(named) is not None
