"""Which line of a TOML file a key stands on: the standard parser gives values without places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


def line_of(content: str, path: Sequence[str]) -> int | None:
    """The line (from 1) that sets the key at `path`, or the nearest one above it; ``None`` if there is none.

    Keys within inline tables are found at the line of the table. O(lines).
    """
    wanted = list(path)
    table: list[str] = []
    best, best_depth = None, 0
    for number, line in enumerate(content.splitlines(), 1):
        text = line.strip()
        if text.startswith("["):
            header = _keys(text.split("#")[0].strip().strip("[]")) or _keys(text.strip("[]"))
            table = header or []
            here = table
        elif match := _KEY.match(line):
            here = [*table, *(_keys(match[1]) or [])]
        else:
            continue
        depth = len(here)
        if here == wanted[:depth] and depth > best_depth:
            best, best_depth = number, depth
    return best


def _keys(dotted: str) -> list[str] | None:
    """The parts of a dotted key."""
    import tomllib

    try:
        value: Any = tomllib.loads(f"{dotted} = 1")
    except tomllib.TOMLDecodeError:
        return None
    parts: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        key, value = next(iter(value.items()))
        parts.append(key)
    return parts
