"""Line differences of texts: counts for the list of changes, unified diffs for the screen."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence

_MAX_COUNT_PAIRS = 200_000
_MAX_PRODUCT = 400_000_000
"""Above it two texts are not shown line by line; difflib leaves out what is very frequent, so much is borne."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\"\\\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]")
_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\t": r"\t",
    "\n": r"\n",
    "\v": r"\v",
    "\f": r"\f",
    "\r": r"\r",
    '"': r"\"",
    "\\": r"\\",
}


def line_counts(before: bytes, after: bytes) -> tuple[int, int]:
    """Lines added and removed.

    Exact for ordinary texts; where very many lines are the same, one that only moved counts as nothing.
    """
    a, b = _middle(_byte_lines(before), _byte_lines(after))
    if not a or not b:
        return len(b), len(a)
    if equal_pairs(a, b) > _MAX_COUNT_PAIRS:
        left, right = Counter(a), Counter(b)
        return (right - left).total(), (left - right).total()
    same = sum(
        block.size for block in difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    )
    return len(b) - same, len(a) - same


def equal_pairs(a: Sequence[bytes], b: Sequence[bytes]) -> int:
    """How many pairs of a line of `a` and one of `b` are equal. O(lines).

    As many steps `difflib` takes to find one block of equal lines, and it finds one after the other: a text of
    a few thousand equal lines would keep it busy for minutes.
    """
    counts = Counter(b)
    return sum(counts[line] for line in a)


def unified(before: bytes | None, after: bytes | None, path: str) -> str:
    """A unified diff; ``None`` is an absent file. Bad bytes become replacement characters; ends with a newline.

    A last line without a newline is marked, and a name that could act on a terminal is quoted, as git does.
    """
    a, b = _lines(before), _lines(after)
    old = "/dev/null" if before is None else quoted_name(f"a/{path}")
    new = "/dev/null" if after is None else quoted_name(f"b/{path}")
    if len(a) * len(b) > _MAX_PRODUCT:
        return f"--- {old}\n+++ {new}\n({len(a)} lines became {len(b)}: too many to compare here)\n"
    lines: list[str] = []
    for line in difflib.unified_diff(a, b, old, new, lineterm="\n"):
        lines.append(line)
        if not line.endswith("\n"):
            lines.append("\n\\ No newline at end of file\n")
    return "".join(lines)


def quoted_name(name: str) -> str:
    """A path as git prints it: in quotes and with escapes where it holds control characters or bad bytes."""
    if not _UNSAFE.search(name):
        return name
    return '"' + _UNSAFE.sub(lambda found: _escaped(found[0]), name) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


def _lines(content: bytes | None) -> list[str]:
    if not content:
        return []
    # Not str.splitlines: that cuts at form feeds and other characters which are no line ends in a diff.
    parts = content.decode("utf-8", "replace").split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _byte_lines(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _middle(a: Sequence[bytes], b: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    start = 0
    limit = min(len(a), len(b))
    while start < limit and a[start] == b[start]:
        start += 1
    end = 0
    while end < limit - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return list(a[start : len(a) - end]), list(b[start : len(b) - end])
