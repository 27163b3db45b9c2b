"""LM Studio as a backend: REST for models, the WebSocket for what it is doing, `/v1` for chat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from agentui.backends.address import ServerAddress, is_this_machine
from agentui.backends.base import (
    ChatPart,
    ChatRequest,
    LoadedInstance,
    LoadProgress,
    ProcessingState,
    ServerFacts,
    ServerModel,
)
from agentui.backends.choice import facts_of, find_model, loaded_model, no_such_model, nothing_loaded
from agentui.backends.dialect import Dialect
from agentui.backends.failures import refusal, unreachable
from agentui.backends.lmstudio.connection import CallFailed, SocketUnavailable
from agentui.backends.lmstudio.rest import LmStudioRest, Loaded
from agentui.backends.lmstudio.socket import InstanceDetails, LmStudioSocket
from agentui.backends.native_http import NativeHttp
from agentui.backends.openai_chat import READ_TIMEOUT_S, OpenAiChat
from agentui.errors import AuthenticationFailed, BackendError, BackendRefused, ModelLoadFailed, ModelNotFound
from agentui.events import ModelFacts

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_SIMULATOR = "simulator"


class LmStudioBackend:
    """An LM Studio server. Never starts LM Studio, and never loads a model without being asked to.

    Args:
        address: Where it is.
        api_key: An API token, where the server wants one.
        dialect: How its provider wants requests.
        read_timeout_s: Longest silence on the wire of a chat.
    """

    def __init__(
        self,
        address: ServerAddress,
        api_key: str | None = None,
        *,
        dialect: Dialect | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        spoken = dialect or Dialect()
        self._address = address
        self._http = NativeHttp(address.root, api_key, spoken.headers)
        self._rest = LmStudioRest(self._http)
        self._socket = LmStudioSocket(address.websocket_root, api_key)
        self._chat = OpenAiChat(
            address.api_bases[0], api_key, address=address.root, dialect=spoken, read_timeout_s=read_timeout_s
        )
        self._facts = ServerFacts("lmstudio", address.root, can_load=True)
        self._contexts: dict[str, int | None] = {}
        self._fitted: dict[tuple[str, int], int | None] = {}

    @property
    def facts(self) -> ServerFacts:
        """What answered at the address, as of `connect`."""
        return self._facts

    async def connect(self) -> ServerFacts:
        """See `Backend.connect`."""
        if not await self._rest.greets():
            raise unreachable(self._address.root, "what answers there is not LM Studio")
        package, version = await self._rest.status()
        self._facts = replace(
            self._facts,
            version=version,
            is_remote=not await is_this_machine(self._address.host),
            is_simulated=_SIMULATOR in package.casefold(),
        )
        return self._facts

    def warm_up(self) -> None:
        """Begin to prepare the first chat request, in a thread; returns at once."""
        self._chat.warm_up()

    async def prepare_chat(self) -> None:
        """See `Backend.prepare_chat`."""
        await self._chat.prepare()

    async def models(self) -> tuple[ServerModel, ...]:
        """See `Backend.models`. The WebSocket adds which models run on another machine of the user's."""
        models = await self._rest.models()
        details = await self._socket.instances(fresh=True) or {}
        if details:
            models = tuple(_with_details(model, details, self._rest.knows_instances) for model in models)
        self._contexts.update(
            {instance.id: instance.context_tokens for model in models for instance in model.instances}
        )
        return models

    async def describe(self, model: str | None) -> ModelFacts:
        """See `Backend.describe`."""
        found, instance = self._choose(await self.models(), model)
        return facts_of(self._facts, found, instance)

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        """See `Backend.load`. An instance that fits is used; one that does not is unloaded first."""
        found, instance = self._choose(await self.models(), model)
        if instance is not None and self._fits(found, instance, context_tokens):
            progress(1.0)
            return facts_of(self._facts, found, instance, context_tokens)
        variant = model if "@" in model and instance is None else found.key
        if instance is not None:
            await self.unload(instance.id)
        try:
            loaded = await self._load(variant, context_tokens, progress)
        except ModelLoadFailed as error:
            if instance is not None:
                error.hint = f"{error.hint} {instance.id} is no longer loaded; it had made room for this."
            raise
        self._socket.forget()
        found, instance = self._choose(await self.models(), loaded.instance_id)
        if instance is None:
            raise ModelLoadFailed(
                f"The server says that it loaded {found.key}, but does not list it.",
                hint="It may have been unloaded again at once; see the server's own log.",
            )
        if context_tokens is not None:
            self._fitted[found.key, context_tokens] = instance.context_tokens
        return facts_of(self._facts, found, instance, context_tokens)

    async def unload(self, instance_id: str) -> None:
        """See `Backend.unload`."""
        await self._rest.unload(instance_id)
        self._contexts.pop(instance_id, None)
        self._socket.forget()

    async def processing_state(self, instance_id: str) -> ProcessingState | None:
        """See `Backend.processing_state`."""
        return await self._socket.processing_state(instance_id)

    async def load_settings(self, instance_id: str) -> Mapping[str, Any] | None:
        """How an instance was loaded, by LM Studio's keys (``llm.load.llama.kCacheQuantizationType`` …).

        ``None`` where the WebSocket does not tell; REST has no field for the cache's types.
        """
        return await self._socket.load_config(instance_id)

    async def details(self, instance_id: str) -> InstanceDetails | None:
        """The files and the machine behind an instance; ``None`` where the WebSocket does not tell."""
        return (await self._socket.instances() or {}).get(instance_id)

    def chat(self, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        """See `Backend.chat`."""
        return self._chat.stream(request, self._contexts.get(request.model))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._chat.aclose()
        await self._socket.aclose()
        await self._http.aclose()

    def _choose(
        self, models: tuple[ServerModel, ...], name: str | None
    ) -> tuple[ServerModel, LoadedInstance | None]:
        found = loaded_model(models) if name is None else find_model(models, name)
        if found is not None:
            return found
        raise self._missing(models, name)

    def _missing(self, models: tuple[ServerModel, ...], name: str | None) -> ModelNotFound:
        if name is None:
            return nothing_loaded(models, self._address.root)
        return no_such_model(models, name, self._address.root)

    def _fits(self, model: ServerModel, instance: LoadedInstance, context_tokens: int | None) -> bool:
        """Whether an instance is what a load of `context_tokens` would give.

        MLX engines choose the length themselves and take memory only as it fills, so there more is as good; and
        what a request for this length gave once, it gives again.
        """
        given = instance.context_tokens
        if context_tokens is None or given == context_tokens:
            return True
        if given is not None and self._fitted.get((model.key, context_tokens)) == given:
            return True
        return model.engine == "mlx" and given is not None and given >= context_tokens

    async def _load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> Loaded:
        try:
            return Loaded(await self._socket.load(model, context_tokens, progress))
        except CallFailed as error:
            raise _load_failed(refusal(200, {"error": str(error)}, self._address.root)) from error
        except SocketUnavailable as error:
            _log.info("Loading without progress: %s", error)
        ticker = asyncio.create_task(_tick(progress))
        try:
            return await self._rest.load(model, context_tokens)
        except BackendError as error:
            raise _load_failed(error) from error
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker


async def _tick(progress: LoadProgress) -> None:
    while True:
        progress(None)
        await asyncio.sleep(_TICK_S)


def _load_failed(error: BackendError) -> BackendError:
    """A refusal of a load as `ModelLoadFailed`, except where it is about the token or the name."""
    if not isinstance(error, BackendRefused) or isinstance(error, AuthenticationFailed | ModelNotFound):
        return error
    if isinstance(error, ModelLoadFailed):
        return error
    hint = "See the server's own log; a smaller context or another quantization may load."
    return ModelLoadFailed(error.message, hint=hint, status=error.status)


def _with_details(
    model: ServerModel, details: Mapping[str, InstanceDetails], knows_instances: bool
) -> ServerModel:
    """Add what the WebSocket knows: other machines, and for the poorest listing what is loaded at all."""
    own = [found for found in details.values() if found.model_key == model.key]
    if not own:
        return model
    instances = model.instances
    if not knows_instances:
        instances = tuple(LoadedInstance(found.id, found.context_tokens, found.parallel) for found in own)
    is_remote = model.is_remote or any(found.device for found in own)
    return replace(model, is_remote=is_remote, instances=instances)
