"""The model's context as a fold of history events, and what must always hold of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agentui.events import Event, HistoryAppended, HistoryReplaced, Json
from agentui.text import whole


def after_event(messages: list[Json], event: Event) -> list[Json]:
    """The messages of the model's context after one more event: `messages` grown in place, or a new list."""
    match event:
        case HistoryAppended(message, joins_last=joins_last):
            if joins_last and messages:
                messages.pop()
            messages.append(message)
            return messages
        case HistoryReplaced(replaced, _):
            return list(replaced)
        case _:
            return messages


def fold_history(events: Iterable[Event]) -> list[Json]:
    """The messages of the model's context after `events`, in order; the exact JSON that was sent."""
    messages: list[Json] = []
    for event in events:
        messages = after_event(messages, event)
    return messages


def open_call_ids(messages: Iterable[Json]) -> list[str]:
    """Ids of tool calls that have no result yet, in the order the model made them."""
    waiting: dict[str, None] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            waiting[call["id"]] = None
        if message.get("role") == "tool":
            waiting.pop(message.get("tool_call_id", ""), None)
    return list(waiting)


def system_message(text: str) -> dict[str, Any]:
    """What the model is told before all else, as sent."""
    return {"role": "system", "content": whole(text)}


def user_message(text: str) -> dict[str, Any]:
    """A message of the user's, as sent."""
    return {"role": "user", "content": whole(text)}


def with_user_text(messages: Sequence[Json], text: str) -> list[Json]:
    """The messages with `text` of the user's at the end, in one message with what the user said last.

    Templates of small models refuse two user messages in a row.
    """
    if not messages or messages[-1].get("role") != "user":
        return [*messages, user_message(text)]
    return [*messages[:-1], user_message(f"{messages[-1]['content']}\n\n{text}")]


def tool_message(call_id: str, text: str) -> dict[str, Any]:
    """The result of a tool call, as sent."""
    return {"role": "tool", "tool_call_id": call_id, "content": whole(text)}


def assistant_message(text: str, tool_calls: Iterable[Json] = (), reasoning: str = "") -> dict[str, Any]:
    """An answer of the model's, as sent back to it; thinking is left out unless `reasoning` is given."""
    message: dict[str, Any] = {"role": "assistant", "content": whole(text)}
    calls = list(tool_calls)
    if calls:
        message["tool_calls"] = calls
    if reasoning:
        message["reasoning_content"] = whole(reasoning)
    return message
