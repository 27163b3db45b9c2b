"""Which source watches which kind of server, and where the shape of its model's cache comes from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from agentui.backends.base import Backend, ServerFacts
from agentui.backends.llama_server import LlamaServerSource
from agentui.backends.ollama import OllamaSource
from agentui.backends.source import BackendSource, ModelFiles, ServerSource
from agentui.config.settings import Settings
from agentui.errors import ModelFileError
from agentui.events import ModelFacts
from agentui.telemetry.cache import CacheModel, LlamaCppCacheModel, cache_model
from agentui.telemetry.kv.locate import ModelFolders
from agentui.telemetry.slots_cache import SlotsCacheModel
from agentui.wire.caches import llama_server_cache, llama_server_file, loaded_cache
from agentui.wire.servers import find_backend

if TYPE_CHECKING:
    from agentui.telemetry.kv.shape import ModelShape

log = logging.getLogger(__name__)

MakeSource: TypeAlias = Callable[[Backend, Settings], ServerSource]

SOURCES: dict[str, MakeSource] = {
    "llama.cpp": lambda backend, settings: LlamaServerSource(backend, settings.api_key),
    "ollama": lambda backend, settings: OllamaSource(backend, settings.api_key),
}
"""Sources by the kind of server; any other kind tells what every backend does."""


async def open_source(
    settings: Settings, found: Callable[[Backend], None] = lambda backend: None
) -> ServerSource:
    """The server that the settings name, ready to be watched; `found` gets the backend that the source closes.

    Raises:
        BackendUnavailable: If nothing usable answers there.
    """
    backend = await find_backend(settings)
    found(backend)
    make = SOURCES.get(backend.facts.kind)
    return BackendSource(backend) if make is None else make(backend, settings)


async def cache_of(
    backend: Backend | None,
    model: ModelFacts,
    files: ModelFiles,
    folders: ModelFolders,
    used_tokens: Callable[[], Sequence[int]],
) -> CacheModel | None:
    """The cache of a watched model: by the file or the keys that its source names, else as for a run.

    A path that the server tells is this machine's only if the server is.

    Raises:
        UsageError: If the model's context length is not possible.
    """
    server = None if backend is None else backend.facts
    shape = await asyncio.to_thread(_shape_of, server, files)
    if shape is None:
        found = await loaded_cache(backend, model, folders)
    elif server is not None and server.kind == "llama.cpp":
        found = await asyncio.to_thread(llama_server_cache, model, shape, server)
    else:
        is_ollama = server is not None and server.kind == "ollama"
        # Ollama loads for one sequence unless its environment says otherwise, which it does not tell.
        known = replace(model, parallel=1) if is_ollama and model.parallel is None else model
        found = cache_model(known, shape)
    return SlotsCacheModel(found, used_tokens) if isinstance(found, LlamaCppCacheModel) else found


def _shape_of(server: ServerFacts | None, files: ModelFiles) -> ModelShape | None:
    from agentui.telemetry.kv.source import shape_from_mapping, shape_from_source

    try:
        if files.metadata:
            return shape_from_mapping(files.metadata)
        if files.path is not None and server is not None and not server.is_remote:
            is_llama_server = server.kind == "llama.cpp"
            return shape_from_source(llama_server_file(server, files.path) if is_llama_server else files.path)
    except ModelFileError as error:
        log.info("The model's shape cannot be read: %s", error.message)
    return None
