"""LM Studio's native REST routes: greeting, listing, load, unload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from agentui.backends.base import ServerModel
from agentui.backends.failures import is_unknown_route, refusal
from agentui.backends.fields import as_object, as_size, as_text
from agentui.backends.lmstudio.listing import parse_openai, parse_v0, parse_v1
from agentui.backends.native_http import NativeHttp, Reply

Parse: TypeAlias = Callable[[Mapping[str, Any]], tuple[ServerModel, ...]]

_LISTINGS: tuple[tuple[str, Parse], ...] = (
    ("/api/v1/models", parse_v1),
    ("/api/v0/models", parse_v0),
    ("/v1/models", parse_openai),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load gave: the instance, and the context where the server told it."""

    instance_id: str
    context_tokens: int | None = None


class LmStudioRest:
    """The routes as coroutines. The server logs every call, so nothing here belongs into a fast poll."""

    def __init__(self, http: NativeHttp) -> None:
        self._http = http
        self._listing: int | None = None

    async def greets(self) -> bool:
        """Whether LM Studio answers; works without a token.

        Raises:
            BackendError: If nothing answers at all.
        """
        reply = await self._http.get("/lmstudio-greeting", timeout_s=5.0)
        return is_greeting(reply)

    async def status(self) -> tuple[str, str | None]:
        """Package and version of the running server; empty and ``None`` where it does not tell."""
        fields = (await self._http.get("/lms-status", timeout_s=5.0)).fields
        return as_text(fields.get("package")) or "", as_text(fields.get("version"))

    async def models(self) -> tuple[ServerModel, ...]:
        """All models, by the newest listing that this version has.

        Raises:
            BackendError: If the server refuses (token) or does not answer.
        """
        begin = self._listing or 0
        for number, (path, parse) in enumerate(_LISTINGS[begin:], start=begin):
            reply = await self._http.get(path)
            if reply.is_good:
                self._listing = number
                return parse(reply.fields)
            error = refusal(reply.status, reply.body or reply.text, self._http.root)
            if not is_unknown_route(error) or number + 1 == len(_LISTINGS):
                raise error
        raise AssertionError("the last listing returns or raises")

    @property
    def knows_instances(self) -> bool:
        """Whether the listing tells which models are loaded; true until the contrary was seen."""
        return self._listing is None or self._listing + 1 < len(_LISTINGS)

    async def load(self, model: str, context_tokens: int | None) -> Loaded:
        """Load one more instance of `model`; blocks until it is in memory. Not idempotent.

        Raises:
            BackendError: Mostly `ModelLoadFailed`.
        """
        body: dict[str, Any] = {"model": model, "echo_load_config": True}
        if context_tokens is not None:
            body["context_length"] = context_tokens
        reply = await self._http.post("/api/v1/models/load", body, timeout_s=None)
        fields = self._accepted(reply)
        config = as_object(fields.get("load_config"))
        return Loaded(as_text(fields.get("instance_id")) or model, as_size(config.get("context_length")))

    async def unload(self, instance_id: str) -> None:
        """Remove an instance from memory; takes its id, not the key of its model.

        Raises:
            BackendError: If there is no such instance, or the server does not answer.
        """
        self._accepted(
            await self._http.post("/api/v1/models/unload", {"instance_id": instance_id}, timeout_s=60.0)
        )

    def _accepted(self, reply: Reply) -> Mapping[str, Any]:
        if not reply.is_good:
            raise refusal(reply.status, reply.body or reply.text, self._http.root)
        return reply.fields


def is_greeting(reply: Reply) -> bool:
    """Whether an answer to ``/lmstudio-greeting`` is LM Studio's."""
    return reply.is_good and reply.fields.get("lmstudio") is True
