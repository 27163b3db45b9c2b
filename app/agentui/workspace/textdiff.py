"""Line differences of texts: counts for the list of changes, unified diffs for the screen."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

Line = TypeVar("Line", str, bytes)

_MAX_COUNTED, _MAX_SHOWN = 400_000, 8_000_000
"""How much comparing (see `effort`) is done to count lines in a list of files, and to show one file."""

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
    """Lines added and removed, as `unified` shows them.

    Where very many lines are the same, one that only moved counts as nothing.
    """
    a, b = _lines(before), _lines(after)
    found = _Comparison(a, b)
    if found.effort > _MAX_COUNTED:
        gone, come = Counter(a), Counter(b)
        return (come - gone).total(), (gone - come).total()
    same = sum(block.size for block in found.get_matching_blocks())
    return len(b) - same, len(a) - same


class _Comparison(difflib.SequenceMatcher[str]):
    """Compares what lies between the lines that both begin and both end with."""

    def __init__(self, a: Sequence[str], b: Sequence[str]) -> None:
        # Everything else of the base class asks for the blocks below: an index of the texts would be of no use.
        super().__init__(None, (), ())
        self._ends = difflib.Match(len(a), len(b), 0)
        self._begin, self._end = _common(a, b)
        self._left, self._right = (text[self._begin : len(text) - self._end] for text in (a, b))
        self.effort = effort(self._left, self._right)

    def get_matching_blocks(self) -> list[difflib.Match]:
        """The blocks of equal lines, in order; an empty one marks the end."""
        begin, (left, right) = self._begin, (self._left, self._right)
        inner = difflib.SequenceMatcher(None, left, right).get_matching_blocks()[:-1] if left and right else []
        blocks = [difflib.Match(0, 0, begin)] if begin else []
        blocks += [difflib.Match(begin + one.a, begin + one.b, one.size) for one in inner]
        if self._end:
            blocks.append(difflib.Match(begin + len(left), begin + len(right), self._end))
        return [*blocks, self._ends]


def effort(a: Sequence[Line], b: Sequence[Line], *, autojunk: bool = True) -> int:
    """How many pairs of equal lines `difflib` looks at for one block; it finds one after the other. O(lines).

    A few thousand equal lines would keep it busy for minutes; with `autojunk` it leaves out the most frequent.
    """
    counts = Counter(b)
    most = len(b) // 100 + 1 if autojunk and len(b) >= 200 else len(b)
    return sum(count for line in a if (count := counts[line]) <= most)


def unified(before: bytes | None, after: bytes | None, path: str) -> str:
    """A unified diff; ``None`` is an absent file. Bad bytes become replacement characters; ends with a newline.

    A last line without a newline is marked, and a name that could act on a terminal is quoted, as git does.
    """
    a, b = _lines(before), _lines(after)
    old = "/dev/null" if before is None else quoted_name(f"a/{path}")
    new = "/dev/null" if after is None else quoted_name(f"b/{path}")
    head = f"--- {old}\n+++ {new}\n"
    found = _Comparison(a, b)
    if found.effort > _MAX_SHOWN:
        return f"{head}({len(a)} lines became {len(b)}: too many to compare here)\n"
    lines: list[str] = []
    for group in found.get_grouped_opcodes():
        first, last = group[0], group[-1]
        lines.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n")
        for tag, a_from, a_to, b_from, b_to in group:
            if tag == "equal":
                lines += (" " + line for line in a[a_from:a_to])
            else:
                lines += ("-" + line for line in a[a_from:a_to])
                lines += ("+" + line for line in b[b_from:b_to])
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return head + "".join(ended) if lines else ""


def _range(start: int, stop: int) -> str:
    """Lines as a unified diff names them; where there are none, the one before."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


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


def _common(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """How many lines both begin with, and how many of the others both end with."""
    begin = end = 0
    limit = min(len(a), len(b))
    while begin < limit and a[begin] == b[begin]:
        begin += 1
    while end < limit - begin and a[-1 - end] == b[-1 - end]:
        end += 1
    return begin, end
