"""Ollama as a source: what is in memory and how large, and the model's shape. It tells nothing of its work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentui.backends.base import Backend
from agentui.backends.fields import as_list, as_object, as_size
from agentui.backends.native_http import NativeHttp
from agentui.backends.source import BackendSource, ModelFiles, ServerReading

_READ_S = 5.0


class OllamaSource(BackendSource):
    """An Ollama server.

    Args:
        backend: The same server; closed with this.
        api_key: Sent to it where given.
    """

    def __init__(self, backend: Backend, api_key: str | None) -> None:
        super().__init__(backend)
        self._http = NativeHttp(backend.facts.base_url, api_key)

    async def files(self) -> ModelFiles:
        """See `ServerSource.files`: the keys of the model's file, from ``/api/show``."""
        if self._model is None:
            return ModelFiles()
        show = await self._http.post("/api/show", {"model": self._model}, timeout_s=_READ_S)
        return ModelFiles(metadata=dict(as_object(show.fields.get("model_info"))) if show.is_good else {})

    async def read(self) -> ServerReading:
        """See `ServerSource.read`: only what the model holds in memory."""
        running = await self._http.get("/api/ps", timeout_s=_READ_S)
        return parse_running(running.fields, self._model)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await super().aclose()


def parse_running(running: Mapping[str, Any], model: str | None) -> ServerReading:
    """Read ``/api/ps``: the bytes of `model`, or of the only one, with its cache."""
    entries = [as_object(entry) for entry in as_list(running.get("models"))]
    named = [entry for entry in entries if model in (entry.get("name"), entry.get("model"))]
    if model is None and len(entries) == 1:
        named = entries
    if not named:
        return ServerReading()
    return ServerReading(
        model_bytes=as_size(named[0].get("size")), gpu_bytes=as_size(named[0].get("size_vram"))
    )
