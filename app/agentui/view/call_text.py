"""Readable text of a tool call's arguments while they are still arriving as JSON."""

from __future__ import annotations

import re

from agentui.frozen import mutable

_HEAD = re.compile(r'^\s*\{\s*"command"\s*:\s*"')
_HEAD_LIMIT_CHARS = 64
_ESCAPES = {"n": "\n", "t": "\t", "r": "", "b": "", "f": "", '"': '"', "\\": "\\", "/": "/"}
_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# A character beyond U+FFFF is written as two escapes; the first half waits for the second.
_TOKEN = re.compile(
    rf'[^"\\]+|{_HIGH}{_LOW}|(?!{_HIGH}(?:\\(?:u[0-9a-fA-F]{{0,3}})?)?\Z)\\u[0-9a-fA-F]{{4}}|\\[^u]|"'
)


@mutable
class CallText:
    """Turns raw pieces of ``{"command": "..."}`` into the command's text as far as it has come.

    Anything that does not begin that way is passed through as it is. Every piece costs as much as it is long.
    """

    _held: str = ""
    _state: str = "head"

    def feed(self, text: str) -> str:
        """The readable text that `text` adds."""
        text = self._held + text
        self._held = ""
        match self._state:
            case "head":
                return self._feed_head(text)
            case "command":
                return self._feed_command(text)
            case "raw":
                return text
            case _:
                return ""

    def _feed_head(self, text: str) -> str:
        match = _HEAD.match(text)
        if match is not None:
            self._state = "command"
            return self._feed_command(text[match.end() :])
        if len(text) < _HEAD_LIMIT_CHARS:
            self._held = text
            return ""
        self._state = "raw"
        return text

    def _feed_command(self, text: str) -> str:
        out: list[str] = []
        position = 0
        while (match := _TOKEN.match(text, position)) is not None:
            token = match.group()
            position = match.end()
            if token == '"':
                self._state = "done"
                return "".join(out)
            out.append(_plain(token))
        self._held = text[position:]
        return "".join(out)


def _plain(token: str) -> str:
    if not token.startswith("\\"):
        return token
    if token.startswith("\\u"):
        units = bytes.fromhex(token.replace("\\u", ""))
        return units.decode("utf-16-be", "surrogatepass")
    return _ESCAPES.get(token[1], token[1])
