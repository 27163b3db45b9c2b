"""Reads what compose.yaml uses of YAML, so that no parser is needed for one test."""

from __future__ import annotations

import json
import re
from typing import Any

_KEY = re.compile(r"([\w./-]+):(?: (.*))?")


def compose_file(text: str) -> dict[str, Any]:
    """The file as tables, lists, texts, numbers and booleans.

    Raises:
        ValueError: At a line that is more than this can read.
    """
    lines = [
        (len(line) - len(line.lstrip()), line.strip())
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    found, rest = _block(lines, 0)
    if rest or not isinstance(found, dict):
        raise ValueError(f"this is no table: {rest[:1]}")
    return found


Lines = list[tuple[int, str]]


def _block(lines: Lines, indent: int) -> tuple[Any, Lines]:
    """The value that begins at the first line, and the lines after it."""
    if lines[0][1].startswith("- "):
        return _list(lines, indent)
    table: dict[str, Any] = {}
    while lines and lines[0][0] == indent:
        match = _KEY.fullmatch(lines[0][1])
        if match is None:
            raise ValueError(lines[0][1])
        key, value = match[1], match[2]
        lines = lines[1:]
        if value:
            table[key] = _scalar(value)
        else:
            table[key], lines = _block(lines, lines[0][0])
    return table, lines


def _list(lines: Lines, indent: int) -> tuple[list[Any], Lines]:
    items: list[Any] = []
    while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
        text = lines[0][1][2:]
        if re.fullmatch(r"\w+: .*", text):
            item, lines = _block([(indent + 2, text), *lines[1:]], indent + 2)
        else:
            item, lines = _scalar(text), lines[1:]
        items.append(item)
    return items, lines


def _scalar(text: str) -> Any:
    if text.startswith("[") and '"' not in text:
        return re.findall(r"[\w:-]+", text)
    try:
        return json.loads(text)
    except ValueError:
        return text
