"""Tool calls that a model wrote as text instead of calling the tool.

It happens when a model's own marks are not parsed by the server, or when a small model imitates them. Such text
is recognised and said; it is never executed, because a text may also come from a file that the model read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a call; a group `name` in the pattern holds the tool's name."""

    mark: str
    pattern: re.Pattern[str]


def _form(mark: str, pattern: str) -> Form:
    # At the start of a line only: inside a sentence the marks are being talked about, not used.
    return Form(mark, re.compile(rf"^[ \t]*(?:{pattern})", re.MULTILINE))


_NAME = r"(?P<name>[\w.-]{1,64})"
_JSON_NAME = rf'\{{\s*"(?:name|tool|function)"\s*:\s*"{_NAME}"'

FORMS: tuple[Form, ...] = (
    _form(
        "<|tool_call>",
        rf"<\|tool_call\|?>\s*(?:call\s*(?::\s*)?{_NAME}\s*[{{(]|{_JSON_NAME.replace('<name>', '<other>')})",
    ),
    _form("call:", rf"call:{_NAME}\{{"),
    _form("[TOOL_REQUEST]", rf"\[TOOL_REQUEST\]\s*(?:{_JSON_NAME})?"),
    _form("[TOOL_CALLS]", rf"\[TOOL_CALLS?\]\s*\[?\s*(?:{_JSON_NAME})?"),
    _form("<tool_call>", rf"<tool_call>\s*(?:{_JSON_NAME}|<function={_NAME.replace('<name>', '<other>')}>)?"),
    _form("<function_call>", rf"<(?:start_)?function_call>\s*(?:call:{_NAME})?"),
    _form("<function=…>", rf"<function={_NAME}>"),
    _form("<|python_tag|>", r"<\|python_tag\|>"),
    _form("to=functions.", rf"(?:<\|start\|>assistant)?<\|channel\|>commentary to=functions\.{_NAME}"),
    _form("```tool_code", r"```(?:tool_code|tool_call)\b\s*\n"),
)

_FENCE = re.compile(r"^[ \t]*(```|~~~)(?!tool_c)[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)


def leaked_tool_call(text: str) -> str | None:
    """Describe the tool call that `text` holds as text, or ``None`` if it holds none.

    Code blocks are left out, except those marked as a tool call and those that are the whole answer. Linear in
    the length of `text`.
    """
    found = _whole_json(text)
    if found is not None:
        return found
    prose = _FENCE.sub("\n", text)
    for form in FORMS:
        match = form.pattern.search(prose)
        if match:
            names = [name for name in match.groupdict().values() if name]
            return _described(names[0] if names else None, form.mark)
    return None


def _whole_json(text: str) -> str | None:
    inner = text.strip()
    first, _, rest = inner.partition("\n")
    if first.rstrip() in ("```", "```json") and rest.endswith("```"):
        inner = rest.removesuffix("```").strip()
    if not (inner.startswith(("{", "[")) and inner.endswith(("}", "]"))):
        return None
    try:
        value = json.loads(inner)
    except (ValueError, RecursionError):
        return None
    call = value[0] if isinstance(value, list) and value else value
    if not isinstance(call, Mapping):
        return None
    function = call.get("function")
    if isinstance(function, Mapping):
        call = function
    name = call.get("name")
    if isinstance(name, str) and isinstance(call.get("arguments", call.get("parameters")), Mapping | str):
        return _described(name, "JSON")
    return None


def _described(name: str | None, mark: str) -> str:
    return f"“{name}” in the form {mark}" if name else f"in the form {mark}"
