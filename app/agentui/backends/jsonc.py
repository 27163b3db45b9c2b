"""JSON as people keep it by hand: ``//`` comments and commas before a closing bracket, with places in the text.

This is what Pi reads its ``models.json`` as: strict JSON otherwise, and no ``/* */``.
"""

from __future__ import annotations

import bisect
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value lies: keys and list indexes from the root."""

MOST_DEPTH = 60
_SPACE = re.compile(r"[ \t\r\n]+|//[^\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_LONGEST_INTEGER = 300
_STRINGS = json.JSONDecoder()


class JsonTextError(ValueError):
    """A text that is no JSON. `line` and `column` count from 1, the column in characters."""

    def __init__(self, problem: str, text: str, at: int) -> None:
        self.problem = problem
        self.line, self.column = place_of(text, at)
        super().__init__(f"line {self.line}, column {self.column}: {problem}")


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value with the place of each of its parts; of a key given twice the last counts."""

    value: Any
    places: Mapping[KeyPath, tuple[int, int]]
    given_twice: tuple[KeyPath, ...] = ()


def place_of(text: str, at: int) -> tuple[int, int]:
    """Line and column of an offset, from 1."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def parse_jsonc(text: str) -> JsonText:
    """Read a text. O(length).

    Raises:
        JsonTextError: Where it stops being JSON, with what was expected there.
    """
    reader = _Reader(text)
    at = reader.skip(1 if text.startswith("\ufeff") else 0)
    value, at = reader.value(at, ())
    at = reader.skip(at)
    if at < len(text):
        raise reader.error("the end of the file", at)
    lines = _line_starts(text)
    places = {path: _place(lines, offset) for path, offset in reader.offsets.items()}
    return JsonText(value, places, tuple(reader.given_twice))


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _place(lines: list[int], at: int) -> tuple[int, int]:
    line = bisect.bisect_right(lines, at)
    return line, at - lines[line - 1] + 1


@dataclass(slots=True)
class _Reader:
    text: str
    offsets: dict[KeyPath, int] = field(default_factory=dict)
    given_twice: list[KeyPath] = field(default_factory=list)

    def skip(self, at: int) -> int:
        while (space := _SPACE.match(self.text, at)) is not None:
            at = space.end()
        return at

    def error(self, expected: str, at: int) -> JsonTextError:
        found = self.text[at : at + 1]
        if self.text.startswith("/*", at):
            return JsonTextError("/* */ is no comment here; expected // comments only", self.text, at)
        if not found:
            return JsonTextError(f"the file ends here; expected {expected}", self.text, at)
        word = _WORD.match(self.text, at)
        return JsonTextError(f"found {word[0][:20] if word else found!r}; expected {expected}", self.text, at)

    def value(self, at: int, path: KeyPath) -> tuple[Any, int]:
        if len(path) > MOST_DEPTH:
            raise JsonTextError(f"nested more than {MOST_DEPTH} deep", self.text, at)
        self.offsets[path] = at
        first = self.text[at : at + 1]
        if first == "{":
            return self._object(at + 1, path)
        if first == "[":
            return self._list(at + 1, path)
        if first == '"':
            return self._string(at)
        if first == "-" or "0" <= first <= "9":
            return self._number(at)
        word = _WORD.match(self.text, at)
        if word is not None and word[0] in _WORDS:
            return _WORDS[word[0]], word.end()
        raise self.error("a value (text in double quotes, a number, true, false, null, { or [)", at)

    def _object(self, at: int, path: KeyPath) -> tuple[dict[str, Any], int]:
        held: dict[str, Any] = {}
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] == "}":
                return held, at + 1
            if self.text[at : at + 1] != '"':
                raise self.error("a name in double quotes, or }", at)
            key_at = at
            key, at = self._string(at)
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                raise self.error(f"a colon after the name {key[:40]!r}", at)
            below = (*path, key)
            if key in held:
                self.given_twice.append(below)
            held[key], at = self.value(self.skip(at + 1), below)
            self.offsets[below] = key_at
            at = self.skip(at)
            closing = self.text[at : at + 1]
            if closing == "}":
                return held, at + 1
            if closing != ",":
                raise self.error("a comma or }", at)
            at += 1

    def _list(self, at: int, path: KeyPath) -> tuple[list[Any], int]:
        held: list[Any] = []
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] == "]":
                return held, at + 1
            item, at = self.value(at, (*path, len(held)))
            held.append(item)
            at = self.skip(at)
            closing = self.text[at : at + 1]
            if closing == "]":
                return held, at + 1
            if closing != ",":
                raise self.error("a comma or ]", at)
            at += 1

    def _string(self, at: int) -> tuple[str, int]:
        try:
            value, end = _STRINGS.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Unterminated"):
                raise JsonTextError("this text has no closing double quote", self.text, at) from None
            if error.msg.startswith("Invalid control"):
                problem = (
                    "a line break or control character inside a text; expected \\n, \\t or a closing quote"
                )
                raise JsonTextError(problem, self.text, error.pos) from None
            problem = 'expected one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX after the backslash'
            raise JsonTextError(problem, self.text, error.pos) from None
        return str(value), end

    def _number(self, at: int) -> tuple[int | float, int]:
        match = _NUMBER.match(self.text, at)
        if match is None:
            raise self.error("digits", at + 1)
        digits = match[0]
        is_whole = digits.lstrip("-").isdigit()
        if is_whole and len(digits) <= _LONGEST_INTEGER:
            return int(digits), match.end()
        value = float(digits)
        if math.isinf(value):
            raise JsonTextError("a number that no computer holds", self.text, at)
        return value, match.end()
