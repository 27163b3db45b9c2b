from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from agentui_widgets.markdown_rows import markdown_lines


def style_of(name: str) -> Style:
    return Style(meta={"name": name})


def text_of(source: str, width: int = 40) -> list[str]:
    return ["".join(text for text, _ in line.spans) for line in markdown_lines(source, width, style_of)]


def names_of(source: str) -> dict[str, str]:
    return {
        text: style.meta.get("name", "")
        for line in markdown_lines(source, 60, style_of)
        for text, style in line.spans
    }


def test_blocks_become_rows_with_air_between_them() -> None:
    source = "# Title\n\none *two* `three`\n\n- a\n- b\n  - c\n\n1. x\n2. y\n\n> said\n\nend"
    assert text_of(source) == [
        "Title",
        "",
        "one two three",
        "",
        "• a",
        "• b",
        "  • c",
        "",
        "1. x",
        "2. y",
        "",
        "│ said",
        "",
        "end",
    ]


def test_a_fence_keeps_its_lines_and_indentation() -> None:
    assert text_of("```python\ndef f():\n    return 1\n```") == ["  def f():", "      return 1"]


def test_code_is_highlighted_only_where_the_language_is_known() -> None:
    assert names_of("```python\nreturn 1\n```")["return"] == "code-keyword"
    assert names_of("```nonsense\nreturn 1\n```")["return 1"] == "code"


def test_a_table_has_columns_that_fit() -> None:
    rows = text_of("| a | long heading |\n|---|---|\n| `x` | a cell that is much too long to fit here |", 24)
    assert rows[0].startswith("a  long")
    assert all(cell_len(row) <= 24 for row in rows)
    assert rows[2].rstrip().endswith("…")


def test_html_and_links_are_text() -> None:
    assert text_of("<script>alert(1)</script>") == ["<script>alert(1)</script>"]
    assert text_of("[site](http://x.y)") == ["site (http://x.y)"]
    assert text_of("![pic](a.png)") == ["[image: pic]"]


def test_console_markup_is_text() -> None:
    assert text_of("[red]x[/red] [/x] [@click=app.quit]y") == ["[red]x[/red] [/x] [@click=app.quit]y"]


@given(st.text(max_size=300), st.integers(10, 80))
def test_any_source_gives_rows_that_fit(source: str, width: int) -> None:
    for line in markdown_lines(source, width, style_of):
        assert "\n" not in "".join(text for text, _ in line.spans)


@pytest.mark.parametrize("source", ["- " * 60 + "x", "> " * 60 + "x", "|a|" * 40, "*" * 500, "[" * 300])
def test_deep_nesting_does_not_break_the_renderer(source: str) -> None:
    text = "".join(text_of(source, 30))
    assert text.count("x") == source.count("x"), "nothing may be hidden by nesting"
    assert text


def test_wrapped_rows_say_that_they_go_on() -> None:
    lines = markdown_lines("one two three four five", 10, style_of)
    assert [line.joins for line in lines] == [False, True, True]
