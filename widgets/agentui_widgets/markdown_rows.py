"""Markdown as styled rows: parsed once by markdown-it, wrapped once, never interactive.

No link opens anything and no HTML is obeyed: what cannot be drawn is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.style import Style

from agentui_widgets.code_spans import code_lines
from agentui_widgets.wrapping import Span, expand_tabs, slice_spans, truncate, wrap_offsets, wrap_spans

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

StyleOf = Callable[[str], Style]
MIN_COLUMN = 4
MAX_NESTING = 100
# markdown-it drops what is nested deeper than its limit; a model must not be able to hide text that way
_TOO_DEEP = re.compile(r"^(?:[ \t]*(?:[>*+-]|\d+[.)])){40}", re.MULTILINE)


class Line(NamedTuple):
    """One row of rendered Markdown; `joins` says that it goes on with the row before."""

    spans: list[Span]
    joins: bool = False


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # markdown-it costs 50 ms to import: only when the first answer is finished
    from markdown_it import MarkdownIt

    options = {"html": False, "maxNesting": MAX_NESTING}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"])


def markdown_lines(source: str, width: int, style_of: StyleOf) -> list[Line]:
    """Render `source` for `width` cells; linear in its length but for highlighting of code."""
    renderer = _Renderer(max(width, MIN_COLUMN), style_of)
    source = expand_tabs(source)
    if _TOO_DEEP.search(source) is not None:
        renderer.render_plain(source)
    else:
        renderer.render(_parser().parse(source))
    return renderer.lines


@dataclass(slots=True)
class _Frame:
    """An open list item or quote: what stands before its first row and before the others."""

    first: list[Span]
    rest: list[Span]
    is_used: bool = False


@dataclass(slots=True)
class _Renderer:
    """Tokens become lines."""

    width: int
    style_of: StyleOf
    lines: list[Line] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    counters: list[int | None] = field(default_factory=list)
    needs_gap: bool = False

    def render(self, tokens: Sequence[Token]) -> None:
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.type == "table_open":
                end = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
                self._gap()
                self._table(tokens[index:end])
                self.needs_gap = True
                index = end + 1
                continue
            self._token(token, tokens[index + 1] if index + 1 < len(tokens) else None)
            index += 1

    def render_plain(self, source: str) -> None:
        """The source as it is."""
        self._wrapped([(source, self.style_of("text"))])

    def _token(self, token: Token, following: Token | None) -> None:
        match token.type:
            case "heading_open" if following is not None:
                self._gap()
                name = "heading" if token.tag in ("h1", "h2") else "subheading"
                self._paragraph(following, self.style_of(name))
                following.children = []
                self.needs_gap = True
            case "inline" if token.children:
                self._gap()
                self._paragraph(token, self.style_of("text"))
            case "paragraph_close":
                self.needs_gap = not token.hidden
            case "fence" | "code_block":
                self._gap()
                self._code(token)
                self.needs_gap = True
            case "hr":
                self._gap()
                self._emit([("─" * min(self._room(), 40), self.style_of("dim"))])
                self.needs_gap = True
            case "html_block":
                self._gap()
                self._wrapped([(token.content.rstrip("\n"), self.style_of("text"))])
                self.needs_gap = True
            case _:
                self._container(token)

    def _container(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self.counters.append(None)
            case "ordered_list_open":
                self.counters.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self.counters.pop()
                self.needs_gap = not self.counters
            case "list_item_open":
                number = self.counters[-1]
                mark = "• " if number is None else f"{number}. "
                if number is not None:
                    self.counters[-1] = number + 1
                pad = " " * len(mark)
                style = self.style_of("dim")
                self._gap()
                self.frames.append(_Frame([(mark, style)], [(pad, style)]))
            case "blockquote_open":
                self._gap()
                bar = [("│ ", self.style_of("quote"))]
                self.frames.append(_Frame(bar, bar))
            case "list_item_close":
                if not self.frames[-1].is_used:
                    self._emit([])
                self.frames.pop()
            case "blockquote_close":
                self.frames.pop()
                self.needs_gap = True
            case _:
                pass

    # --- rows

    def _gap(self) -> None:
        if self.needs_gap and self.lines:
            spans = [span for frame in self.frames if frame.is_used for span in frame.rest]
            self.lines.append(Line(spans))
        self.needs_gap = False

    def _room(self) -> int:
        used = sum(len(text) for frame in self.frames for text, _ in frame.rest)
        return max(self.width - used, MIN_COLUMN)

    def _emit(self, spans: list[Span], joins: bool = False) -> None:
        before: list[Span] = []
        for frame in self.frames:
            before.extend(frame.rest if frame.is_used else frame.first)
            frame.is_used = True
        self.lines.append(Line(before + spans, joins))

    def _wrapped(self, spans: list[Span]) -> None:
        text = "".join(part for part, _ in spans)
        position = 0
        for source_line in text.split("\n"):
            for number, (start, end) in enumerate(wrap_offsets(source_line, self._room())):
                self._emit(slice_spans(spans, position + start, position + end), joins=number > 0)
            position += len(source_line) + 1

    def _paragraph(self, token: Token, style: Style) -> None:
        self._wrapped(self._inline(token.children or [], style))

    def _inline(self, children: Sequence[Token], base: Style) -> list[Span]:
        spans: list[Span] = []
        styles = [base]
        links: list[tuple[str, int]] = []
        for token in children:
            match token.type:
                case "text" | "html_inline" | "text_special":
                    spans.append((token.content, styles[-1]))
                case "code_inline":
                    spans.append((token.content, self.style_of("code")))
                case "softbreak":
                    spans.append((" ", styles[-1]))
                case "hardbreak":
                    spans.append(("\n", styles[-1]))
                case "strong_open" | "em_open" | "s_open":
                    styles.append(styles[-1] + self.style_of(token.type.removesuffix("_open")))
                case "link_open":
                    links.append((str(token.attrs.get("href", "")), len(spans)))
                    styles.append(styles[-1] + self.style_of("link"))
                case "link_close":
                    styles.pop()
                    href, start = links.pop()
                    shown = "".join(text for text, _ in spans[start:])
                    if href and href != shown:
                        spans.append((f" ({href})", self.style_of("dim")))
                case "strong_close" | "em_close" | "s_close":
                    styles.pop()
                case "image":
                    spans.append(
                        (f"[image: {token.content or token.attrs.get('src', '')}]", self.style_of("dim"))
                    )
                case _:
                    spans.append((token.content, styles[-1]))
        return spans

    def _code(self, token: Token) -> None:
        language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
        room = self._room() - 2
        plain = self.style_of("code")
        for spans in code_lines(token.content.rstrip("\n"), language, self.style_of):
            for number, row in enumerate(wrap_spans(spans, room)):
                self._emit([("  ", plain), *row], joins=number > 0)

    def _table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[list[Span]]] = []
        is_head = False
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("thead_open", "thead_close"):
                is_head = token.type == "thead_open"
            elif token.type == "inline" and rows:
                style = self.style_of("strong") if is_head else self.style_of("text")
                rows[-1].append(self._inline(token.children or [], style))
        if not rows:
            return
        widths = self._column_widths(rows)
        dim = self.style_of("dim")
        for number, row in enumerate(rows):
            line: list[Span] = []
            for column, cell in enumerate(row[: len(widths)]):
                line.extend(_padded(cell, widths[column], self.style_of("text")))
                if column < len(widths) - 1:
                    line.append(("  ", dim))
            self._emit(line)
            if number == 0:
                self._emit([("─" * min(sum(widths) + 2 * (len(widths) - 1), self._room()), dim)])

    def _column_widths(self, rows: Sequence[Sequence[Sequence[Span]]]) -> list[int]:
        columns = max(len(row) for row in rows)
        widths = [
            max((sum(cell_len(text) for text, _ in row[c]) for row in rows if c < len(row)), default=0)
            for c in range(columns)
        ]
        room = self._room() - 2 * (columns - 1)
        while sum(widths) > room and max(widths) > MIN_COLUMN:
            widest = widths.index(max(widths))
            others = sum(widths) - widths[widest]
            runner_up = max((w for i, w in enumerate(widths) if i != widest), default=0)
            widths[widest] = max(MIN_COLUMN, min(widths[widest] - 1, max(room - others, runner_up)))
        return widths


def _padded(cell: Sequence[Span], width: int, style: Style) -> list[Span]:
    text = "".join(part for part, _ in cell)
    size = cell_len(text)
    if size <= width:
        return [*cell, (" " * (width - size), style)]
    cut = truncate(text, width)
    kept = slice_spans(cell, 0, len(cut) - 1)
    return [*kept, ("…" + " " * (width - cell_len(cut)), style)]
