"""A deterministic stand-in for a tokenizer, and the prompt a chat is rendered to.

Real vocabularies have some four characters per token in English text and fewer in code; the pattern below
comes close enough for times and fill levels. Joining the tokens of a text gives the text back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

_PIECE = re.compile(
    r"(?:\\n){1,3} {0,16}|(?:\\\"){1,3}| ?[^\W\d_]{1,10}|\d{1,3}|\n+ {0,16}|_{1,16}[^\W\d_]{1,8}_{0,16}"
    r"| ?[^\w\s\\]{1,3}|[ \t]+|\s+|.",
    re.DOTALL,
)


@lru_cache(maxsize=4096)
def tokenize(text: str) -> tuple[str, ...]:
    """Cut a text into tokens; their concatenation is the text. Linear in the text's length."""
    return tuple(_PIECE.findall(text))


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _segments(messages: Iterable[Mapping[str, object]], tools: Sequence[object]) -> Iterable[str]:
    if tools:
        yield "<|tool>" + json.dumps(tools, ensure_ascii=False, sort_keys=True) + "<tool|>\n"
    for message in messages:
        role = str(message.get("role", "user"))
        # As Gemma's template does: thoughts of earlier answers are not part of the prompt.
        yield f"<|turn>{'model' if role == 'assistant' else role}\n"
        yield text_of(message.get("content"))
        calls = message.get("tool_calls")
        if isinstance(calls, Sequence):
            for call in calls:
                yield from _rendered_call(call)
        yield "<turn|>\n"
    yield "<|turn>model\n"


def call_opening(name: str) -> str:
    """Return what the model writes before the arguments of a tool call."""
    return f"<|tool_call>{name}"


def _rendered_call(call: object) -> Iterable[str]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if isinstance(function, Mapping):
        yield call_opening(str(function.get("name", "")))
        yield str(function.get("arguments", ""))


def prompt_tokens(messages: Iterable[Mapping[str, object]], tools: Sequence[object] = ()) -> tuple[str, ...]:
    """Return the tokens of the prompt a chat is rendered to; every segment is cut on its own.

    Cutting by segment keeps the tokens of an append-only chat a prefix of those of its continuation.
    """
    rendered: list[str] = []
    for segment in _segments(messages, tools):
        rendered.extend(tokenize(segment))
    return tuple(rendered)


def common_prefix(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many leading tokens two prompts share. Linear in the shorter one."""
    length = min(len(first), len(second))
    for index in range(length):
        if first[index] != second[index]:
            return index
    return length
