"""Which part of a prompt was sent before: from the exact messages, request by request.

A server can reuse what it read for the last request as far as the new one begins with the same bytes. Here both
are compared; how much the server really reused is its own to say, and else inferred (see `backends.meter`).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from statistics import median

from agentui.events import Json, Usage
from agentui.frozen import frozen

_PACES_KEPT = 5
_SLACK = 1.25
"""So much longer than at its usual speed a server may take for a prompt that it reads from the beginning."""
LEAST_PACE_TOKENS = 256
"""Prompt tokens from which the speed of reading them is worth remembering; fewer drown in the fixed cost."""


@frozen
class Prefix:
    """How a prompt begins, compared with the last one of the same conversation.

    `first_changed` is the index of the first message that is not what was sent before, ``None`` where the
    prompt only goes on (or nothing was sent before). `known_tokens` estimates what the server
    has read of it; ``None`` where nobody knows.
    """

    first_changed: int | None = None
    known_tokens: int | None = None


class PrefixAccount:
    """Compares each prompt with the one before it. Every call costs as much as what is new, or changed."""

    def __init__(self) -> None:
        self._tools: tuple[Json, ...] = ()
        self._messages: tuple[Json, ...] | None = None
        self._tokens: int | None = None

    def asked(self, messages: Sequence[Json], tools: Sequence[Json] = ()) -> Prefix:
        """Account for a prompt that is about to be sent."""
        before, tokens = self._messages, self._tokens
        were_tools = self._tools
        self._messages, self._tools, self._tokens = tuple(messages), tuple(tools), None
        if before is None:
            return Prefix(None, 0)
        if not _is_same(were_tools, self._tools):
            return Prefix(0, 0)
        shared = _shared(before, self._messages)
        if shared == len(before):
            return Prefix(None, tokens)
        if tokens is None:
            return Prefix(shared, None)
        whole = _size(before)
        return Prefix(shared, round(tokens * _size(before[:shared]) / whole) if whole else 0)

    def answered(self, usage: Usage) -> None:
        """The server has counted the last prompt and its answer, both of which it holds now."""
        tokens = reusable_tokens(usage)
        self._tokens = self._tokens if tokens is None else tokens


def reusable_tokens(usage: Usage) -> int | None:
    """How much of a counted prompt and its answer begins the next prompt of the conversation.

    Thoughts are not sent back, so what was written after them stands elsewhere and is read again.
    """
    if usage.prompt_tokens is None or usage.reasoning_tokens:
        return usage.prompt_tokens
    return usage.prompt_tokens + (usage.completion_tokens or 0)


class PrefillPace:
    """How fast the server reads prompts, as far as it was seen; shared by all requests to one model."""

    def __init__(self) -> None:
        self._paces: deque[float] = deque(maxlen=_PACES_KEPT)
        self._is_confirmed = False

    def note(self, read_tokens: int, seconds: float | None) -> None:
        """So many tokens were read in that time; too few to say anything are passed over."""
        if seconds and seconds > 0 and read_tokens >= LEAST_PACE_TOKENS:
            self._paces.append(read_tokens / seconds)

    def check(self, least_tokens: int, most_tokens: int, seconds: float | None) -> None:
        """Replace a first guess that cannot be: so many tokens at least, and at most, were read in that time.

        The first prompt is believed to have been read whole. But the server may have had it from a session
        before this one, or may have loaded the model first.
        """
        pace = self.tok_per_s
        if self._is_confirmed or pace is None or not seconds or least_tokens < LEAST_PACE_TOKENS:
            return
        read_tokens = pace * seconds
        if least_tokens <= read_tokens <= 2 * least_tokens:
            self._is_confirmed = True
        elif not least_tokens <= read_tokens <= _SLACK * most_tokens:
            self._paces.clear()
            self.note(least_tokens, seconds)

    @property
    def tok_per_s(self) -> float | None:
        """The usual speed, ``None`` before any was seen."""
        return median(self._paces) if self._paces else None


def _shared(before: Sequence[Json], now: Sequence[Json]) -> int:
    """How many messages both begin with."""
    for index, (one, other) in enumerate(zip(before, now, strict=False)):
        if not _is_same(one, other):
            return index
    return min(len(before), len(now))


def _is_same(one: object, other: object) -> bool:
    """Whether two values give the same bytes: the order of keys counts."""
    return one is other or (one == other and _bytes(one) == _bytes(other))


def _size(messages: Sequence[Json]) -> int:
    return sum(len(_bytes(message)) for message in messages)


def _bytes(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
