"""TOML where the standard parser falls short: one kind of error, and the line that a key stands on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


def parse_toml(content: str) -> dict[str, Any]:
    """The table of a TOML document.

    Raises:
        ValueError: If it is none, or has more digits or brackets in one another than Python reads.
    """
    import tomllib  # most starts find no settings file, and the first frame waits for this

    try:
        return tomllib.loads(content)
    except RecursionError:
        raise ValueError("values are nested too deeply") from None


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
    try:
        value: Any = parse_toml(f"{dotted} = 1")
    except ValueError:
        return None
    parts: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        key, value = next(iter(value.items()))
        parts.append(key)
    return parts
