"""The tool calls of /api/v1/chat: the server's own (MCP), never the client's."""

from __future__ import annotations

import json
from dataclasses import dataclass

from agentui.simulator.chat_request import JsonObject, as_object
from agentui.simulator.reply import Reply, ToolCall

_TOOL = "model_search"
_ARGUMENTS: JsonObject = {"limit": 1}
_OUTPUT = '[{"type":"text","text":"google/gemma-4-26b-a4b"}]'


@dataclass(frozen=True, slots=True)
class Integration:
    """A server of tools that a request brings along or names."""

    info: JsonObject
    tool: str | None
    """The tool the model calls; None when it calls one that is not allowed."""


def first_integration(value: object) -> Integration | None:
    """Return the first usable integration of a request."""
    items = value if isinstance(value, list) else []
    for item in items:
        if isinstance(item, str):
            return Integration({"type": "plugin", "plugin_id": item}, _TOOL)
        described = as_object(item)
        allowed = described.get("allowed_tools")
        tool = str(allowed[0]) if isinstance(allowed, list) and allowed else None
        chosen = _TOOL if allowed is None else tool
        if described.get("type") == "ephemeral_mcp":
            label = str(described.get("server_label", ""))
            return Integration({"type": "ephemeral_mcp", "server_label": label}, chosen)
        if described.get("type") == "plugin":
            return Integration({"type": "plugin", "plugin_id": str(described.get("id", ""))}, chosen)
    return None


def calling_reply(integration: Integration) -> Reply:
    """Return the answer in which the model calls the tool."""
    return Reply(
        thinking="There is a tool for this; I call it once.",
        calls=(ToolCall(integration.tool or _TOOL, json.dumps(_ARGUMENTS)),),
    )


def call_events(integration: Integration) -> list[tuple[str, JsonObject]]:
    """Return the events of one call, in order."""
    if integration.tool is None:
        started: JsonObject = {"tool": _TOOL, "provider_info": integration.info}
        failed: JsonObject = {"reason": f'Tool "{_TOOL}" is not allowed.', "metadata": _failure(integration)}
        return [("tool_call.start", started), ("tool_call.failure", failed)]
    named: JsonObject = {"tool": integration.tool, "provider_info": integration.info}
    with_arguments: JsonObject = {**named, "arguments": _ARGUMENTS}
    return [
        ("tool_call.start", named),
        ("tool_call.arguments", with_arguments),
        ("tool_call.success", {**with_arguments, "output": _OUTPUT}),
    ]


def call_output(integration: Integration) -> JsonObject:
    """Return the call as an element of the finished answer's `output`."""
    if integration.tool is None:
        return {
            "type": "invalid_tool_call",
            "reason": f'Tool "{_TOOL}" is not allowed.',
            "metadata": _failure(integration),
        }
    return {
        "type": "tool_call",
        "tool": integration.tool,
        "arguments": _ARGUMENTS,
        "output": _OUTPUT,
        "provider_info": integration.info,
    }


def _failure(integration: Integration) -> JsonObject:
    return {
        "type": "invalid_name",
        "tool_name": _TOOL,
        "arguments": _ARGUMENTS,
        "provider_info": integration.info,
    }
