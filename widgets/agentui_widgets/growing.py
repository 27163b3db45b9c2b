"""Text that is still being written, as rows: only what is new is wrapped."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentui_widgets.wrapping import expand_tabs, wrap_offsets

_KIND_CHARS = 8
_FENCES = ("```", "~~~")


@dataclass(slots=True)
class GrowingRows:
    """Rows of at most `width` cells. `kinds` names the style of each row, `joins` the wrapped ones.

    Feeding costs as much as the new text and one row, also inside one endless line: greedy wrapping never
    changes a row that is followed by another.
    """

    width: int
    is_code: bool = False
    texts: list[str] = field(default_factory=lambda: [""])
    kinds: list[str] = field(default_factory=lambda: ["text"])
    joins: list[bool] = field(default_factory=lambda: [False])
    _line_start: int = 0
    _in_fence: bool = False

    def feed(self, text: str) -> int:
        """Add text; returns the first row that changed."""
        first_changed = len(self.texts) - 1
        pieces = text.split("\n")
        for number, piece in enumerate(pieces):
            if number:
                self._end_line()
            if piece:
                first_changed = min(first_changed, self._extend(piece))
        return first_changed

    def _extend(self, piece: str) -> int:
        last = len(self.texts) - 1
        text = self.texts[last] + expand_tabs(piece)
        joins = self.joins[last]
        rows = [text[start:end] for start, end in wrap_offsets(text, self.width)]
        self.texts[last:] = rows
        self.joins[last:] = [joins] + [True] * (len(rows) - 1)
        kind = self._kind()
        if kind != self.kinds[self._line_start]:
            last = self._line_start
        self.kinds[last:] = [kind] * (len(self.texts) - last)
        return last

    def _end_line(self) -> None:
        start = self.texts[self._line_start].lstrip()
        if start.startswith(_FENCES):
            self._in_fence = not self._in_fence
        self.texts.append("")
        self.joins.append(False)
        self.kinds.append("code" if self._in_fence or self.is_code else "text")
        self._line_start = len(self.texts) - 1

    def _kind(self) -> str:
        head = self.texts[self._line_start][:_KIND_CHARS].lstrip()
        if self.is_code or self._in_fence:
            return "code"
        if head.startswith(_FENCES):
            return "dim"
        return "heading" if head.startswith("#") else "text"
