"""An answer of the model's, gathered from its parts, with the display events it causes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from agentui.backends.base import (
    ChatPart,
    FinishPart,
    PrefillPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UsagePart,
)
from agentui.events import (
    CallId,
    Json,
    MessageEnded,
    MessageId,
    MessageStarted,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
)
from agentui.harness.base import Emit, ToolCall

BAD_ARGUMENTS = "The arguments are not a JSON object with a string `command`"


@dataclass(slots=True)
class _PartialCall:
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Answer:
    """Gathers parts; `message_id` is announced with the first visible part."""

    def __init__(self, message_id: MessageId, turn: int, emit: Emit, clock: Callable[[], float]) -> None:
        self._id = message_id
        self._turn = turn
        self._emit = emit
        self._clock = clock
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, _PartialCall] = {}
        self._thinking_since: float | None = None
        self._thinking_s: float | None = None
        self._is_started = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return "".join(self._text)

    def part(self, part: ChatPart) -> None:
        """Take one part and emit what the screen needs of it."""
        match part:
            case TextPart("") | ThinkingPart(""):
                pass  # a token that is held back as a possible mark: it counts for speed only
            case TextPart(text):
                self._begin()
                self._end_thinking()
                self._text.append(text)
                self._emit(TextDelta(self._id, text))
            case ThinkingPart(text):
                self._begin()
                if self._thinking_since is None:
                    self._thinking_since = self._clock()
                self._thinking.append(text)
                self._emit(ThinkingDelta(self._id, text))
            case ToolCallPart():
                self._begin()
                self._end_thinking()
                self._tool_call(part)
            case UsagePart(usage):
                self.usage = usage
            case FinishPart(reason):
                self.finish_reason = reason
            case PrefillPart():
                pass
            case _:
                assert_never(part)

    def ended(self, stop_reason: str) -> None:
        """Balance `MessageStarted`; does nothing when no part was visible."""
        if self._is_started:
            self._end_thinking()
            self._emit(MessageEnded(self._id, stop_reason, self._thinking_s))

    def _begin(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._emit(MessageStarted(self._id, "assistant", self._turn))

    def _end_thinking(self) -> None:
        if self._thinking_since is not None and self._thinking_s is None:
            self._thinking_s = self._clock() - self._thinking_since

    def _tool_call(self, part: ToolCallPart) -> None:
        call = self._calls.setdefault(part.index, _PartialCall())
        call.call_id = part.call_id or call.call_id
        call.name = part.name or call.name
        call.arguments.append(part.arguments)
        self._emit(ToolCallDelta(self._id, part.index, call.name, part.arguments))

    def calls_json(self) -> list[Json]:
        """The tool calls as they go back to the model, in the order of their index."""
        return [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": _readable("".join(call.arguments))},
            }
            for _, call in sorted(self._calls.items())
        ]

    def calls(self, known_tools: Sequence[str]) -> list[ToolCall]:
        """The tool calls as commands; unusable ones carry `arguments_error`."""
        return [_tool_call(call, known_tools) for _, call in sorted(self._calls.items())]


def _readable(arguments: str) -> str:
    """The arguments as written where they are a JSON object, else inside one: servers parse their history."""
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    return arguments if is_object else json.dumps({"unreadable": arguments}, ensure_ascii=False)


def _tool_call(call: _PartialCall, known_tools: Sequence[str]) -> ToolCall:
    call_id = CallId(call.call_id)
    if call.name not in known_tools:
        offered = ", ".join(known_tools) or "none"
        error = f"There is no tool {call.name!r}; the tools are: {offered}."
        return ToolCall(call_id, call.name, "", arguments_error=error)
    raw = "".join(call.arguments)
    try:
        arguments: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return ToolCall(call_id, call.name, raw, arguments_error=f"{BAD_ARGUMENTS}: {error}.")
    command = arguments.get("command") if isinstance(arguments, dict) else None
    if not isinstance(command, str) or not command.strip():
        return ToolCall(call_id, call.name, raw, arguments_error=f"{BAD_ARGUMENTS}.")
    if "\0" in command:
        return ToolCall(call_id, call.name, command, arguments_error="The command holds a NUL byte.")
    return ToolCall(call_id, call.name, command, _seconds(arguments.get("timeout_s")))


def _seconds(value: object) -> float | None:
    """A timeout as the model wrote it; anything but a positive number counts as none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return float(value)
