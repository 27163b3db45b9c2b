"""What a model server tells of its work for all of its clients: the border that each kind lies behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentui.backends.base import Backend, ProcessingStatus, ServerFacts
from agentui.events import ModelFacts


@dataclass(frozen=True, slots=True)
class SlotReading:
    """One sequence of a server, counts in tokens; ``None`` is what it does not tell.

    `used_tokens` are in the cache, prompt and answer. Of the prompt `cached_tokens` were there before and
    `read_tokens` were read anew so far; `prompt_tokens` is all of it, known when the answer begins or before.
    """

    slot: int
    is_busy: bool
    context_tokens: int | None = None
    task: int | None = None
    used_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    read_tokens: int | None = None
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ServerTotals:
    """Counters since the server was started; they grow when a request ends."""

    prompt_tokens: int | None = None
    prompt_s: float | None = None
    cached_tokens: int | None = None
    answer_tokens: int | None = None
    answer_s: float | None = None
    most_used_tokens: int | None = None

    @property
    def prefill_tok_per_s(self) -> float | None:
        """Prompt tokens read per second, over everything."""
        return _per_second(self.prompt_tokens, self.prompt_s)

    @property
    def decode_tok_per_s(self) -> float | None:
        """Tokens generated per second, over everything."""
        return _per_second(self.answer_tokens, self.answer_s)

    def since(self, before: ServerTotals) -> ServerTotals:
        """What was added since; everything unknown where the server was started again in between."""
        if (self.answer_tokens or 0) < (before.answer_tokens or 0):
            return ServerTotals()
        return ServerTotals(
            prompt_tokens=_difference(self.prompt_tokens, before.prompt_tokens),
            prompt_s=_float_difference(self.prompt_s, before.prompt_s),
            cached_tokens=_difference(self.cached_tokens, before.cached_tokens),
            answer_tokens=_difference(self.answer_tokens, before.answer_tokens),
            answer_s=_float_difference(self.answer_s, before.answer_s),
            most_used_tokens=self.most_used_tokens,
        )


@dataclass(frozen=True, slots=True)
class ServerReading:
    """A server at one moment. `model_bytes` is what it says that the model holds in memory, cache included."""

    status: ProcessingStatus | None = None
    queued: int | None = None
    slots: tuple[SlotReading, ...] = ()
    totals: ServerTotals | None = None
    model_bytes: int | None = None
    gpu_bytes: int | None = None

    @property
    def used_tokens(self) -> tuple[int, ...]:
        """Tokens of each sequence that the cache holds."""
        return tuple(slot.used_tokens for slot in self.slots if slot.used_tokens)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the shape of a model's cache can be read from: a GGUF file's path, or its keys."""

    path: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class ServerSource(Protocol):
    """One server to watch. All methods are coroutines on one event loop; what is unknown is left out.

    A source for another kind of server is a class like this in a module of its own, and a line in
    ``agentui.wire.sources``.
    """

    @property
    def facts(self) -> ServerFacts:
        """What answers at the address."""
        ...

    async def describe(self, model: str | None) -> ModelFacts:
        """Facts of the model that `model` names, or of the one in memory. At most every 5 s.

        Raises:
            ModelNotFound: If there is none.
            BackendError: If the server cannot be asked.
        """
        ...

    async def files(self) -> ModelFiles:
        """Where the described model's shape can be read; empty where the server does not tell."""
        ...

    async def read(self) -> ServerReading:
        """The server as it is now. Cheap enough for twice a second.

        Raises:
            BackendError: If the server cannot be asked.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class BackendSource:
    """A server that tells no more than what every backend does: its models and whether it is at work."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._model: str | None = None

    @property
    def facts(self) -> ServerFacts:
        """What answers at the address."""
        return self._backend.facts

    async def describe(self, model: str | None) -> ModelFacts:
        """See `ServerSource.describe`."""
        found = await self._backend.describe(model)
        self._model = found.model
        return found

    async def files(self) -> ModelFiles:
        """See `ServerSource.files`; nothing."""
        return ModelFiles()

    async def read(self) -> ServerReading:
        """See `ServerSource.read`."""
        state = await self._backend.processing_state(self._model) if self._model is not None else None
        return ServerReading() if state is None else ServerReading(state.status, state.queued)

    async def aclose(self) -> None:
        """Close the backend."""
        await self._backend.aclose()


def _per_second(tokens: int | None, seconds: float | None) -> float | None:
    return tokens / seconds if tokens and seconds else None


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def _float_difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
