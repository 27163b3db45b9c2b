"""What Pi says, as values: a tolerant, pure parser of the records of its RPC mode.

Fields that newer or older versions lack are optional; what is not used or not known becomes `Unknown` and is
passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from agentui.backends.fields import as_count, as_flag, as_list, as_object, parse_json
from agentui.events import Usage
from agentui.text import whole

DeltaKind = Literal["text", "thinking", "toolcall"]
DeltaStep = Literal["start", "delta", "end"]


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a command; without an `id` it belongs to a line that Pi could not read."""

    id: str
    command: str
    success: bool
    data: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class AgentSettled:
    """Pi will not go on by itself. Only this is the end: one task may begin and end several agents."""


@dataclass(frozen=True, slots=True)
class PiTurnEnded:
    """The request and its tools are over."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call in an answer. `arguments` are empty where they were no JSON object."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PiMessage:
    """A message of Pi's transcript, whatever its role; `text` is all of its parts that are text.

    `is_blank` tells one without any part: no text, no thought, no call.
    """

    role: str
    text: str = ""
    calls: tuple[ToolUse, ...] = ()
    stop_reason: str = ""
    error: str = ""
    call_id: str = ""
    usage: Usage = field(default_factory=Usage)
    is_blank: bool = False

    @property
    def says_nothing(self) -> bool:
        """Whether an answer holds nothing at all: a model with nothing to say counts a token at least."""
        return self.is_blank and self.stop_reason == "stop" and not self.usage.completion_tokens


@dataclass(frozen=True, slots=True)
class PiMessageStarted:
    """A message begins. An assistant's may hold what the deltas will repeat."""

    message: PiMessage


@dataclass(frozen=True, slots=True)
class PiMessageEnded:
    """A message is complete, and this is the truth of it."""

    message: PiMessage


@dataclass(frozen=True, slots=True)
class PiDelta:
    """A step of a block of the growing answer."""

    kind: DeltaKind
    step: DeltaStep
    index: int
    text: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True)
class ToolBegan:
    """A tool starts, or is about to be refused."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolProgressed:
    """The whole output so far (or its tail): it replaces the last one."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool is over; `duration_s` is missing where it was not run."""

    call_id: str
    name: str
    text: str
    is_error: bool
    exit_code: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class CompactionBegan:
    """Pi summarises: manual, threshold or overflow."""

    reason: str


@dataclass(frozen=True, slots=True)
class CompactionFinished:
    """What became of it."""

    reason: str
    summary: str
    before_tokens: int | None
    after_tokens: int | None
    aborted: bool
    error: str


@dataclass(frozen=True, slots=True)
class RetryBegan:
    """Pi waits and asks again, for an answer or for a summary."""

    attempt: int
    delay_s: float
    error: str
    is_summary: bool = False


@dataclass(frozen=True, slots=True)
class UiRequest:
    """An extension wants something of the screen; see `is_dialogue`."""

    id: str
    method: str
    title: str = ""
    message: str = ""
    options: tuple[str, ...] = ()
    text: str = ""
    timeout_s: float | None = None

    @property
    def is_dialogue(self) -> bool:
        """Whether Pi waits for an answer."""
        return self.method in ("select", "confirm", "input", "editor")


@dataclass(frozen=True, slots=True)
class ExtensionFailed:
    """An extension raised an error."""

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record that is not used, or cannot be read."""

    type: str


PiRecord: TypeAlias = (
    Response
    | AgentSettled
    | PiTurnEnded
    | PiMessageStarted
    | PiMessageEnded
    | PiDelta
    | ToolBegan
    | ToolProgressed
    | ToolFinished
    | CompactionBegan
    | CompactionFinished
    | RetryBegan
    | UiRequest
    | ExtensionFailed
    | Unknown
)


def parse_record(line: bytes | str) -> PiRecord:
    """A line of Pi's; never raises."""
    return record_of(parse_json(line))


def record_of(value: object) -> PiRecord:
    """A decoded record; never raises."""
    fields = as_object(value)
    kind = _text(fields.get("type"))
    match kind:
        case "response":
            return _response(fields)
        case "agent_settled":
            return AgentSettled()
        case "turn_end":
            return PiTurnEnded()
        case "message_start":
            return PiMessageStarted(message_of(fields.get("message")))
        case "message_end":
            return PiMessageEnded(message_of(fields.get("message")))
        case "message_update":
            return _delta(as_object(fields.get("assistantMessageEvent")))
        case "extension_ui_request":
            return _ui_request(fields)
        case "extension_error":
            return ExtensionFailed(_text(fields.get("extensionPath")), _text(fields.get("error")))
        case _ if kind.startswith("tool_execution_"):
            return _tool(kind, fields)
        case _:
            return _lifecycle(kind, fields)


def _lifecycle(kind: str, fields: Mapping[str, Any]) -> PiRecord:
    match kind:
        case "compaction_start":
            return CompactionBegan(_text(fields.get("reason")))
        case "compaction_end":
            result = as_object(fields.get("result"))
            return CompactionFinished(
                _text(fields.get("reason")),
                _text(result.get("summary")),
                as_count(result.get("tokensBefore")),
                as_count(result.get("estimatedTokensAfter")),
                as_flag(fields.get("aborted")) or False,
                _text(fields.get("errorMessage")),
            )
        case "auto_retry_start" | "summarization_retry_scheduled":
            return RetryBegan(
                as_count(fields.get("attempt")) or 1,
                _seconds(fields.get("delayMs")) or 0.0,
                _error(fields.get("errorMessage")),
                is_summary=kind == "summarization_retry_scheduled",
            )
        case _:
            return Unknown(kind)


def _response(fields: Mapping[str, Any]) -> Response:
    return Response(
        _text(fields.get("id")),
        _text(fields.get("command")),
        as_flag(fields.get("success")) or False,
        as_object(fields.get("data")),
        _text(fields.get("error")),
    )


_DELTA_KINDS: dict[str, DeltaKind] = {"text": "text", "thinking": "thinking", "toolcall": "toolcall"}
_DELTA_STEPS: dict[str, DeltaStep] = {"start": "start", "delta": "delta", "end": "end"}


def _delta(event: Mapping[str, Any]) -> PiRecord:
    name = _text(event.get("type"))
    kind_word, _, step_word = name.partition("_")
    kind, step = _DELTA_KINDS.get(kind_word), _DELTA_STEPS.get(step_word)
    if kind is None or step is None:
        return Unknown(f"message_update.{name}")
    text = _text(event.get("delta")) if step == "delta" else ""
    return PiDelta(kind, step, as_count(event.get("contentIndex")) or 0, text, _text(event.get("toolName")))


def _tool(kind: str, fields: Mapping[str, Any]) -> PiRecord:
    call_id, name = _text(fields.get("toolCallId")), _text(fields.get("toolName"))
    match kind:
        case "tool_execution_start":
            return ToolBegan(call_id, name, as_object(fields.get("args")))
        case "tool_execution_update":
            return ToolProgressed(call_id, _content_text(as_object(fields.get("partialResult")).get("content")))
        case "tool_execution_end":
            result = as_object(fields.get("result"))
            structured = as_object(result.get("structuredContent"))
            return ToolFinished(
                call_id,
                name,
                _content_text(result.get("content")),
                as_flag(fields.get("isError")) or False,
                as_count(structured.get("exit_code")),
                _seconds(fields.get("durationMs")),
            )
        case _:
            return Unknown(kind)


def _ui_request(fields: Mapping[str, Any]) -> UiRequest:
    return UiRequest(
        _text(fields.get("id")),
        _text(fields.get("method")),
        _text(fields.get("title")),
        _text(fields.get("message")),
        _texts(fields.get("options")),
        _text(fields.get("placeholder")) or _text(fields.get("prefill")),
        _seconds(fields.get("timeout")),
    )


def message_of(value: object) -> PiMessage:
    """A message of Pi's; never raises."""
    fields = as_object(value)
    content = fields.get("content")
    parts = [as_object(part) for part in as_list(content)]
    calls = tuple(_tool_use(part) for part in parts if part.get("type") == "toolCall")
    return PiMessage(
        _text(fields.get("role")),
        _content_text(content),
        calls,
        _text(fields.get("stopReason")),
        _error(fields.get("errorMessage")),
        _text(fields.get("toolCallId")),
        _usage(as_object(fields.get("usage"))),
        is_blank=not parts and not _content_text(content).strip(),
    )


def _tool_use(part: Mapping[str, Any]) -> ToolUse:
    return ToolUse(_text(part.get("id")), _text(part.get("name")), as_object(part.get("arguments")))


def _usage(fields: Mapping[str, Any]) -> Usage:
    """Pi's `input` is what the server read anew; zeros are what Pi says before it knows."""
    read, cached = as_count(fields.get("input")), as_count(fields.get("cacheRead"))
    if not as_count(fields.get("totalTokens")):
        return Usage()
    return Usage(
        None if read is None else read + (cached or 0),
        as_count(fields.get("output")),
        as_count(fields.get("reasoning")),
        cached,
    )


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return _text(content)
    parts = (as_object(part) for part in as_list(content))
    return "".join(_text(part.get("text")) for part in parts if part.get("type") == "text")


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in as_list(value))


def _text(value: object) -> str:
    """A text that can be written as UTF-8; empty for anything else."""
    return whole(value) if isinstance(value, str) else ""


def _error(value: object) -> str:
    """What went wrong, in words: Pi hands on the body of a refused request as it came, behind the status."""
    text = _text(value)
    status, _, body = text.partition(": ")
    if not status.isdecimal() or not body.startswith("{"):
        return text
    said = as_object(parse_json(body))
    inner = as_object(said.get("error"))
    message = _text(inner.get("message")) or _text(said.get("message")) or _text(said.get("error"))
    return f"{status}: {message}" if message else text


def _seconds(milliseconds: object) -> float | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds < 1e12 else None
