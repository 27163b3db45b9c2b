from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.events import Hold, Phase
from agentui.view.call_text import CallText
from agentui.view.words import state_words

PHASES: tuple[Phase, ...] = get_args(Phase)


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_has_words_in_every_hold(phase: Phase) -> None:
    words = ["".join(state_words(phase, hold)) for hold in get_args(Hold)]
    assert len(set(words)) == 4, "asked-for and reached are different words"
    assert all("_" not in word for word in words)


def test_details_progress_and_delays_are_said() -> None:
    assert "".join(state_words("loading_model", "none", progress_ratio=0.42)) == "loading model 42 %"
    assert "".join(state_words("retrying", "none", retry_in_s=4.0)) == "retrying in 4.0 s"
    assert "".join(state_words("generating", "pausing")) == "pausing after generating"
    assert "".join(state_words("running_command", "frozen")) == "frozen (running command)"
    assert (
        "".join(state_words("working", "paused", "before the next command")) == "paused before the next command"
    )
    assert "".join(state_words("interrupted", "none")) == "interrupted"
    assert "".join(state_words("waiting_for_user", "none", "allow \x1b[31mrm?")) == "waiting for you: allow rm?"


def test_what_can_be_left_out_of_a_state_is_told_apart_from_its_name() -> None:
    assert state_words("running_command", "none", "mkdir -p a") == ("running command", ": mkdir -p a")
    assert state_words("generating", "pausing") == ("pausing", " after generating")
    assert state_words("working", "paused", "before the next command")[0] == "paused"
    assert state_words("failed", "none", "no server") == ("failed", ": no server")


@given(
    st.text(max_size=40) | st.text('a\\"\n\U0001f600\u00e9', max_size=20),
    st.lists(st.integers(1, 7), max_size=20),
)
def test_a_call_reads_the_same_however_its_json_is_cut(command: str, sizes: list[int]) -> None:
    import json

    raw = json.dumps({"command": command})
    decoder, shown, position = CallText(), "", 0
    for size in [*sizes, len(raw)]:
        shown += decoder.feed(raw[position : position + size])
        position += size
    dropped = {"\r", "\b", "\f"}
    expected = "".join(c for c in command if c not in dropped)
    assert shown == expected


def test_arguments_of_another_shape_are_shown_raw() -> None:
    raw = '{"script": "' + "x" * 80 + '"}'
    assert CallText().feed(raw) == raw
