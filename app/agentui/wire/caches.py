"""What the loaded and the offered models take: the server's facts and this machine's files, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from agentui.backends.base import Backend, ServerFacts, ServerModel
from agentui.errors import UsageError
from agentui.events import ModelFacts
from agentui.telemetry.cache import CacheModel, cache_model, settings_from_lmstudio
from agentui.telemetry.fit import ModelFit, context_fit, fit_of_model, load_settings, walls_of
from agentui.telemetry.kv.locate import ModelFolders
from agentui.telemetry.kv.shape import ModelShape
from agentui.telemetry.llama_start import DEFAULT_SLOTS, file_of_server, llama_start, slots_guess
from agentui.telemetry.memory.reader import MemoryReader
from agentui.telemetry.model_file import KnownModel, known_model


class _Place(Protocol):
    @property
    def path(self) -> str | None: ...


@runtime_checkable
class _TellsLoad(Protocol):
    """A backend that knows how an instance was loaded, and from which file."""

    async def load_settings(self, instance_id: str) -> Mapping[str, Any] | None: ...

    async def details(self, instance_id: str) -> _Place | None: ...


async def loaded_cache(backend: Backend | None, model: ModelFacts, folders: ModelFolders) -> CacheModel | None:
    """The cache of a loaded model, with its real settings where the server tells them; ``None`` if unknown.

    Raises:
        UsageError: If shape and settings do not fit.
    """
    keys = await backend.load_settings(model.model) if isinstance(backend, _TellsLoad) else None
    known = await served_model(backend, model, folders)
    if known is None:
        return None
    if keys:
        return cache_model(model, known.shape, settings_from_lmstudio(model, keys))
    if backend is not None and backend.facts.kind == "llama.cpp":
        return await asyncio.to_thread(llama_server_cache, model, known.shape, backend.facts)
    return cache_model(model, known.shape)


async def served_model(backend: Backend | None, model: ModelFacts, folders: ModelFolders) -> KnownModel | None:
    """The file behind a server's model, or the table's entry; ``None`` if neither is known."""
    names = [model.model, model.display_name]
    path: Path | None = None
    if isinstance(backend, _TellsLoad):
        place = await backend.details(model.model)
        names[:0] = [place.path] if place is not None and place.path else []
    elif backend is not None and backend.facts.kind == "llama.cpp" and not model.is_remote:
        told = await _served_path(backend)
        path = None if told is None else await asyncio.to_thread(llama_server_file, backend.facts, told)
    return await asyncio.to_thread(known_model, names, folders, architecture=model.architecture, path=path)


def llama_server_cache(model: ModelFacts, shape: ModelShape, server: ServerFacts) -> CacheModel:
    """The cache of what a llama-server has loaded: as it was started, where that can be seen. Blocks.

    Raises:
        UsageError: If shape and settings do not fit.
    """
    tokens, slots = model.loaded_context_tokens, model.parallel or DEFAULT_SLOTS
    if not tokens:
        return cache_model(model, shape)
    start = None if server.is_remote else llama_start(_port_of(server))
    if start is None:
        return cache_model(model, shape, slots_guess(tokens, slots), is_assumed=True)
    return cache_model(model, shape, start.settings(tokens, slots))


def llama_server_file(server: ServerFacts, told: str) -> Path:
    """The file that a llama-server of this machine says it has loaded. Blocks."""
    return file_of_server(told, _port_of(server))


def _port_of(server: ServerFacts) -> int | None:
    return urlsplit(server.base_url).port


async def _served_path(backend: Backend) -> str | None:
    """The path that a llama-server was started with."""
    for served in await backend.models():
        for instance in served.instances:
            told = instance.settings.get("model_path")
            if isinstance(told, str) and told:
                return told
    return None


def _held_bytes(model: ServerModel, weights_bytes: int | None, server: ServerFacts) -> int:
    """What a reload gives back first: a simulated model is loaded in name only."""
    return (weights_bytes or 0) if model.is_loaded and not server.is_simulated else 0


class ModelFits:
    """Which contexts of the server's models fit on this machine. Shapes are read once per model."""

    def __init__(self, folders: ModelFolders, reader: MemoryReader) -> None:
        self._folders = folders
        self._reader = reader
        self._known: dict[str, KnownModel | None] = {}

    async def fits(self, models: Sequence[ServerModel], server: ServerFacts) -> dict[str, ModelFit]:
        """The fits by key, without models on other machines and those of unknown shape."""
        return await asyncio.to_thread(self._fits, models, server)

    async def notes(self, model: ServerModel, lengths: Sequence[int], server: ServerFacts) -> dict[int, str]:
        """What contexts of a model would take here and whether they fit; empty if that is not known."""
        return await asyncio.to_thread(self._notes, model, lengths, server)

    def _notes(self, model: ServerModel, lengths: Sequence[int], server: ServerFacts) -> dict[int, str]:
        found = self._fits([model], server).get(model.key)
        known = self._known.get(model.key)
        if found is None or known is None:
            return {}
        weights = found.weights_bytes
        walls = walls_of(self._reader.machine(), _held_bytes(model, weights, server))
        settings = load_settings(model.engine)
        try:
            fits = [context_fit(known.shape, settings, tokens, weights, walls) for tokens in lengths]
        except UsageError:
            return {}
        return {fit.context_tokens: fit.in_words for fit in fits}

    def _fits(self, models: Sequence[ServerModel], server: ServerFacts) -> dict[str, ModelFit]:
        try:
            machine = self._reader.machine()
        except OSError:
            return {}
        found: dict[str, ModelFit] = {}
        for model in models:
            if model.is_remote or model.kind == "embedding":
                continue
            known = self._find(model)
            weights = model.size_bytes or (known.weights_bytes if known else None)
            held = _held_bytes(model, weights, server)
            shape = known.shape if known else None
            fit = fit_of_model(shape, model.engine, weights, walls_of(machine, held))
            if fit is not None:
                found[model.key] = fit
        return found

    def _find(self, model: ServerModel) -> KnownModel | None:
        if model.key not in self._known:
            names = (model.key, model.display_name)
            self._known[model.key] = known_model(names, self._folders, architecture=model.architecture)
        return self._known[model.key]
