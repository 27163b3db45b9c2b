"""How a setting's value is read, whether it comes as text (flags, environment) or typed (TOML).

A parser takes what it finds and returns the value, or raises `ValueError` with the end of a sentence that
begins with the setting's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agentui.config.url import normal_url

Parse: TypeAlias = Callable[[object], Any]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def text(value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a text, not {value!r}")
    return value.strip()


def secret(value: object) -> str:
    """A string that no error message may repeat."""
    if not isinstance(value, str) or not value.strip() or not value.isascii() or not value.isprintable():
        raise ValueError("must be a text of printable ASCII characters")
    return value.strip()


def url(value: object) -> str:
    """The address of a model server, in its normal form."""
    try:
        return normal_url(text(value))
    except ValueError as error:
        raise ValueError(f"is no usable address: {error}") from None


def path(value: object) -> Path:
    """A path; ``~`` is the user's home."""
    return Path(text(value)).expanduser()


def choice(*choices: str) -> Parse:
    """One of a few words."""

    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}; not {value!r}")
        return str(value)

    return parse


def _plain_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a number, not {value!r}")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"must be a number, not {value!r}") from None


def whole(low: int, high: int) -> Parse:
    """A whole number from `low` to `high`, both allowed."""

    def parse(value: object) -> int:
        number = _plain_number(value)
        if number != number or number in (float("inf"), float("-inf")) or number != int(number):
            raise ValueError(f"must be a whole number, not {value!r}")
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}, not {value!r}")
        return int(number)

    return parse


def number(low: float, high: float) -> Parse:
    """A number from `low` to `high`, both allowed."""

    def parse(value: object) -> float:
        found = _plain_number(value)
        if not low <= found <= high:
            raise ValueError(f"must be from {low:g} to {high:g}, not {value!r}")
        return found

    return parse


def scaled(low: int, high: int, unit: str) -> Parse:
    """A whole number of `unit`, or a text such as ``64k`` or ``4 GiB``; the steps are of 1024."""

    def parse(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            found = value
        else:
            match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
            if match is None:
                raise ValueError(f"must be a number of {unit} such as 65536 or 64k, not {value!r}")
            found = int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])
        if not low <= found <= high:
            raise ValueError(f"must be from {low} to {high} {unit}, not {value!r}")
        return found

    return parse


context_tokens = scaled(1024, 1 << 24, "tokens")
"""A context length: less holds no work, more no engine."""


def texts(value: object) -> tuple[str, ...]:
    """A list of strings; as text, separated by commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be a list of texts, not {value!r}")
    return tuple(item.strip() for item in items if item.strip())


def pairs(value: object) -> tuple[tuple[str, str], ...]:
    """A table from names to strings, in its order."""
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError('must be a table of texts, such as "run.pause" = "f5"')
    return tuple((str(name), str(key)) for name, key in value.items())
