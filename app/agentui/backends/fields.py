"""Reading fields out of JSON that somebody else wrote: the right type, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

EMPTY: Mapping[str, Any] = MappingProxyType({})


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, ``None`` if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def as_object(value: object) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    if isinstance(value, dict):  # the usual case at a tenth of the cost of asking for a mapping
        return value
    return value if isinstance(value, Mapping) else EMPTY


def as_list(value: object) -> list[Any]:
    """`value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """`value` if it is a text that is not empty."""
    return value if isinstance(value, str) and value else None


def as_count(value: object) -> int | None:
    """`value` if it is a whole number from 0 up; some servers write counts as floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if value >= 0 else None


def as_size(value: object) -> int | None:
    """`value` if it is a whole number above 0; for sizes where 0 only means that nobody knows."""
    return as_count(value) or None


def as_rate(value: object) -> float | None:
    """`value` if it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < float("inf") else None


def as_flag(value: object) -> bool | None:
    """`value` if it is true or false."""
    return value if isinstance(value, bool) else None
