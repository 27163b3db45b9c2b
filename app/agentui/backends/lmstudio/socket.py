"""What only LM Studio's WebSocket tells: what the server is doing, and how a model was loaded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from agentui.backends.base import LoadProgress, ProcessingState, ProcessingStatus
from agentui.backends.fields import as_count, as_list, as_object, as_rate, as_size, as_text
from agentui.backends.lmstudio.connection import (
    CallFailed,
    Connection,
    EndpointUnknown,
    SocketRefused,
    SocketUnavailable,
)

_log = logging.getLogger(__name__)

STATE_EVERY_S = 0.4
LIST_EVERY_S = 5.0
_FIRST_BACKOFF_S = 2.0
_LONGEST_BACKOFF_S = 60.0

_STATUSES: Mapping[str, ProcessingStatus] = {
    "idle": "idle",
    "processingPrompt": "prefill",
    "generating": "generating",
}


@dataclass(frozen=True, slots=True)
class InstanceDetails:
    """What `listLoaded` tells of an instance. `path` is relative to LM Studio's models folder.

    `device` names another machine of the user's that holds the model (LM Link).
    """

    id: str
    reference: str
    model_key: str
    path: str | None
    context_tokens: int | None
    parallel: int | None
    size_bytes: int | None
    device: str | None


class LmStudioSocket:
    """Calls over the WebSocket. Connects when first needed, and again after a while when it broke.

    All answers may be ``None``: the socket is a bonus, and nothing depends on it. Polling is held down to what
    the server does not mind: a state every `STATE_EVERY_S`, a list (which it logs) every `LIST_EVERY_S`.

    Args:
        websocket_root: URL without a trailing slash, ``ws://…``.
        api_key: An LM Studio API token, if the server wants one.
        clock: Monotonic seconds.
    """

    def __init__(
        self, websocket_root: str, api_key: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = websocket_root
        self._api_key = api_key
        self._clock = clock
        self._connections: dict[str, Connection] = {}
        self._lock = asyncio.Lock()
        self._retry_at_s = float("-inf")
        self._backoff_s = _FIRST_BACKOFF_S
        self._is_refused = False
        self._unknown: set[str] = set()
        self._details: dict[str, InstanceDetails] = {}
        self._listed_at_s = float("-inf")
        self._states: dict[str, tuple[float, ProcessingState]] = {}

    async def instances(self, *, fresh: bool = False) -> Mapping[str, InstanceDetails] | None:
        """The loaded instances by id; from memory unless `fresh` or too old for the last reading."""
        if not fresh and self._details and self._clock() - self._listed_at_s < LIST_EVERY_S:
            return self._details
        result = await self._call("llm", "listLoaded")
        if result is None:
            return None
        found = (_details(as_object(entry)) for entry in as_list(result))
        self._details = {details.id: details for details in found if details.id}
        self._listed_at_s = self._clock()
        return self._details

    async def processing_state(self, instance_id: str) -> ProcessingState | None:
        """What the server is doing with an instance. Cheap: the server does not log this call."""
        known = self._states.get(instance_id)
        if known is not None and self._clock() - known[0] < STATE_EVERY_S:
            return known[1]
        result = as_object(await self._of_instance(instance_id, "getInstanceProcessingState"))
        status = as_text(result.get("status"))
        if status is None:
            return None
        state = ProcessingState(_STATUSES.get(status, "other"), as_count(result.get("queued")))
        self._states[instance_id] = (self._clock(), state)
        return state

    async def load_config(self, instance_id: str) -> Mapping[str, Any] | None:
        """How an instance was loaded, by LM Studio's own keys (``llm.load.…``), with the cache types."""
        result = await self._of_instance(instance_id, "getLoadConfig")
        if result is None:
            return None
        entries = (as_object(entry) for entry in as_list(as_object(result).get("fields")))
        return {entry["key"]: entry.get("value") for entry in entries if as_text(entry.get("key"))}

    async def info(self) -> Mapping[str, Any] | None:
        """Process id and version of the server."""
        result = as_object(await self._call("system", "info"))
        return result or None

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> str:
        """Load one more instance of `model` with progress; returns its id. Cancelling stops the load.

        Raises:
            SocketUnavailable: If the load could not be begun this way; nothing was loaded.
            CallFailed: If the load was begun and failed, or its end was not seen.
        """
        connection = await self._connection("llm")
        fields = []
        if context_tokens is not None:
            fields.append({"key": "llm.load.contextLength", "value": context_tokens})
        layers = [{"layerName": "apiOverride", "config": {"fields": fields}}]
        parameter = {"modelKey": model, "loadConfigStack": {"layers": layers}}
        is_begun = False
        try:
            async with aclosing(connection.channel("loadModel", parameter)) as messages:
                async for message in messages:
                    is_begun = True
                    if message.get("type") == "progress":
                        progress(as_rate(message.get("progress")) or 0.0)
                    elif message.get("type") == "success":
                        info = as_object(message.get("info"))
                        return as_text(info.get("identifier")) or model
        except EndpointUnknown as error:
            raise SocketUnavailable(str(error)) from error
        except SocketUnavailable as error:
            raise CallFailed(f"the connection broke while the model was loading: {error}") from error
        raise CallFailed("the server ended the load without a result" if is_begun else "the load did not begin")

    def forget(self) -> None:
        """Forget what was read of instances: something was loaded or unloaded."""
        self._details = {}
        self._states = {}

    async def aclose(self) -> None:
        """Close all connections."""
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            await connection.aclose()

    async def _of_instance(self, instance_id: str, endpoint: str) -> Any:
        details = await self._find(instance_id)
        if details is None:
            return None
        specifier = {"type": "instanceReference", "instanceReference": details.reference}
        parameter: dict[str, Any] = {"specifier": specifier}
        if endpoint == "getInstanceProcessingState":
            parameter["throwIfNotFound"] = True
        result = await self._call("llm", endpoint, parameter)
        if result is None:
            # It may have been loaded again under a new reference; the list is read again at its own pace.
            self._details.pop(instance_id, None)
        return result

    async def _find(self, instance_id: str) -> InstanceDetails | None:
        found = self._details.get(instance_id)
        if found is None and self._clock() - self._listed_at_s >= LIST_EVERY_S:
            found = (await self.instances(fresh=True) or {}).get(instance_id)
        return found

    async def _call(self, namespace: str, endpoint: str, parameter: object = None) -> Any:
        """The result of a call, ``None`` for whatever goes wrong with it."""
        if endpoint in self._unknown:
            return None
        connection: Connection | None = None
        try:
            connection = await self._connection(namespace)
            return await connection.call(endpoint, parameter)
        except EndpointUnknown:
            self._unknown.add(endpoint)
        except CallFailed as error:
            _log.debug("LM Studio %s/%s: %s", namespace, endpoint, error)
        except SocketUnavailable as error:
            _log.debug("LM Studio %s/%s: %s", namespace, endpoint, error)
            if connection is not None and not connection.is_busy:
                # Open but silent: the other side may be gone without a word, as after a sleep.
                self._connections.pop(namespace, None)
                await connection.aclose()
        return None

    async def _connection(self, namespace: str) -> Connection:
        async with self._lock:
            connection = self._connections.get(namespace)
            if connection is not None and connection.is_open:
                return connection
            if self._is_refused or self._clock() < self._retry_at_s:
                raise SocketUnavailable("not connected")
            self._connections.pop(namespace, None)
            try:
                connection = await Connection.open(f"{self._root}/{namespace}", self._api_key)
            except SocketRefused:
                _log.warning("LM Studio's WebSocket did not accept our credentials; it is not asked again.")
                self._is_refused = True
                raise
            except SocketUnavailable:
                self._retry_at_s = self._clock() + self._backoff_s
                self._backoff_s = min(self._backoff_s * 2, _LONGEST_BACKOFF_S)
                raise
            self._backoff_s = _FIRST_BACKOFF_S
            self._connections[namespace] = connection
            self.forget()
            return connection


def _details(entry: Mapping[str, Any]) -> InstanceDetails:
    return InstanceDetails(
        id=as_text(entry.get("identifier")) or "",
        reference=as_text(entry.get("instanceReference")) or "",
        model_key=as_text(entry.get("modelKey")) or "",
        path=as_text(entry.get("path")),
        context_tokens=as_size(entry.get("contextLength")),
        parallel=as_size(entry.get("parallel")),
        size_bytes=as_size(entry.get("sizeBytes")),
        device=as_text(entry.get("deviceIdentifier")),
    )
