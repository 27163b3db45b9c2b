from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentui_widgets.word_diff import MOST_TOKENS, changed_words


def marked(lines: list[str]) -> list[str]:
    return [
        lines[at][start:end] for at, ranges in sorted(changed_words(lines).items()) for start, end in ranges
    ]


def test_only_the_words_that_differ_are_marked() -> None:
    lines = ["@@ -1 +1 @@", "-The quick brown fox jumps.", "+The quick red fox jumps twice."]
    assert marked(lines) == ["brown", "red", "twice"]


def test_a_last_line_without_an_end_is_compared_too() -> None:
    note = "\\ No newline at end of file"
    lines = ["@@ -1 +1 @@", "-The quick brown fox jumps.", note, "+The quick red fox jumps.", note]
    assert marked(lines) == ["brown", "red"]


def test_a_paragraph_that_was_wrapped_anew_shows_only_what_was_written_anew() -> None:
    lines = [
        "@@ -1,2 +1,2 @@",
        "-One long sentence that was",
        "-wrapped here.",
        "+One long",
        "+sentence that was wrapped there.",
    ]
    assert marked(lines) == ["here", "there"]


def test_what_was_written_anew_as_a_whole_is_not_marked_word_by_word() -> None:
    assert (
        changed_words(["@@ -1 +1 @@", "-alpha beta gamma delta", "+one entirely different line of words"]) == {}
    )


def test_the_head_of_a_diff_is_no_text() -> None:
    assert changed_words(["--- a/notes.md", "+++ b/notes.md", "@@ -1 +1 @@", "-same", "+same"]) == {}


def test_very_long_passages_stay_line_by_line() -> None:
    words = "word " * MOST_TOKENS
    assert changed_words(["@@", f"-{words}old", f"+{words}new"]) == {}


@given(st.lists(st.text(alphabet="-+@ ab.\n", max_size=12).map(lambda t: t.replace("\n", "")), max_size=12))
def test_ranges_lie_in_their_lines_in_order_and_hold_no_space_at_their_ends(lines: list[str]) -> None:
    for at, ranges in changed_words(["@@", *lines]).items():
        line = ["@@", *lines][at]
        position = 1
        for start, end in ranges:
            assert position <= start < end <= len(line)
            assert line[start:end].strip() == line[start:end]
            position = end
