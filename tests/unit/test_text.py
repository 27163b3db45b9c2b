from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.text import (
    HOLD_LIMIT_CHARS,
    CleanStream,
    clean,
    clean_line,
    clock_time,
    human_bytes,
    human_context,
    human_copy_size,
    human_duration,
    human_gib,
    human_percent,
    human_rate,
    human_tokens,
    plural,
    read_clock_time,
)

ALPHABET = (
    "ab7;?[]PX^_\\ (mHz\n\t\r\x1b\x07\x08\x9b\x9c\x9d\x90\x98\x9e\x9f\x7f\x00"
    "\u202e\u2066\u200f\ufeff\ud800\u2028\U0001f468\u200d"
)
hostile = st.text(alphabet=ALPHABET, max_size=60)
anything = st.text(max_size=60)
BAD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\u2028\u2029]"
)


@given(hostile | anything)
def test_no_control_ever_passes_whole(text: str) -> None:
    assert BAD.search(clean(text)) is None


@given(st.lists(hostile | anything, max_size=12))
def test_no_control_ever_passes_in_pieces(parts: list[str]) -> None:
    stream = CleanStream()
    shown = "".join([stream.feed(part) for part in parts]) + stream.close()
    assert BAD.search(shown) is None


@given(hostile, st.lists(st.integers(0, 60), max_size=8))
def test_any_cutting_of_a_stream_gives_the_same_text(text: str, cuts: list[int]) -> None:
    stream = CleanStream()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    shown = "".join(stream.feed(text[a:b]) for a, b in itertools.pairwise(edges))
    assert shown + stream.close() == clean(text)


@given(hostile | anything)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9 \U0001f468\u200d\U0001f4bb ok", "plain \u00e9 \U0001f468\u200d\U0001f4bb ok"),
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
        ("a\x9b31mb", "ab"),
        ("a\x1bP1$r0m\x1b\\b", "ab"),
        ("a\x1b(Bb", "ab"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("x\x1b", "x\ufffd"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\x1b]8;;no end", "8;;no end"),
    ],
)
def test_known_sequences_are_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_stream_shows_an_endless_sequence_after_the_limit() -> None:
    stream = CleanStream()
    assert stream.feed("\x1b]0;" + "x" * 10) == ""
    assert stream.feed("y" * HOLD_LIMIT_CHARS).endswith("yyy")


def test_a_stream_holds_back_a_cut_line_end() -> None:
    stream = CleanStream()
    assert stream.feed("a\r") == "a"
    assert stream.feed("\nb") == "\nb"


def test_clean_line_is_one_line() -> None:
    assert clean_line(" a\n\tb\x1b[1mc ") == "a bc"


def test_units_are_readable() -> None:
    assert [human_bytes(n) for n in (None, 0, 812, 1536, 96_468_992, 16_750_372_454, 1_610_612_736)] == [
        "?",
        "0 B",
        "812 B",
        "1.5 KiB",
        "92 MiB",
        "15.6 GiB",
        "1.50 GiB",
    ]
    assert [human_tokens(n) for n in (None, 312, 12_400, 131_072, 1_200_000)] == [
        "?",
        "312",
        "12.4k",
        "131k",
        "1.2M",
    ]
    assert [human_context(n) for n in (None, 65_536, 12_400)] == ["?", "64k", "12.4k"]
    assert [human_duration(s) for s in (None, 0.1, 42, 252, 3_840)] == [
        "?",
        "0.1 s",
        "42 s",
        "4 min 12 s",
        "1 h 04 min",
    ]
    assert [human_rate(r) for r in (None, 42.31, 812.4)] == ["?", "42.3", "812"]
    assert (human_gib(None), human_gib(47_352_643_584), human_percent(0.19)) == ("?", "44.1", "19 %")
    assert (plural(1, "file"), plural(6, "file")) == ("1 file", "6 files")


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("90", 90),
        ("12:30", 750),
        ("1:02:30", 3750),
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        (" 0:07.5 ", 7.5),
    ],
)
def test_times_of_a_session_are_read_as_typed(typed: str, seconds: float) -> None:
    assert read_clock_time(typed) == seconds
    if seconds == int(seconds):
        assert read_clock_time(clock_time(seconds)) == seconds


@pytest.mark.parametrize("typed", ["", "x", "1:2:3:4", "-5", "1:30m", "m", "inf", "1e9"])
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        read_clock_time(typed)


def test_a_size_to_copy_is_never_shown_as_nothing() -> None:
    sizes = (0, 812, 1_000, 12_345, 999_499, 999_500, 9_949_999, 9_950_000, 1_234_000_000)
    assert [human_copy_size(size) for size in sizes] == [
        *("0 B", "812 B", "1 kB", "12 kB", "999 kB", "1.0 MB", "9.9 MB", "10 MB", "1,234 MB"),
    ]
