from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agentui.events import ModelFacts
from agentui.telemetry.fit import (
    SPARE_BYTES,
    ModelFit,
    Walls,
    context_advice,
    context_fit,
    fit_of_model,
    model_fit,
    walls_of,
)
from agentui.telemetry.kv import LlamaCppCache, ModelShape, builtin_shape, needed_bytes
from agentui.telemetry.memory.reader import MachineMemory


def _gemma() -> ModelShape:
    shape = builtin_shape("gemma-4-26b-a4b")
    assert shape is not None
    return shape


GIB = 1 << 30
GEMMA = _gemma()
AS_LOADED = LlamaCppCache(parallel=4)
WEIGHTS = 16 * GIB


def test_both_walls_and_the_longest_context_that_fits_are_said() -> None:
    needed = needed_bytes(GEMMA, AS_LOADED, 131_072)
    walls = Walls(gpu_bytes=WEIGHTS + needed - GIB, memory_bytes=60 * GIB)
    fit = model_fit(GEMMA, AS_LOADED, WEIGHTS, walls)
    longest = [one for one in fit.contexts if one.fits][-1]
    first_over = next(one for one in fit.contexts if not one.fits)
    assert longest.context_tokens <= fit.largest_tokens < first_over.context_tokens
    over = context_fit(GEMMA, AS_LOADED, 131_072, WEIGHTS, walls)
    assert (over.passed_wall, over.over_bytes) == ("GPU wall", GIB)
    assert fit.in_words == "64k fits, 128k passes the GPU wall by ~1.0 GiB"


def test_the_wall_that_is_passed_by_more_is_named() -> None:
    fit = context_fit(GEMMA, AS_LOADED, 65_536, WEIGHTS, Walls(10 * GIB, 8 * GIB))
    assert fit.passed_wall == "memory wall"
    assert fit.over_bytes == fit.needed_bytes - 8 * GIB


def test_a_64_gib_mac_loads_64k_by_default_and_says_that_all_fits() -> None:
    fit = model_fit(GEMMA, AS_LOADED, WEIGHTS, Walls(48 * GIB, 50 * GIB))
    assert fit.default_tokens == 65_536
    assert fit.in_words == "256k fits, the longest it was trained for"


def test_where_nothing_leaves_8_gib_to_spare_there_is_no_default() -> None:
    fit = model_fit(GEMMA, AS_LOADED, WEIGHTS, Walls(18 * GIB, 20 * GIB))
    assert fit.default_tokens is None
    assert fit.largest_tokens > 0
    assert model_fit(GEMMA, AS_LOADED, WEIGHTS, Walls(9 * GIB, None)).in_words.startswith("even 4k passes the")


@given(wall_gib=st.integers(18, 80))
def test_default_leaves_its_spare_and_one_step_more_would_not(wall_gib: int) -> None:
    walls = Walls(wall_gib * GIB, None)
    default = model_fit(GEMMA, AS_LOADED, WEIGHTS, walls).default_tokens
    left = wall_gib * GIB - WEIGHTS - SPARE_BYTES
    if default is None:
        assert needed_bytes(GEMMA, AS_LOADED, 256) > left
        return
    assert needed_bytes(GEMMA, AS_LOADED, default) <= left
    assert default == 65_536 or needed_bytes(GEMMA, AS_LOADED, default + 256) > left


def test_a_reload_gives_back_what_the_model_holds() -> None:
    machine = MachineMemory(total_bytes=64 * GIB, available_bytes=20 * GIB, gpu_limit_bytes=48 * GIB)
    assert walls_of(machine, 16 * GIB) == Walls(48 * GIB, 36 * GIB)
    assert walls_of(machine, 60 * GIB).memory_bytes == 64 * GIB


def test_a_context_too_small_for_work_is_said_with_one_that_fits() -> None:
    small = ModelFacts("gemma", loaded_context_tokens=4096, trained_context_tokens=262_144)
    roomy = ModelFit((), 200_000, 65_536, None, True)
    advice = context_advice(small, roomy)
    assert advice is not None
    assert "loaded with 4k" in advice.warning.text
    assert "/context 65536 reloads it with 64k" in advice.warning.hint
    assert advice.wider_tokens == 65_536
    tight = context_advice(small, replace(roomy, largest_tokens=9984, default_tokens=None))
    assert tight is not None
    assert tight.wider_tokens == 9984
    unknown = context_advice(small, None)
    assert unknown is not None
    assert (unknown.warning.hint, unknown.wider_tokens) == ("/context lists what fits", None)
    assert context_advice(replace(small, loaded_context_tokens=32_768), roomy) is None
    assert context_advice(replace(small, trained_context_tokens=4096), roomy) is None


def test_an_unknown_shape_has_no_fit() -> None:
    assert fit_of_model(None, "gguf", WEIGHTS, Walls(1, 1)) is None
    assert fit_of_model(GEMMA, "mlx", WEIGHTS, Walls(48 * GIB, None)) is not None
