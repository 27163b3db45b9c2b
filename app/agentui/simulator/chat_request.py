"""What a request for generated text asks for, parsed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentui.simulator.answers import Refusal, object_error

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion request; unknown parameters are ignored, as the real server does."""

    model: str
    messages: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...] = ()
    stream: bool = False
    include_usage: bool = False
    return_progress: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    ttl_s: float | None = None


def as_object(value: object) -> JsonObject:
    """Return a JSON object as a dictionary, and an empty one for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _objects(value: object) -> tuple[JsonObject, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return tuple(as_object(item) for item in value if isinstance(item, Mapping))


def _cap(body: JsonObject) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if isinstance(value, int) and value >= 0:
            return value
    return None


def _stops(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, Sequence):
        return tuple(item for item in value if isinstance(item, str) and item)
    return ()


def parse_chat(body: JsonObject) -> ChatRequest:
    """Read a chat completion request.

    Raises:
        Refusal: With status 400, if `messages` is missing.
    """
    messages = _objects(body.get("messages"))
    if not messages:
        raise Refusal(400, object_error("'messages' field is required", code=None, param="messages"))
    model, ttl = body.get("model"), body.get("ttl")
    options = as_object(body.get("stream_options"))
    return ChatRequest(
        model=model if isinstance(model, str) else "",
        messages=messages,
        tools=() if body.get("tool_choice") == "none" else _objects(body.get("tools")),
        stream=body.get("stream") is True,
        include_usage=options.get("include_usage") is True,
        return_progress=body.get("return_progress") is True,
        max_tokens=_cap(body),
        stop=_stops(body.get("stop")),
        ttl_s=float(ttl) if isinstance(ttl, int | float) else None,
    )


def parse_completion(body: JsonObject) -> ChatRequest:
    """Read a legacy completion request; the prompt is taken as one user message.

    Raises:
        Refusal: With status 400, if `prompt` is missing.
    """
    prompt = body.get("prompt")
    if isinstance(prompt, Sequence) and not isinstance(prompt, str):
        prompt = "".join(str(part) for part in prompt)
    if not isinstance(prompt, str):
        raise Refusal(400, object_error("'prompt' field is required", code=None, param="prompt"))
    return parse_chat({**body, "messages": [{"role": "user", "content": prompt}], "tools": None})
