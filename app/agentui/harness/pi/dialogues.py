"""What Pi's extensions ask by dialogue: our own questions decoded, foreign ones put to the user."""

from __future__ import annotations

import json
from typing import Any

from agentui.backends.fields import as_object, as_rate, as_text, parse_json
from agentui.events import AskKind, CallId
from agentui.harness.base import Dialogue, ToolCall, ToolResult
from agentui.harness.pi.records import UiRequest

EXEC, GATE = "agentui.exec", "agentui.gate"
_KINDS: dict[str, AskKind] = {"select": "select", "confirm": "confirm", "input": "input", "editor": "editor"}
_BAD_COMMAND = "The arguments are not a JSON object with a string `command`"


def call_of(request: UiRequest) -> ToolCall:
    """The command that `agentui.exec` asks for."""
    fields = as_object(parse_json(request.text))
    command = as_text(fields.get("command"))
    return ToolCall(
        CallId(as_text(fields.get("id")) or ""),
        "bash",
        command or "",
        as_rate(fields.get("timeout")),
        None if command else _BAD_COMMAND,
    )


def exec_answer(request: UiRequest, result: ToolResult) -> dict[str, Any]:
    """The answer to `agentui.exec`: exactly what the model gets."""
    value = json.dumps({"text": result.text, "is_error": result.outcome != "ok"})
    return {"type": "extension_ui_response", "id": request.id, "value": value}


def gate_answer(request: UiRequest) -> dict[str, Any]:
    """The answer to `agentui.gate`: the next request may be sent."""
    return {"type": "extension_ui_response", "id": request.id, "value": "go"}


def dialogue_of(request: UiRequest) -> Dialogue:
    """A foreign extension's question, for the screen."""
    kind = _KINDS.get(request.method, "input")
    choices = ("yes", "no") if kind == "confirm" else request.options
    why = request.message or "an extension of Pi asks"
    return Dialogue(request.title or "An extension of Pi asks", why, kind, choices, request.text)


def dialogue_answer(request: UiRequest, answer: str | None) -> dict[str, Any]:
    """What the user said to a foreign question, ``None`` for nothing."""
    fields: dict[str, Any] = {"type": "extension_ui_response", "id": request.id}
    if answer is None:
        return {**fields, "cancelled": True}
    if request.method == "confirm":
        return {**fields, "confirmed": answer == "yes"}
    return {**fields, "value": answer}
