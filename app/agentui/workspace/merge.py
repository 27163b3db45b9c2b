"""A three-way merge of two texts that came from one: clean, or not at all.

The texts are cut where all three agree (the method of diff3: Khanna, Kunal, Pierce, "A formal investigation of
diff3", 2007). Between two such places at most one side may differ from the base, or both in the same way.
Changes that touch without an unchanged line between them count as a conflict, as git counts them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from agentui.workspace.textdiff import effort

_MAX_EFFORT = 4_000_000


def merge3(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """The merged text; ``None`` where both changed the same place, or comparing them would take too long."""
    if ours == theirs or base == theirs:
        return ours
    if base == ours:
        return theirs
    o, a, b = (_lines(text) for text in (base, ours, theirs))
    begin = _common(o, a, b)
    head, o, a, b = o[:begin], o[begin:], a[begin:], b[begin:]
    end = _common(o[::-1], a[::-1], b[::-1])
    tail = o[len(o) - end :]
    o, a, b = (text[: len(text) - end] for text in (o, a, b))
    if effort(o, a, autojunk=False) + effort(o, b, autojunk=False) > _MAX_EFFORT:
        return None
    merged: list[bytes] = []
    at_o = at_a = at_b = 0
    for start_o, start_a, start_b, size in _agreements(o, a, b):
        piece = _between(o[at_o:start_o], a[at_a:start_a], b[at_b:start_b])
        if piece is None:
            return None
        merged += piece
        merged += o[start_o : start_o + size]
        at_o, at_a, at_b = start_o + size, start_a + size, start_b + size
    return b"".join([*head, *merged, *tail])


def _common(o: Sequence[bytes], a: Sequence[bytes], b: Sequence[bytes]) -> int:
    """How many lines all three begin with."""
    count = 0
    for x, y, z in zip(o, a, b, strict=False):
        if not x == y == z:
            break
        count += 1
    return count


def _between(o: Sequence[bytes], a: Sequence[bytes], b: Sequence[bytes]) -> Sequence[bytes] | None:
    if a == b or o == b:
        return a
    return b if o == a else None


def _agreements(o: Sequence[bytes], a: Sequence[bytes], b: Sequence[bytes]) -> list[tuple[int, int, int, int]]:
    """Runs of lines on which all three agree: start in each and length; an empty one marks the end."""
    in_a = difflib.SequenceMatcher(None, o, a, autojunk=False).get_matching_blocks()
    in_b = difflib.SequenceMatcher(None, o, b, autojunk=False).get_matching_blocks()
    found: list[tuple[int, int, int, int]] = []
    i = j = 0
    while i < len(in_a) and j < len(in_b):
        start_a, start_b = in_a[i], in_b[j]
        start = max(start_a.a, start_b.a)
        end = min(start_a.a + start_a.size, start_b.a + start_b.size)
        if start < end:
            found.append((start, start_a.b + start - start_a.a, start_b.b + start - start_b.a, end - start))
        if start_a.a + start_a.size < start_b.a + start_b.size:
            i += 1
        else:
            j += 1
    found.append((len(o), len(a), len(b), 0))
    return found


def _lines(text: bytes) -> list[bytes]:
    parts = text.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
