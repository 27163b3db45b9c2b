from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.base import TextPart, ThinkingPart
from agentui.backends.thinking import ThinkingSplitter


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkingSplitter()
    parts = [part for piece in pieces for part in splitter.feed(piece)] + list(splitter.finish())
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    thought = "".join(part.text for part in parts if isinstance(part, ThinkingPart))
    return thought, text


@pytest.mark.parametrize(
    ("whole", "thought", "text"),
    [
        ("<think>\nhm\n</think>\n\nHello", "hm\n", "Hello"),
        ("  <think>a</think>b", "a", "b"),
        ("<|channel>thought\nlet me see<channel|>Done.", "let me see", "Done."),
        ("First.<|channel>thought\nwait<channel|>Then.", "wait", "First.Then."),
        ("<think>a</think><think>b</think>c", "ab", "c"),
        ("<think>never closed", "never closed", ""),
        ("<think>closed by half</thi", "closed by half</thi", ""),
        ("<think></think>", "", ""),
        (" plain text, kept as it is\n", "", " plain text, kept as it is\n"),
        ("talk about <think>tags</think>", "", "talk about <think>tags</think>"),
        ("<thinner>html</thinner>", "", "<thinner>html</thinner>"),
        ("<", "", "<"),
    ],
)
def test_thoughts_are_split_out_of_the_text(whole: str, thought: str, text: str) -> None:
    assert split([whole]) == (thought, text)
    assert split(list(whole)) == (thought, text)


PIECES = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<thinking>",
        "</thinking>",
        "<|channel>thought",
        "<channel|>",
        "<",
        "<th",
        "|>",
        "\n",
    ]
)
WHOLE = st.lists(st.one_of(PIECES, st.text(alphabet="ab <>/|\n", max_size=5)), max_size=12).map("".join)


@given(WHOLE, st.data())
def test_the_split_does_not_depend_on_where_the_chunks_are_cut(whole: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    borders = [0, *cuts, len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(borders)]
    assert split(pieces) == split([whole])


@given(st.text(alphabet="abc \n.", max_size=40))
def test_text_without_marks_comes_out_unchanged(text: str) -> None:
    assert split(list(text)) == ("", text if text.strip() else "")


def test_a_held_opening_looks_like_thinking_until_it_is_not() -> None:
    splitter = ThinkingSplitter()
    assert list(splitter.feed("<thi")) == []
    assert splitter.may_think
    assert list(splitter.feed("s>")) == [TextPart("<this>")]
    assert not splitter.may_think
