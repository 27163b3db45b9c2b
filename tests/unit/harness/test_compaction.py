from __future__ import annotations

from agentui.events import Json
from agentui.harness import compaction
from agentui.history import assistant_message, tool_message, user_message

CALL: Json = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
HISTORY: list[Json] = [
    {"role": "system", "content": "S"},
    user_message("my task"),
    assistant_message("let me look", [CALL]),
    tool_message("c1", "x" * 5000),
    user_message("and quickly"),
    assistant_message("done"),
]


def test_the_users_words_stay_and_the_rest_becomes_the_summary() -> None:
    system, talk = compaction.compacted(HISTORY, "SUMMARY")
    assert system == HISTORY[0]
    for part in ("my task", "and quickly", "SUMMARY"):
        assert part in talk["content"]
    assert "xxx" not in talk["content"]


def test_a_second_compaction_keeps_the_words_but_not_the_old_summary() -> None:
    once = compaction.compacted(HISTORY, "FIRST")
    twice = compaction.compacted([*once, user_message("third"), assistant_message("ok")], "SECOND")
    text = twice[1]["content"]
    assert "my task" in text
    assert "third" in text
    assert "SECOND" in text
    assert "FIRST" not in text
    assert text.count("Earlier messages were shortened") == 1


def test_long_results_are_cut_before_a_summary_is_asked_for() -> None:
    short = compaction.condensed(HISTORY)
    assert len(str(short[3]["content"])) < 500
    assert [m["role"] for m in short] == [m["role"] for m in HISTORY]


def test_without_a_summary_the_commands_are_listed() -> None:
    text = compaction.mechanical_summary(HISTORY)
    assert '"ls"' in text


def test_nothing_to_compact_is_seen() -> None:
    assert not compaction.can_compact(HISTORY[:2])
    assert compaction.can_compact(HISTORY)
    assert not compaction.wants_compaction(10**9, None)
    assert compaction.wants_compaction(7500, 8192)
    assert not compaction.wants_compaction(6000, 8192)
