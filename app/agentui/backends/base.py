"""What a model server is to the rest of agentui, and the values that cross that border."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from agentui.events import Json, ModelFacts, Source, Usage

ServerKind = Literal["lmstudio", "llama.cpp", "ollama", "openai"]
ProcessingStatus = Literal["idle", "prefill", "generating", "other"]


@dataclass(frozen=True, slots=True)
class LoadedInstance:
    """A model in the server's memory. `id` is what a request names; lengths in tokens."""

    id: str
    context_tokens: int | None = None
    parallel: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model that the server offers, loaded or not. `size_bytes` is that of its files."""

    key: str
    display_name: str = ""
    kind: Literal["llm", "embedding", "unknown"] = "unknown"
    architecture: str | None = None
    quantization: str | None = None
    engine: str | None = None
    size_bytes: int | None = None
    trained_context_tokens: int | None = None
    trained_for_tools: bool | None = None
    is_remote: bool = False
    instances: tuple[LoadedInstance, ...] = ()

    @property
    def is_loaded(self) -> bool:
        """Whether at least one instance is in memory."""
        return bool(self.instances)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What answered at an address.

    `can_load` says whether models can be loaded and unloaded through it; where not `lists_models`, one must be
    named. `api_path` is where the OpenAI-style routes lie below `base_url`, as far as that is known.
    """

    kind: ServerKind
    base_url: str
    version: str | None = None
    can_load: bool = False
    is_remote: bool = False
    is_simulated: bool = False
    lists_models: bool = True
    api_path: str = "/v1"


@dataclass(frozen=True, slots=True)
class ProcessingState:
    """What the server is doing, for all of its clients; `queued` contains the running request."""

    status: ProcessingStatus
    queued: int | None = None


# --- one chat request ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request. `messages` and `tools` are sent as they are, in order; sampling only what is set."""

    model: str
    messages: tuple[Json, ...]
    tools: tuple[Json, ...] = ()
    max_tokens: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrefillPart:
    """The server read more of the prompt."""

    processed_tokens: int
    total_tokens: int
    cached_tokens: int | None
    source: Source = "reported"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingPart:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A piece of a tool call; `call_id` and `name` come with its first piece only."""

    index: int
    arguments: str
    call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """The server's own clock for this answer; rates in tokens per second."""

    ttft_s: float | None = None
    prefill_tok_per_s: float | None = None
    decode_tok_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class UsagePart:
    """Exact counts, and timings where the server gives them."""

    usage: Usage
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class FinishPart:
    """The model stopped: stop, length, tool_calls. `model` is the instance that really answered."""

    reason: str
    model: str | None = None


ChatPart: TypeAlias = PrefillPart | TextPart | ThinkingPart | ToolCallPart | UsagePart | FinishPart

LoadProgress: TypeAlias = Callable[[float | None], None]
"""Called with 0..1, or None where only time passes."""


class Backend(Protocol):
    """A model server. All methods are coroutines or async iterators on the run's event loop.

    A contract suite checks every implementation: the same chat gives the same parts whatever the chunking,
    failures are raised as `BackendError`s, and cancelling the task that iterates `chat` closes the connection.
    """

    @property
    def facts(self) -> ServerFacts:
        """What answered at the address, as of `connect`."""
        ...

    async def connect(self) -> ServerFacts:
        """Find out what answers at the address.

        Raises:
            BackendUnavailable: If nothing usable answers; the message names the address.
        """
        ...

    async def models(self) -> tuple[ServerModel, ...]:
        """All models, read anew. Polling faster than every 5 s is impolite (the server logs each call)."""
        ...

    async def describe(self, model: str | None) -> ModelFacts:
        """Facts of the model that `model` names (a key or instance id), or of the only loaded one.

        Raises:
            ModelNotFound: If there is no such model, or none is loaded and none was named.
        """
        ...

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        """Load `model`, or reload it where the context length differs; never a second instance.

        Raises:
            ModelLoadFailed: If the engine or the server's memory guardrail refused.
        """
        ...

    async def unload(self, instance_id: str) -> None:
        """Remove an instance from memory."""
        ...

    async def processing_state(self, instance_id: str) -> ProcessingState | None:
        """What the server is doing; ``None`` where it cannot say. Cheap enough for twice a second."""
        ...

    async def prepare_chat(self) -> None:
        """Wait until a request can leave at once. Takes a second or two the first time, nothing later.

        Raises:
            BackendError: If it cannot be prepared.
        """
        ...

    def chat(self, request: ChatRequest) -> AsyncIterator[ChatPart]:
        """Send one request and yield its parts; ends after a `FinishPart`.

        Cancelling the iterating task closes the connection, which is the only cancel there is.

        Raises:
            BackendError: Any of its kinds; parts yielded before stay valid.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
