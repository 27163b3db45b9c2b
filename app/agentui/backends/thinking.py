"""Splitting thoughts out of an answer's text where the server left them in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentui.backends.base import TextPart, ThinkingPart


@dataclass(frozen=True, slots=True)
class Marks:
    """What opens and closes a thought; `anywhere` for marks that nobody writes by hand."""

    opening: str
    closing: str
    anywhere: bool = False


ALL_MARKS: tuple[Marks, ...] = (
    Marks("<think>", "</think>"),
    Marks("<thinking>", "</thinking>"),
    Marks("<|channel>thought", "<channel|>", anywhere=True),
)
_OPENS_WITH = "<"
"""How all marks begin: text without it holds none."""


class ThinkingSplitter:
    """Turns pieces of text into text and thoughts; the result does not depend on where pieces are cut.

    Word-like marks count only before the first visible text, since an answer may well talk about `<think>`.
    A thought that is never closed stays a thought. Whitespace around a thought is dropped.
    """

    def __init__(self) -> None:
        self._held = ""
        self._open: Marks | None = None
        self._has_text = False
        self._follows_mark = False

    @property
    def may_think(self) -> bool:
        """Whether a thought is open, or what is held looks like the opening of one."""
        return self._open is not None or bool(self._held.strip())

    def feed(self, text: str) -> Iterable[TextPart | ThinkingPart]:
        """What is certain after one more piece. What may be the start of a mark is held back."""
        is_within_text = self._has_text and self._open is None and not self._held and not self._follows_mark
        if is_within_text and text and _OPENS_WITH not in text:
            return (TextPart(text),)
        return self._searched(text)

    def _searched(self, text: str) -> Iterator[TextPart | ThinkingPart]:
        self._held += text
        goes_on = True
        while goes_on:
            part, goes_on = self._take_text() if self._open is None else self._take_thought(self._open)
            if part is not None:
                yield part

    def finish(self) -> Iterator[TextPart | ThinkingPart]:
        """Yield what was held back; the stream is over."""
        held, self._held = self._held, ""
        if self._open is not None and held:
            yield ThinkingPart(held)
        elif held.strip():
            yield TextPart(held)

    def _take_thought(self, marks: Marks) -> tuple[ThinkingPart | None, bool]:
        if not self._skip_space():
            return None, False
        before, closing, after = self._held.partition(marks.closing)
        if closing:
            self._held, self._open, self._follows_mark = after, None, True
            return (ThinkingPart(before) if before else None), True
        sure, self._held = _split_sure(self._held, (marks.closing,))
        return (ThinkingPart(sure) if sure else None), False

    def _take_text(self) -> tuple[TextPart | None, bool]:
        if not self._skip_space():
            return None, False
        found = self._find_opening()
        if found is not None:
            start, marks = found
            before, self._held = self._held[:start], self._held[start + len(marks.opening) :]
            self._open, self._follows_mark = marks, True
            return self._visible(before), True
        if self._may_open():
            return None, False
        sure, rest = _split_sure(self._held, tuple(marks.opening for marks in ALL_MARKS if marks.anywhere))
        if not self._has_text and not sure.strip():
            return None, False
        self._held = rest
        return self._visible(sure), False

    def _skip_space(self) -> bool:
        """Drop whitespace after a mark; False while there is nothing else."""
        if self._follows_mark:
            self._held = self._held.lstrip()
            self._follows_mark = not self._held
        return bool(self._held)

    def _find_opening(self) -> tuple[int, Marks] | None:
        lead = len(self._held) - len(self._held.lstrip())
        hits: list[tuple[int, Marks]] = []
        for marks in ALL_MARKS:
            start = self._held.find(marks.opening)
            if start >= 0 and (marks.anywhere or (start == lead and not self._has_text)):
                hits.append((start, marks))
        return min(hits, key=lambda hit: hit[0], default=None)

    def _may_open(self) -> bool:
        """Whether everything held may still turn out to be the opening of the first thought."""
        if self._has_text:
            return False
        begun = self._held.lstrip()
        return any(marks.opening.startswith(begun) for marks in ALL_MARKS)

    def _visible(self, text: str) -> TextPart | None:
        if not text or (not self._has_text and not text.strip()):
            return None
        self._has_text = True
        return TextPart(text)


def _split_sure(text: str, marks: tuple[str, ...]) -> tuple[str, str]:
    """Cut off what may be the beginning of one of `marks` at the end of `text`."""
    longest = max(len(mark) for mark in marks)
    for length in range(min(longest - 1, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return text[:-length], text[-length:]
    return text, ""
