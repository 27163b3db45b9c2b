"""Any OpenAI-style server as a plain backend; llama-server and Ollama tell a little more."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from agentui.backends.address import ServerAddress, is_this_machine
from agentui.backends.base import (
    ChatPart,
    ChatRequest,
    LoadProgress,
    ProcessingState,
    ServerFacts,
    ServerKind,
    ServerModel,
)
from agentui.backends.choice import facts_of, find_model, loaded_model, no_such_model, nothing_loaded
from agentui.backends.dialect import Dialect
from agentui.backends.failures import is_unknown_route, refusal
from agentui.backends.fields import as_text
from agentui.backends.native_http import NativeHttp, Reply
from agentui.backends.openai_chat import READ_TIMEOUT_S, OpenAiChat
from agentui.backends.served import (
    model_entries,
    ollama_trained_context,
    parse_models,
    parse_ollama,
    parse_slots,
    with_props,
)
from agentui.errors import (
    AuthenticationFailed,
    BackendError,
    BackendRefused,
    BackendUnavailable,
    ModelLoadFailed,
)
from agentui.events import ModelFacts

_log = logging.getLogger(__name__)

_PROBE_S = 5.0


class OpenAiCompatibleBackend:
    """A server that speaks the OpenAI chat protocol. Models cannot be loaded or unloaded through it.

    The routes may lie below ``/v1`` or directly below the address; the first that works is kept.

    Args:
        address: Where it is.
        api_key: Sent as a bearer token where given.
        dialect: How its provider wants requests.
        declared_context_tokens: The context of its model by the user's file, where the server tells none.
        read_timeout_s: Longest silence on the wire of a chat.
    """

    def __init__(
        self,
        address: ServerAddress,
        api_key: str | None = None,
        *,
        dialect: Dialect | None = None,
        declared_context_tokens: int | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._dialect = dialect or Dialect()
        self._declared_context_tokens = declared_context_tokens
        self._address = address
        self._api_key = api_key
        self._read_timeout_s = read_timeout_s
        self._http = NativeHttp(address.root, api_key, self._dialect.headers, keeps_open=False)
        self._facts = ServerFacts("openai", address.root)
        self._bases = list(address.api_bases)
        self._chat: OpenAiChat | None = None
        self._has_listing = True
        self._listing = self._listing_path(self._bases[0])
        self._has_slots = True
        self._contexts: dict[str, int | None] = {}

    @property
    def facts(self) -> ServerFacts:
        """What answered at the address, as of `connect`."""
        return self._facts

    async def connect(self) -> ServerFacts:
        """See `Backend.connect`.

        Raises:
            AuthenticationFailed: If the server wants a key, or another one.
            BackendUnavailable: If what answers is no model server.
        """
        kind, version = await self._identify()
        is_remote = not await is_this_machine(self._address.host)
        self._facts = replace(self._facts, kind=kind, version=version, is_remote=is_remote)
        if kind != "ollama":
            await self._find_listing()
        api_path = self._bases[0].removeprefix(self._address.root)
        self._facts = replace(self._facts, lists_models=self._has_listing, api_path=api_path)
        return self._facts

    def warm_up(self) -> None:
        """Begin to prepare the first chat request, in a thread; returns at once."""
        self._route().warm_up()

    async def prepare_chat(self) -> None:
        """See `Backend.prepare_chat`."""
        await self._route().prepare()

    async def models(self) -> tuple[ServerModel, ...]:
        """See `Backend.models`. Empty where the server has no listing."""
        if self._facts.kind == "ollama":
            models = await self._ollama_models()
        elif self._has_listing:
            reply = await self._http.get(self._listing)
            if not reply.is_good:
                raise refusal(reply.status, reply.body or reply.text, self._address.root)
            models = parse_models(reply.body)
        else:
            models = ()
        if self._facts.kind == "llama.cpp":
            models = with_props(models, (await self._http.get("/props")).fields)
        self._contexts = {item.id: item.context_tokens for model in models for item in model.instances}
        return models

    async def describe(self, model: str | None) -> ModelFacts:
        """See `Backend.describe`.

        A server without a listing is taken at its user's word; llama-server serves its one model under any
        name. Of several models of another machine none is chosen by itself.
        """
        models = await self.models()
        if not models and model is not None:
            unknown = ServerModel(key=model, display_name=model)
            return self._declared(facts_of(self._facts, unknown, None))
        found = self._named(models, model) if model is not None else self._unnamed(models)
        if found is None:
            root = self._address.root
            raise nothing_loaded(models, root) if model is None else no_such_model(models, model, root)
        if self._facts.kind == "ollama":
            found = await self._with_trained_context(found)
        return self._declared(facts_of(self._facts, found, next(iter(found.instances), None)))

    def _declared(self, facts: ModelFacts) -> ModelFacts:
        """The facts with the context that the user's file names, where the server names none."""
        if facts.loaded_context_tokens is not None or self._declared_context_tokens is None:
            return facts
        return replace(facts, loaded_context_tokens=self._declared_context_tokens)

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        """See `Backend.load`; always refused."""
        raise ModelLoadFailed(
            f"Models cannot be loaded through the server at {self._address.root}.",
            hint="Load it with the server's own command, then ask again.",
        )

    async def unload(self, instance_id: str) -> None:
        """See `Backend.unload`; always refused."""
        raise BackendRefused(
            f"Models cannot be unloaded through the server at {self._address.root}.",
            hint="Use the server's own command.",
        )

    async def processing_state(self, instance_id: str) -> ProcessingState | None:
        """See `Backend.processing_state`; only llama-server tells, and not if its slots are switched off."""
        if self._facts.kind != "llama.cpp" or not self._has_slots:
            return None
        reply = await self._http.get("/slots", timeout_s=_PROBE_S)
        self._has_slots = reply.status == 200
        return parse_slots(reply.body) if self._has_slots else None

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        """See `Backend.chat`."""
        while True:
            is_begun = False
            try:
                stream = self._route().stream(request, self._contexts.get(request.model))
                async with aclosing(stream) as parts:
                    async for part in parts:
                        is_begun = True
                        yield part
                return
            except BackendError as error:
                if is_begun or not is_unknown_route(error):
                    raise
                if not await self._next_base():
                    raise

    async def aclose(self) -> None:
        """Close all connections."""
        if self._chat is not None:
            await self._chat.aclose()
        await self._http.aclose()

    # --- what answers -----------------------------------------------------------------------------

    async def _identify(self) -> tuple[ServerKind, str | None]:
        reply = await self._http.get("/api/version", timeout_s=_PROBE_S)
        version = as_text(reply.fields.get("version"))
        if reply.is_good and version is not None and set(reply.fields) == {"version"}:
            return "ollama", version
        if reply.headers.get("server", "").casefold() == "llama.cpp":
            return "llama.cpp", await self._llama_version()
        props = await self._http.get("/props", timeout_s=_PROBE_S)
        if props.is_good and "default_generation_settings" in props.fields:
            return "llama.cpp", as_text(props.fields.get("build_info"))
        return "openai", None

    async def _llama_version(self) -> str | None:
        health = await self._http.get("/health", timeout_s=_PROBE_S)
        if health.status == 503:
            raise refusal(503, health.body or health.text, self._address.root)
        return as_text((await self._http.get("/props", timeout_s=_PROBE_S)).fields.get("build_info"))

    async def _find_listing(self) -> None:
        """Find out below which base the routes lie; a server without a listing may still chat."""
        refused: BackendError | None = None
        other: list[Reply] = []
        for base in self._address.api_bases:
            reply = await self._http.get(self._listing_path(base))
            if reply.is_good and model_entries(reply.body) is not None:
                # Chat mostly lies beside the listing, but not everywhere: the others stay to be tried.
                self._bases.sort(key=lambda other: other != base)
                self._listing = self._listing_path(base)
                return
            elsewhere = reply.headers.get("location") if 300 <= reply.status < 400 else None
            error = refusal(reply.status, elsewhere or reply.body or reply.text, self._address.root)
            is_final = isinstance(error, AuthenticationFailed | BackendUnavailable) or _is_broken(reply)
            if is_final or (elsewhere and refused is None):
                raise error
            refused = refused or error
            if _is_other_content(reply):
                other.append(reply)
        if len(other) == len(self._address.api_bases):
            raise _no_model_server(other[0], self._address.root)
        self._has_listing = False
        _log.info("No listing of models at %s: %s", self._address.root, refused)

    def _listing_path(self, base: str) -> str:
        return f"{base.removeprefix(self._address.root)}/models"

    # --- models -----------------------------------------------------------------------------------

    async def _ollama_models(self) -> tuple[ServerModel, ...]:
        tags = await self._http.get("/api/tags")
        if not tags.is_good:
            raise refusal(tags.status, tags.body or tags.text, self._address.root)
        return parse_ollama(tags.fields, (await self._http.get("/api/ps")).fields)

    async def _with_trained_context(self, model: ServerModel) -> ServerModel:
        reply = await self._http.post("/api/show", {"model": model.key}, timeout_s=_PROBE_S)
        return replace(model, trained_context_tokens=ollama_trained_context(reply.fields))

    def _named(self, models: tuple[ServerModel, ...], name: str) -> ServerModel | None:
        found = find_model(models, name) or find_model(models, f"{name}:latest")
        if found is not None:
            return found[0]
        return models[0] if self._facts.kind == "llama.cpp" and len(models) == 1 else None

    def _unnamed(self, models: tuple[ServerModel, ...]) -> ServerModel | None:
        usable = [model for model in models if model.kind != "embedding"]
        if len(usable) == 1:
            return usable[0]
        found = None if self._facts.is_remote else loaded_model(usable)
        return found[0] if found else None

    # --- chat -------------------------------------------------------------------------------------

    def _route(self) -> OpenAiChat:
        if self._chat is None:
            is_llama = self._facts.kind == "llama.cpp"
            self._chat = OpenAiChat(
                self._bases[0],
                self._api_key,
                address=self._address.root,
                dialect=self._dialect,
                extra_body={"return_progress": True} if is_llama else None,
                read_timeout_s=self._read_timeout_s,
            )
        return self._chat

    async def _next_base(self) -> bool:
        """The routes do not lie below this base: try the next; False after the last, then from the start."""
        chat, self._chat = self._chat, None
        if chat is not None:
            await chat.aclose()
        del self._bases[0]
        if self._bases:
            return True
        self._bases = list(self._address.api_bases)
        return False


def _is_other_content(reply: Reply) -> bool:
    """Whether the question for models is answered with success, and with what is no JSON at all."""
    return 200 <= reply.status < 300 and reply.body is None


def _no_model_server(reply: Reply, root: str) -> BackendUnavailable:
    is_page = "html" in reply.headers.get("content-type", "").casefold() or reply.text.lstrip()[:1] == "<"
    what = "it answers with a web page (HTML)" if is_page else "it does not answer with JSON"
    return BackendUnavailable(
        f"What answers at {root} is not a model server: {what}.",
        hint="Another program has this port; name your server's address: --url http://127.0.0.1:1234",
    )


def _is_broken(reply: Reply) -> bool:
    """Whether a listing failed for a reason that will pass, or that chat will meet as well."""
    return reply.status >= 500 and reply.status != 501
