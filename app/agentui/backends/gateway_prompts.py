"""What is known of a client's prompts before the server says so: size, place in the conversation, retries."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agentui.backends.fields import as_list, as_object, as_text, parse_json
from agentui.backends.prefix import reusable_tokens
from agentui.events import Json, Usage

BYTES_PER_TOKEN = 3.6
"""Prose and code run at 3.2 to 4.2 bytes a token; low is the safe side. Learnt from the answers."""

_LEAST_LEARNT_TOKENS = 200
_CONVERSATIONS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request of a client: its exact bytes, and what they let expect.

    `likely_cached_tokens` is what the same conversation had sent before, 0 for the very first request, ``None``
    where that is not known. A byte-identical request after one that was not answered is its next `attempt`.
    """

    body: bytes
    model: str
    messages: int
    estimated_tokens: int
    likely_cached_tokens: int | None
    turn: int
    attempt: int
    first_changed: int | None


@dataclass(frozen=True, slots=True)
class _Answered:
    """A prompt that the server has counted."""

    model: str
    messages: tuple[Json, ...]
    body_bytes: int
    prompt_tokens: int
    held_tokens: int


class PromptAccount:
    """Keeps the last conversations that came through; every call costs as much as the request is long."""

    def __init__(self) -> None:
        self._answered: deque[_Answered] = deque(maxlen=_CONVERSATIONS_KEPT)
        self._open_body = b""
        self._attempt = 0
        self._turn = 0
        self._last_messages: tuple[Json, ...] | None = None
        self._bytes_per_token = BYTES_PER_TOKEN

    def asked(self, body: bytes) -> Prompt:
        """Account for a request that leaves for the server."""
        fields = as_object(parse_json(body))
        messages = _messages(fields)
        if body == self._open_body:
            self._attempt += 1
        else:
            self._turn, self._attempt, self._open_body = self._turn + 1, 1, body
        model = as_text(fields.get("model")) or ""
        known = self._known(model, messages)
        estimated = round(len(body) / self._bytes_per_token)
        if known is not None:
            estimated = known.prompt_tokens + round(
                max(0, len(body) - known.body_bytes) / self._bytes_per_token
            )
        likely = known.held_tokens if known is not None else None if self._answered else 0
        changed = _first_changed(self._last_messages, messages)
        self._last_messages = messages
        return Prompt(body, model, len(messages), estimated, likely, self._turn, self._attempt, changed)

    def answered(self, prompt: Prompt, usage: Usage) -> None:
        """The server has answered it; `usage` is its own count, as far as it gives one."""
        if self._open_body == prompt.body:
            self._open_body = b""
        if usage.prompt_tokens is None:
            return
        held = reusable_tokens(usage) or 0
        messages = _messages(as_object(parse_json(prompt.body)))
        self._answered.append(_Answered(prompt.model, messages, len(prompt.body), usage.prompt_tokens, held))
        if usage.prompt_tokens > _LEAST_LEARNT_TOKENS:
            self._bytes_per_token = min(6.0, max(2.0, len(prompt.body) / usage.prompt_tokens))

    def _known(self, model: str, messages: tuple[Json, ...]) -> _Answered | None:
        """The longest answered prompt of which this one is the continuation."""
        longest: _Answered | None = None
        for before in self._answered:
            size = len(before.messages)
            if not size or before.model != model or messages[:size] != before.messages:
                continue
            if longest is None or size > len(longest.messages):
                longest = before
        return longest


def _messages(fields: Json) -> tuple[Json, ...]:
    """The messages of a chat, or of the same thing under the name it has for ``/v1/responses``."""
    listed = as_list(fields.get("messages")) or as_list(fields.get("input"))
    return tuple(as_object(message) for message in listed)


def _first_changed(before: tuple[Json, ...] | None, now: tuple[Json, ...]) -> int | None:
    """Index of the first message of `before` that `now` does not repeat; ``None`` when it only goes on."""
    if before is None:
        return None
    for index, message in enumerate(before):
        if index >= len(now) or now[index] != message:
            return index
    return None
