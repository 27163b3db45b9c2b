"""Code as styled lines, by pygments with a handful of styles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.style import Style

from agentui_widgets.wrapping import Span, split_spans

if TYPE_CHECKING:
    from pygments.lexer import Lexer

HIGHLIGHT_LIMIT_CHARS = 60_000
"""Longer code is shown plain: a lexer takes some 15 ms for 10,000 characters."""


def code_lines(source: str, language: str, style_of: Callable[[str], Style]) -> list[list[Span]]:
    """`source` cut into lines and highlighted; plain when the language is unknown."""
    plain = style_of("code")
    lexer = _lexer(language) if language and len(source) <= HIGHLIGHT_LIMIT_CHARS else None
    if lexer is None:
        return [[(line, plain)] if line else [] for line in source.split("\n")]
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    # the stubs take a token type for a tuple of strings; at run time `in` asks for its ancestors
    kinds: tuple[tuple[Any, Style], ...] = (
        (Comment, style_of("code-comment")),
        (Keyword, style_of("code-keyword")),
        (Operator.Word, style_of("code-keyword")),
        (String, style_of("code-string")),
        (Number, style_of("code-number")),
        (Name.Function, style_of("code-name")),
        (Name.Class, style_of("code-name")),
        (Name.Decorator, style_of("code-name")),
    )
    spans: list[Span] = []
    for token, text in lexer.get_tokens(source):
        spans.append((text, next((style for kind, style in kinds if token in kind), plain)))
    lines = split_spans(spans)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _lexer(language: str) -> Lexer | None:
    # pygments costs 30 ms to import: only when the first piece of code is drawn
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, ensurenl=False, stripnl=False)
    except ClassNotFound:
        return None
