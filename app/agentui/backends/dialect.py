"""How one provider wants its requests: the `compat` flags of ``models.json``, put into a request's body. Pure.

Without a flag only what every local server takes is sent: role ``system``, ``max_tokens``, no ``store``, no
``reasoning_effort``. Pi, without flags, takes an unknown server for OpenAI's own.

Messages are changed one by one and always in the same way, so that a longer conversation still begins with the
bytes of the shorter one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentui.backends.base import ChatRequest
from agentui.config.provider import ProviderRoute
from agentui.events import Json

BETWEEN_RESULT_AND_USER = "I have processed the tool results."
"""What stands between them for servers that need the model's turn there; Pi's words, for the same cache."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests to one provider look. `headers` go with each, and never show in a ``repr``."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compat: Mapping[str, Any] = field(default_factory=dict)
    reasoning: bool = False
    thinking_level: str | None = None
    thinking_levels: Mapping[str, str | None] = field(default_factory=dict)

    @staticmethod
    def of(route: ProviderRoute | None) -> Dialect:
        """The dialect of a provider's model; the plain one without a provider."""
        if route is None:
            return Dialect()
        return Dialect(
            route.headers, route.compat, route.reasoning, route.thinking_level, route.thinking_levels
        )

    @property
    def asks_usage(self) -> bool:
        """Whether to ask for token counts at the end of a stream."""
        return self.compat.get("supportsUsageInStreaming") is not False

    @property
    def gives_finish_reason(self) -> bool:
        """Whether a stream without a finish reason is a broken one."""
        return self.compat.get("supportsFinishReason") is not False

    def body(self, request: ChatRequest, *, asks_usage: bool) -> dict[str, Any]:
        """The JSON of a streamed request, without what is asked of this kind of server only. O(messages)."""
        body: dict[str, Any] = {"model": request.model, "messages": self._messages(request.messages)}
        if request.tools:
            body["tools"] = [self._tool(tool) for tool in request.tools]
            if self.compat.get("zaiToolStream"):
                body["tool_stream"] = True
        elif self.compat.get("requiresToolsWithToolHistory") and _has_tools(request.messages):
            body["tools"] = []
        if request.max_tokens is not None:
            body[self.compat.get("maxTokensField") or "max_tokens"] = request.max_tokens
        body["stream"] = True
        if asks_usage:
            body["stream_options"] = {"include_usage": True}
        if self.compat.get("supportsStore"):
            body["store"] = False
        if self.compat.get("vllmPriority") is not None:
            body["priority"] = self.compat["vllmPriority"]
        if routing := self.compat.get("openRouterRouting"):
            body["provider"] = routing
        return {**body, **self._thinking(), **request.sampling}

    # --- messages ---------------------------------------------------------------------------------

    def _messages(self, messages: Sequence[Json]) -> list[Json]:
        names: dict[str, str] = {}
        sent: list[Json] = []
        for message in messages:
            role = message.get("role")
            is_after_result = bool(sent) and sent[-1].get("role") == "tool"
            if role == "user" and is_after_result and self.compat.get("requiresAssistantAfterToolResult"):
                sent.append({"role": "assistant", "content": BETWEEN_RESULT_AND_USER})
            for call in message.get("tool_calls") or ():
                names[call["id"]] = call.get("function", {}).get("name", "")
            sent.append(self._message(message, names))
        return sent

    def _message(self, message: Json, names: Mapping[str, str]) -> Json:
        changed = dict(message)
        match message.get("role"):
            case "system" if self.reasoning and self.compat.get("supportsDeveloperRole"):
                changed["role"] = "developer"
            case "assistant":
                needs_text = self.compat.get("requiresNonNullAssistantContent") or self.compat.get(
                    "requiresAssistantAfterToolResult"
                )
                if needs_text and message.get("content") is None:
                    changed["content"] = ""
                if self.reasoning and self.compat.get("requiresReasoningContentOnAssistantMessages"):
                    changed.setdefault("reasoning_content", "")
            case "tool" if self.compat.get("requiresToolResultName"):
                changed["name"] = names.get(str(message.get("tool_call_id")), "bash")
        return changed

    def _tool(self, tool: Json) -> Json:
        if not self.compat.get("supportsStrictMode"):
            return dict(tool)
        return {**tool, "function": {**tool["function"], "strict": False}}

    # --- thinking ---------------------------------------------------------------------------------

    def _thinking(self) -> dict[str, Any]:
        """The fields that ask for a level of thinking; none where none was chosen: the server decides."""
        if not self.reasoning or self.thinking_level is None:
            return {}
        is_on = self.thinking_level != "off"
        effort = self.thinking_levels.get(self.thinking_level, self.thinking_level)
        effort_field = {"reasoning_effort": effort} if self._takes_effort(is_on, effort) else {}
        match self.compat.get("thinkingFormat"):
            case "zai":
                kind = {"type": "enabled", "clear_thinking": False} if is_on else {"type": "disabled"}
                return {"thinking": kind, **effort_field}
            case "deepseek":
                return {"thinking": {"type": "enabled" if is_on else "disabled"}, **effort_field}
            case "qwen":
                return {"enable_thinking": is_on, **effort_field}
            case "qwen-chat-template":
                return {"chat_template_kwargs": {"enable_thinking": is_on, "preserve_thinking": True}}
            case "chat-template":
                filled = self._template_values("chatTemplateKwargs", effort, is_on=is_on)
                return {"chat_template_kwargs": filled} if filled else {}
            case "baseten":
                filled = self._template_values("chatTemplateArgs", effort, is_on=is_on)
                return {**({"chat_template_args": filled} if filled else {}), **effort_field}
            case "openrouter":
                return {"reasoning": {"effort": effort if is_on else self.thinking_levels.get("off") or "none"}}
            case "together":
                return {"reasoning": {"enabled": is_on}, **effort_field}
            case "ant-ling":
                named = self.thinking_levels.get(self.thinking_level)
                return {"reasoning": {"effort": named}} if is_on and named else {}
            case "string-thinking":
                return {"thinking": effort if is_on else self.thinking_levels.get("off") or "none"}
            case _:
                return effort_field

    def _takes_effort(self, is_on: bool, effort: str | None) -> bool:
        """Whether ``reasoning_effort`` is sent; for *off* only where the file has the server's word for it."""
        if not self.compat.get("supportsReasoningEffort") or effort is None:
            return False
        return is_on or "off" in self.thinking_levels

    def _template_values(self, flag: str, effort: str | None, *, is_on: bool) -> dict[str, Any]:
        """The template's arguments, with what they take from us filled in; what we do not have is left out."""
        values = {"thinking.enabled": is_on, "thinking.effort": effort if is_on else None}
        filled: dict[str, Any] = {}
        for name, value in (self.compat.get(flag) or {}).items():
            variable = value.get("$var") if isinstance(value, dict) else None
            found = values.get(variable) if isinstance(variable, str) else value
            if found is not None:
                filled[name] = found
        return filled


def _has_tools(messages: Sequence[Json]) -> bool:
    return any(message.get("tool_calls") or message.get("role") == "tool" for message in messages)
