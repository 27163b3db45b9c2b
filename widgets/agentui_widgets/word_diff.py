"""Which words of a unified diff's lines changed, for texts whose lines are paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
MOST_TOKENS = 1500
"""Longer passages stay line by line: comparing words costs up to the product of both lengths."""
LEAST_LIKENESS = 0.3
"""Passages that have less in common were written anew: marking every second word of them helps nobody."""


def changed_words(lines: Sequence[str]) -> dict[int, list[Range]]:
    """Character ranges of changed words by line; lines of which nothing is marked are left out.

    A passage of removed lines is compared as a whole with the added lines below it, so that a paragraph that
    was wrapped anew shows only the words that differ.
    """
    marks: dict[int, list[Range]] = {}
    for removed, added in _passages(lines):
        old, new = _tokens(lines, removed), _tokens(lines, added)
        if not old or not new or max(len(old), len(new)) > MOST_TOKENS:
            continue
        matcher = SequenceMatcher(None, [t.text for t in old], [t.text for t in new], autojunk=False)
        steps = matcher.get_opcodes()
        kept = sum(_word_count(old[start:end]) for what, start, end, _, _ in steps if what == "equal")
        if 2 * kept < LEAST_LIKENESS * (_word_count(old) + _word_count(new)):
            continue
        for what, old_from, old_to, new_from, new_to in steps:
            if what != "equal":
                _mark(marks, old[old_from:old_to])
                _mark(marks, new[new_from:new_to])
    return marks


class _Token:
    """A word, a sign, or any amount of space, and where it stands."""

    __slots__ = ("end", "line", "start", "text")

    def __init__(self, line: int, start: int, end: int, text: str) -> None:
        self.line = line
        self.start = start
        self.end = end
        self.text = " " if text.isspace() else text


def _passages(lines: Sequence[str]) -> Iterator[tuple[range, range]]:
    """Removed lines, each run with the added ones that follow it; only inside hunks."""
    in_hunk, at = False, 0
    while at < len(lines):
        line = lines[at]
        in_hunk = line.startswith("@@") or (in_hunk and not line.startswith("diff "))
        if not in_hunk or not line.startswith("-"):
            at += 1
            continue
        middle = _run_end(lines, at, "-")
        start = _run_end(lines, middle, "\\")  # "No newline at end of file" is said of the removed lines
        end = _run_end(lines, start, "+")
        if end > start:
            yield range(at, middle), range(start, end)
        at = end


def _run_end(lines: Sequence[str], start: int, sign: str) -> int:
    end = start
    while end < len(lines) and lines[end].startswith(sign):
        end += 1
    return end


def _tokens(lines: Sequence[str], numbers: range) -> list[_Token]:
    found: list[_Token] = []
    for number in numbers:
        if found and found[-1].text != " ":
            # the end of a line is a space like any other
            found.append(_Token(number, 1, 1, " "))
        found += [
            _Token(number, match.start(), match.end(), match.group())
            for match in _TOKEN.finditer(lines[number], 1)
        ]
    return found


def _word_count(tokens: Sequence[_Token]) -> int:
    return sum(token.text != " " for token in tokens)


def _mark(marks: dict[int, list[Range]], tokens: Sequence[_Token]) -> None:
    """Mark tokens that are not space; neighbours become one range."""
    for token in tokens:
        if token.text == " ":
            continue
        ranges = marks.setdefault(token.line, [])
        if ranges and token.start - ranges[-1][1] <= 1:
            ranges[-1] = (ranges[-1][0], token.end)
        else:
            ranges.append((token.start, token.end))
