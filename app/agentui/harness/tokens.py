"""How many tokens a request will have, before the server says so."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agentui.backends.prefix import reusable_tokens
from agentui.errors import ContextOverflow
from agentui.events import Json, ModelFacts, Usage

BYTES_PER_TOKEN = 3.6
"""English prose and code run at 3.2 to 4.2 bytes a token with Gemma's vocabulary; low is the safe side."""

SMALLEST_ANSWER_TOKENS = 256
"""A prompt that leaves less room for the answer is not sent."""


def body_bytes(messages: Sequence[Json], tools: Sequence[Json] = ()) -> int:
    """Size of the messages and tools as compact JSON. O(bytes)."""
    whole = {"messages": list(messages), "tools": list(tools)}
    return len(json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def refuse_unfit(task: str, model: ModelFacts) -> None:
    """Refuse a task that alone is more than the loaded context: no compaction could help it. O(bytes).

    Raises:
        ContextOverflow: If it is.
    """
    limit = model.loaded_context_tokens
    tokens = round(len(task.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)
    if limit is not None and tokens > limit - SMALLEST_ANSWER_TOKENS:
        raise ContextOverflow(
            f"the task alone needs about {tokens:,} tokens, {model.model} is loaded with {limit:,}",
            hint="put it into a file of the project and name that, or load a longer context (--context N)",
        )


class TokenEstimate:
    """Prompt size from the last answer's exact counts plus an estimate of what was added since.

    Without an answer yet, everything is estimated. The ratio of bytes to tokens is learnt from the answers.
    """

    def __init__(self) -> None:
        self._known_tokens = 0
        self._held_tokens = 0
        self._known_messages = 0
        self._bytes_per_token = BYTES_PER_TOKEN

    def measured(self, messages: int, prompt_bytes: int, usage: Usage) -> None:
        """An answer told the truth about a request of `messages` messages and `prompt_bytes` bytes."""
        prompt_tokens = usage.prompt_tokens or 0
        self._held_tokens = reusable_tokens(usage) or 0
        self._known_tokens = prompt_tokens + (usage.completion_tokens or 0) - (usage.reasoning_tokens or 0)
        self._known_messages = messages + 1  # the answer itself becomes a message
        if prompt_tokens > 200:
            self._bytes_per_token = min(6.0, max(2.0, prompt_bytes / prompt_tokens))

    @property
    def known_tokens(self) -> int:
        """Tokens that the server has read before: the prefix it may still hold."""
        return self._held_tokens

    def forget(self) -> None:
        """The history was replaced: what was measured no longer holds."""
        self._known_tokens = self._held_tokens = 0
        self._known_messages = 0

    def prompt_tokens(self, messages: Sequence[Json], tools: Sequence[Json]) -> int:
        """Estimated prompt tokens of the next request."""
        if self._known_messages and len(messages) >= self._known_messages:
            new = messages[self._known_messages :]
            added = body_bytes(new) if new else 0
            return self._known_tokens + round(added / self._bytes_per_token)
        return round(body_bytes(messages, tools) / self._bytes_per_token)
