"""Shorten a history that no longer fits: the user's own words stay, the rest becomes a summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentui.events import Json
from agentui.history import user_message

SUMMARY_REQUEST = """\
The conversation is about to be shortened. Write a summary from which you can go on with the task without the
earlier messages: what was asked, what you found out, which files you changed and how, what is still to do, and
any command output you will need again. Only the summary, no tool calls."""

_HEADER = "Earlier messages were shortened to save context. What I, the user, asked so far:"
_SUMMARY = "Your own summary of the work so far:"
_GO_ON = "Go on from here."
_CUT_AT = 400


def reserve_tokens(context_tokens: int) -> int:
    """Tokens kept free for the answer: an eighth of the context, at least 1,024, at most 8,192."""
    return max(1024, min(8192, context_tokens // 8))


def wants_compaction(estimated_tokens: int, context_tokens: int | None) -> bool:
    """Whether the next request would leave less than the reserve for the answer."""
    if context_tokens is None:
        return False
    return estimated_tokens > context_tokens - reserve_tokens(context_tokens)


def can_compact(messages: Sequence[Json]) -> bool:
    """Whether there is anything but system prompt and the user's own words to shorten."""
    return any(m.get("role") in ("assistant", "tool") for m in messages)


def condensed(messages: Sequence[Json]) -> list[Json]:
    """The same messages with long tool results cut, for asking for a summary that itself must fit."""
    short: list[Json] = []
    for message in messages:
        content = message.get("content")
        if message.get("role") == "tool" and isinstance(content, str) and len(content) > _CUT_AT:
            short.append({**message, "content": content[:_CUT_AT] + "\n[cut]"})
        else:
            short.append(message)
    return short


def mechanical_summary(messages: Sequence[Json]) -> str:
    """The commands run so far with the first line of each result, for a model that gave no summary."""
    results = {m.get("tool_call_id"): str(m.get("content", "")) for m in messages if m.get("role") == "tool"}
    lines = ["Commands run so far, each with the first line of its result:"]
    for message in messages:
        for call in message.get("tool_calls") or ():
            first = results.get(call["id"], "").split("\n", 1)[0][:200]
            lines.append(f"- {call['function']['arguments'][:_CUT_AT]} -> {first}")
    return "\n".join(lines)


def compacted(messages: Sequence[Json], summary: str) -> tuple[Json, ...]:
    """The new history: system prompt, and one message with the user's words and the summary.

    One message, because chat templates of small models insist on user and assistant taking turns.
    """
    system = [m for m in messages if m.get("role") == "system"]
    asked = [text for m in messages if m.get("role") == "user" and (text := own_words(m))]
    words = "\n\n".join(asked)
    text = f"{_HEADER}\n\n{words}\n\n{_SUMMARY}\n\n{summary.strip()}\n\n{_GO_ON}"
    return (*system, user_message(text))


def own_words(message: Json) -> str:
    """What the user said in a message; for an already compacted one only the words, not the old summary."""
    content: Any = message.get("content")
    if not isinstance(content, str):
        return ""
    if content.startswith(_HEADER):
        return content.removeprefix(_HEADER).split(_SUMMARY)[0].strip()
    return content.strip()
