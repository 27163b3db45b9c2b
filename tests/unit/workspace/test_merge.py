from __future__ import annotations

import subprocess
import tempfile
import unicodedata
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentui.workspace.merge import merge3
from agentui.workspace.textdiff import line_counts, quoted_name, unified

lines = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"\n"]), max_size=12).map(b"".join)
texts = st.builds(lambda head, tail: head + tail, lines, st.sampled_from([b"", b"x"]))


def test_edits_in_different_places_merge() -> None:
    base = b"1\n2\n3\n4\n5\n6\n"
    assert merge3(base, base.replace(b"1", b"one"), base.replace(b"6", b"six")) == b"one\n2\n3\n4\n5\nsix\n"
    assert merge3(base, base + b"7\n", b"0\n" + base) == b"0\n" + base + b"7\n"


def test_edits_of_the_same_or_touching_lines_are_a_conflict() -> None:
    base = b"1\n2\n3\n"
    assert merge3(base, b"1\nA\n3\n", b"1\nB\n3\n") is None
    assert merge3(base, b"1\nA\n3\n", b"1\n2\nB\n") is None
    assert merge3(base, b"1\n3\n", b"1\nB\n3\n") is None


def test_texts_of_many_equal_lines_are_left_to_the_user_instead_of_compared_for_minutes() -> None:
    base = b"x\n" * 20_000
    assert merge3(base, b"a\n" + base, base + b"b\n") is None
    # What all three begin and end with takes no time, however long it is.
    middle = b"1\n2\n3\n4\n"
    merged = merge3(base + middle + base, base + b"0\n" + middle + base, base + middle + b"5\n" + base)
    assert merged == base + b"0\n" + middle + b"5\n" + base
    assert line_counts(base, base[:-2] + b"z\n") == (1, 1)
    assert unified(base, base[:-2] + b"z\n", "f").split("\n")[2:] == [
        "@@ -19997,4 +19997,4 @@",
        *[" x"] * 3,
        "-x",
        "+z",
        "",
    ]


@given(texts, texts)
def test_an_unchanged_side_takes_the_other(base: bytes, other: bytes) -> None:
    assert merge3(base, base, other) == other
    assert merge3(base, other, base) == other
    assert merge3(base, other, other) == other


@given(texts, texts, texts)
def test_sides_may_be_swapped(base: bytes, ours: bytes, theirs: bytes) -> None:
    assert merge3(base, ours, theirs) == merge3(base, theirs, ours)


@settings(max_examples=25, deadline=None)
@given(lines, st.integers(0, 11), st.integers(0, 11))
def test_a_clean_merge_is_what_git_makes_of_it(base: bytes, one: int, two: int) -> None:
    ours, theirs = _edited(base, one, b"OURS\n"), _edited(base, two, b"THEIRS\n")
    merged = merge3(base, ours, theirs)
    if merged is None:
        return
    with tempfile.TemporaryDirectory() as name:
        for file, content in (("o", base), ("a", ours), ("b", theirs)):
            (Path(name) / file).write_bytes(content)
        told = subprocess.run(
            ["git", "merge-file", "-p", "a", "o", "b"], cwd=name, capture_output=True, check=False
        )
    if told.returncode == 0:
        assert merged == told.stdout


def _edited(base: bytes, at: int, line: bytes) -> bytes:
    parts = base.splitlines(keepends=True)
    parts[at : at + 1] = [line]
    return b"".join(parts)


@given(texts, texts)
@example(b"b\na\na\nb\nx", b"a\nc\na\nb\nb\nx")
def test_counts_agree_with_the_diff_that_is_shown(before: bytes, after: bytes) -> None:
    added, removed = line_counts(before, after)
    shown = unified(before, after, "f").split("\n")[2:]
    assert added - removed == _count(after) - _count(before)
    assert sum(line.startswith("+") for line in shown) >= added
    assert (added, removed) == (0, 0) or before != after


@given(texts, texts)
def test_a_shown_diff_is_one_that_git_applies(before: bytes, after: bytes) -> None:
    shown = unified(before, after, "f")
    if before == after:
        assert shown == ""
        return
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "f").write_bytes(before)
        subprocess.run(["git", "apply", "-"], cwd=name, input=shown.encode(), check=True, capture_output=True)
        assert (Path(name) / "f").read_bytes() == after


def _count(text: bytes) -> int:
    return text.count(b"\n") + (not text.endswith(b"\n") and text != b"")


def test_a_missing_newline_at_the_end_is_said() -> None:
    assert unified(b"a\n", b"a", "f").endswith("+a\n\\ No newline at end of file\n")
    assert unified(None, b"x\n", "f").startswith("--- /dev/null\n+++ b/f\n")


def test_a_name_that_could_act_on_the_terminal_is_quoted_in_a_diff_as_git_quotes_it() -> None:
    header = unified(b"a\n", b"b\n", 'd/\x1b]0;x\x07\n"q"').split("\n")[:2]
    assert header == [r'--- "a/d/\033]0;x\a\n\"q\""', r'+++ "b/d/\033]0;x\a\n\"q\""']
    assert unified(b"a\n", b"b\n", "d/ü.txt").startswith("--- a/d/ü.txt\n")
    assert quoted_name("\udcff") == r'"\377"'


@given(st.text(max_size=40))
def test_a_quoted_name_holds_no_control_characters(name: str) -> None:
    assert not [char for char in quoted_name(name) if unicodedata.category(char) == "Cc"]
