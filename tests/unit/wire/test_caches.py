from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from agentui.backends.base import Backend, LoadedInstance, ServerFacts, ServerModel
from agentui.backends.discover import find_server
from agentui.events import ModelFacts
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.server import start_simulator
from agentui.telemetry.cache import LlamaCppCacheModel
from agentui.telemetry.kv.locate import ModelFolders, model_folders
from agentui.telemetry.memory.reader import MachineMemory, ProcessMemory
from agentui.wire.caches import ModelFits, loaded_cache
from tests.unit.telemetry.kv.cases import GEMMA_12B
from tests.unit.telemetry.kv.cases import GEMMA_26B as GEMMA_26B_FILE

GIB = 1 << 30
NOWHERE = ModelFolders()


@asynccontextmanager
async def connected(config: SimulatorConfig) -> AsyncIterator[Backend]:
    """A client of a simulated LM Studio."""
    simulator = await start_simulator(config)
    backend = await find_server(simulator.url)
    try:
        yield backend
    finally:
        await backend.aclose()
        await simulator.stop()


async def test_real_cache_types_and_sequences_are_taken_from_the_server() -> None:
    async with connected(SimulatorConfig(unpaced=True, k_cache_type="q8_0", parallel=2)) as backend:
        cache = await loaded_cache(backend, await backend.describe(None), NOWHERE)
    assert isinstance(cache, LlamaCppCacheModel)
    assert (cache.settings.cache_k, cache.settings.cache_v) == ("q8_0", "f16")
    assert (cache.settings.parallel, cache.settings.unified) == (2, True)
    assert cache.settings.context_tokens == 65_536
    assert "assumed" not in cache.basis
    assert cache.source == "estimated"  # the shape is the table's: no file could be read


async def test_a_readable_file_of_the_model_makes_the_figure_exact(tmp_path: Path) -> None:
    folder = tmp_path / ".lmstudio/models/somebody/gemma-4-26b-a4b"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(GEMMA_26B_FILE.read_bytes())
    async with connected(SimulatorConfig(unpaced=True)) as backend:
        cache = await loaded_cache(backend, await backend.describe(None), model_folders(tmp_path, {}))
    assert cache is not None
    assert cache.source == "reported"
    assert "own file" in cache.basis


async def test_a_file_of_another_architecture_is_not_taken_for_the_model(tmp_path: Path) -> None:
    folder = tmp_path / ".lmstudio/models/somebody/my-model"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(GEMMA_12B.read_bytes())
    facts = ModelFacts("my-model", architecture="llama", loaded_context_tokens=4096)
    assert await loaded_cache(None, facts, model_folders(tmp_path, {})) is None


SERVER = ServerFacts("lmstudio", "http://127.0.0.1:1234")


class _Machine:
    """A machine with walls of known height."""

    def machine(self) -> MachineMemory:
        return MachineMemory(total_bytes=64 * GIB, available_bytes=30 * GIB, gpu_limit_bytes=20 * GIB)

    def process(self, pid: int) -> ProcessMemory | None:
        return None


async def test_models_that_could_be_loaded_say_what_fits() -> None:
    models = [
        ServerModel(GEMMA_26B, architecture="gemma4", engine="gguf", size_bytes=17 * GIB),
        ServerModel("far", engine="gguf", is_remote=True, size_bytes=GIB),
        ServerModel("nobody/knows-7b", engine="gguf", size_bytes=GIB),
    ]
    fits = await ModelFits(NOWHERE, _Machine()).fits(models, SERVER)
    assert list(fits) == [GEMMA_26B]
    assert fits[GEMMA_26B].in_words == "64k fits, 128k passes the GPU wall by ~1.0 GiB"
    assert fits[GEMMA_26B].default_tokens is None
    notes = await ModelFits(NOWHERE, _Machine()).notes(models[0], [65_536, 131_072], SERVER)
    assert notes[65_536].endswith(" GiB, fits")
    assert notes[131_072].endswith("passes the GPU wall by ~1.0 GiB")
    assert await ModelFits(NOWHERE, _Machine()).notes(models[2], [4096], SERVER) == {}


async def test_a_model_that_is_loaded_in_name_only_gives_no_memory_back() -> None:
    size = 17 * GIB
    loaded = ServerModel(
        GEMMA_26B, architecture="gemma4", engine="gguf", size_bytes=size, instances=(LoadedInstance(GEMMA_26B),)
    )
    simulated = replace(SERVER, is_simulated=True)
    fits = ModelFits(NOWHERE, _SmallMachine())
    assert not (await fits.fits([loaded], simulated))[GEMMA_26B].contexts[0].fits
    assert (await fits.fits([loaded], SERVER))[GEMMA_26B].contexts[0].fits


class _SmallMachine(_Machine):
    def machine(self) -> MachineMemory:
        return MachineMemory(total_bytes=24 * GIB, available_bytes=6 * GIB, gpu_limit_bytes=None)
