"""The stand-in for a tokenizer, and what is made of a reply."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentui.simulator.reply import Reply, ToolCall, pieces_of, until_stop
from agentui.simulator.scripts.filler import filler_reply
from agentui.simulator.scripts.player import reply_to
from agentui.simulator.tokens import common_prefix, prompt_tokens, text_of, tokenize

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
TOOLS = [{"type": "function", "function": {"name": "bash"}}]
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": st.text(max_size=60)}), max_size=6)


@given(st.text())
def test_joining_the_tokens_gives_the_text(text: str) -> None:
    assert "".join(tokenize(text)) == text


def test_english_has_about_four_characters_a_token() -> None:
    text = "The workspace is a private copy, and the user decides what is brought back to the project. " * 20
    assert 3.3 < len(text) / len(tokenize(text)) < 5


@pytest.mark.parametrize("word", ["word and ", "_", "x", "\\", "\n ", "keep preserve summary ", "exit    "])
def test_a_text_of_half_a_megabyte_is_read_in_linear_time(word: str) -> None:
    # What is quadratic here takes hours, so that the time limit of every test ends it.
    text = word * (500_000 // len(word))
    assert "".join(tokenize(text)) == text
    asked = {"role": "user", "content": "split report.py into modules"}
    assert reply_to([asked, {"role": "assistant", "content": "ok"}, {"role": "user", "content": text}], TOOLS)
    assert reply_to([{"role": "user", "content": text}], TOOLS)


@given(MESSAGES, MESSAGES)
def test_a_continued_chat_begins_with_the_tokens_of_the_chat(
    messages: list[dict[str, object]], more: list[dict[str, object]]
) -> None:
    first, second = prompt_tokens(messages), prompt_tokens([*messages, *more])
    # The opening of the answer is not part of the continuation unless the model is next to speak.
    assert common_prefix(first, second) >= len(first) - len(tokenize("<|turn>model\n"))


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_common_prefix_is_the_longest_one(first: list[int], second: list[int]) -> None:
    left, right = [str(item) for item in first], [str(item) for item in second]
    shared = common_prefix(left, right)
    assert left[:shared] == right[:shared]
    assert shared == min(len(left), len(right)) or left[shared] != right[shared]


def test_thoughts_are_no_part_of_the_next_prompt() -> None:
    plain = {"role": "assistant", "content": "hello"}
    assert prompt_tokens([plain]) == prompt_tokens([{**plain, "reasoning_content": "hm"}])


def test_text_is_read_from_strings_and_parts() -> None:
    assert text_of("a") == "a"
    assert (
        text_of([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]) == "a\nb"
    )
    assert text_of(None) == ""


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40))
def test_the_pieces_of_a_reply_hold_all_of_it(thinking: str, text: str, arguments: str) -> None:
    reply = Reply(thinking, text, (ToolCall("bash", arguments),))
    pieces = list(pieces_of(reply, ["1"]))
    assert "".join(piece.text for piece in pieces if piece.kind == "reasoning") == thinking
    assert "".join(piece.text for piece in pieces if piece.kind == "content") == text
    assert "".join(piece.text for piece in pieces if piece.kind == "arguments") == arguments


@given(
    st.text(alphabet="ab \n", max_size=60),
    st.lists(st.text(alphabet="ab ", min_size=1, max_size=4), max_size=3),
)
@example(" a ", ["a", " a "])
def test_a_stop_string_cuts_where_it_first_occurs(text: str, stops: list[str]) -> None:
    found = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    expected = text[: min(found)] if found else text
    pieces = until_stop(pieces_of(Reply(text=text), []), stops)
    assert "".join(piece.text for piece in pieces) == expected


@given(st.integers(1, 3000))
def test_a_filler_has_exactly_the_wanted_tokens(wanted: int) -> None:
    reply = filler_reply([{"role": "user", "content": f"please stream {wanted} tokens"}])
    assert reply is not None
    assert len(tokenize(reply.text)) == wanted
