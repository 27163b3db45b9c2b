from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from agentui_widgets.growing import GrowingRows
from agentui_widgets.wrapping import Rows, make_strip, slice_spans, truncate, wrap_offsets, wrap_spans

TEXT = st.text(alphabet="ab c  déé漢字#`\U0001f600\n", max_size=200)
LINE = st.text(alphabet="ab c  dé漢字", max_size=120)


@given(LINE, st.integers(2, 30))
def test_wrapped_rows_fit_and_lose_nothing_but_spaces(text: str, width: int) -> None:
    ranges = wrap_offsets(text, width)
    assert all(cell_len(text[a:b]) <= width for a, b in ranges)
    kept = "".join(text[a:b] for a, b in ranges)
    assert kept.replace(" ", "") == text.replace(" ", "")
    dropped = [text[b:c] for (_, b), (c, _) in itertools.pairwise(ranges)]
    assert all(gap in ("", " ") for gap in dropped)


def test_words_stay_whole_where_they_fit() -> None:
    text = "the quick brown fox"
    assert [text[a:b] for a, b in wrap_offsets(text, 10)] == ["the quick", "brown fox"]
    assert ["abcdefgh"[a:b] for a, b in wrap_offsets("abcdefgh", 3)] == ["abc", "def", "gh"]


@given(TEXT, st.lists(st.integers(1, 20), max_size=30), st.integers(4, 25))
def test_growing_text_wraps_the_same_however_it_arrives(text: str, sizes: list[int], width: int) -> None:
    whole, pieces = GrowingRows(width), GrowingRows(width)
    whole.feed(text)
    position = 0
    for size in [*sizes, len(text)]:
        pieces.feed(text[position : position + size])
        position += size
    assert pieces.texts == whole.texts
    assert pieces.joins == whole.joins
    assert pieces.kinds == whole.kinds


def test_an_endless_line_touches_only_its_last_row() -> None:
    growing = GrowingRows(20)
    growing.feed("word " * 1000)
    before = len(growing.texts)
    first = growing.feed("more words here and there ")
    assert first >= before - 1


def test_fences_and_headings_are_told_apart_while_they_grow() -> None:
    growing = GrowingRows(40)
    for piece in ("# Ti", "tle\n``", "`python\nx = 1\n``", "`\ntext"):
        growing.feed(piece)
    assert growing.kinds == ["heading", "dim", "code", "code", "text"]


def test_a_strip_is_exactly_as_wide_as_asked() -> None:
    plain = Style()
    for text in ("", "ab", "漢字漢字漢字", "x" * 50):
        assert make_strip([(text, plain)], 7, plain).cell_length == 7


@given(LINE, st.integers(1, 20))
def test_truncated_text_fits(text: str, width: int) -> None:
    assert cell_len(truncate(text, width)) <= width


def test_spans_keep_their_styles_across_rows() -> None:
    bold, plain = Style(bold=True), Style()
    rows = wrap_spans([("aaa ", plain), ("bbb ccc", bold)], 7)
    assert rows == [[("aaa ", plain), ("bbb", bold)], [("ccc", bold)]]
    assert slice_spans([("abc", plain), ("def", bold)], 2, 4) == [("c", plain), ("d", bold)]


def test_rows_can_be_cut_back() -> None:
    rows = Rows()
    for _ in range(3):
        rows.add(make_strip([], 3, Style()))
    rows.cut(1)
    assert (len(rows), len(rows.joins), len(rows.gutters)) == (1, 1, 1)
