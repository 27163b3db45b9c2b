from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.events import Usage
from agentui.harness.pi.records import (
    PiDelta,
    PiMessageEnded,
    Response,
    RetryBegan,
    ToolFinished,
    UiRequest,
    Unknown,
    message_of,
    parse_record,
    record_of,
)
from tests.unit.harness.pi.captures import CAPTURES, said_by_pi

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        "response",
        "message_end",
        "message_update",
        "tool_execution_end",
        "tool_execution_update",
        "compaction_end",
        "auto_retry_start",
        "extension_ui_request",
        "queue_update",
        "agent_end",
    ]
)
KEYS = st.sampled_from(
    ["message", "assistantMessageEvent", "result", "content", "delayMs", "data", "options", "usage", "steering"]
)
PASSED_OVER = {
    "agent_start",
    "agent_end",
    "auto_retry_end",
    "bash_execution_update",
    "entry_appended",
    "queue_update",
    "session_info_changed",
    "thinking_level_changed",
    "turn_start",
}


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_record_of_a_capture_is_known(path: Path) -> None:
    records = [parse_record(line) for line in said_by_pi(path)]
    assert records
    # The other mode's first record is a session header.
    passed_over = PASSED_OVER | ({"session"} if path.name.startswith(("40-", "41-")) else set())
    assert {r.type for r in records if isinstance(r, Unknown)} <= passed_over


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ('502: {"message":"no server at x","type":"server_error"}', "502: no server at x"),
        ('400: {"error":{"message":"No models loaded"}}', "400: No models loaded"),
        ('500: {"error":"crashed"}', "500: crashed"),
        ('500: {"oops', '500: {"oops'),
        ("Connection error.", "Connection error."),
        ('500: {"code":1}', '500: {"code":1}'),
    ],
)
def test_what_the_server_said_is_taken_out_of_its_json(raw: str, said: str) -> None:
    record = record_of({"type": "auto_retry_start", "errorMessage": raw})
    assert isinstance(record, RetryBegan)
    assert record.error == said


def test_a_summary_that_is_asked_for_again_is_told_like_an_answer() -> None:
    retry = {"type": "summarization_retry_scheduled", "attempt": 2, "maxAttempts": 3, "delayMs": 2000}
    found = record_of({**retry, "errorMessage": "terminated"})
    assert found == RetryBegan(2, 2.0, "terminated", is_summary=True)


@given(st.binary())
def test_no_bytes_make_the_parser_raise(line: bytes) -> None:
    parse_record(line)


@given(TYPES, st.dictionaries(KEYS | st.text(), JSON))
def test_no_json_makes_the_parser_raise_and_all_text_can_be_written(
    kind: str, fields: dict[str, object]
) -> None:
    repr(record_of({**fields, "type": kind})).encode("utf-8")


def test_halves_of_characters_are_replaced() -> None:
    line = '{"type":"message_end","message":{"role":"user","content":"a\\ud83d"}}'
    record = parse_record(line)
    assert isinstance(record, PiMessageEnded)
    assert record.message.text == "a\ufffd"


def test_a_prompt_is_what_was_read_and_what_was_reused() -> None:
    usage = {"input": 132, "output": 14, "cacheRead": 527, "reasoning": 2, "totalTokens": 673}
    record = record_of({"type": "message_end", "message": {"role": "assistant", "usage": usage}})
    assert isinstance(record, PiMessageEnded)
    assert record.message.usage == Usage(659, 14, 2, 527)


def test_zeros_that_stand_for_not_known_yet_are_not_numbers() -> None:
    usage = {"input": 0, "output": 0, "cacheRead": 0, "totalTokens": 0}
    record = record_of({"type": "message_end", "message": {"role": "assistant", "usage": usage}})
    assert isinstance(record, PiMessageEnded)
    assert record.message.usage == Usage()


def test_fields_that_other_versions_lack_are_optional() -> None:
    assert record_of({"type": "response", "command": "prompt", "success": True}) == Response("", "prompt", True)
    found = record_of({"type": "tool_execution_end", "toolCallId": "1", "toolName": "bash", "result": {}})
    assert found == ToolFinished("1", "bash", "", False)
    delta = {"type": "message_update", "assistantMessageEvent": {"type": "text_delta", "delta": "x"}}
    assert record_of(delta) == PiDelta("text", "delta", 0, "x")


def test_a_dialogue_is_told_from_a_notice() -> None:
    asks = record_of({"type": "extension_ui_request", "id": "1", "method": "input", "placeholder": "p"})
    tells = record_of({"type": "extension_ui_request", "id": "2", "method": "setStatus"})
    assert isinstance(asks, UiRequest)
    assert isinstance(tells, UiRequest)
    assert (asks.is_dialogue, asks.text, tells.is_dialogue) == (True, "p", False)


def test_a_session_file_is_json_on_every_line() -> None:
    path = next(path.parent for path in CAPTURES) / "11-session-file.session.jsonl"
    first = json.loads(path.read_text(encoding="utf-8").split("\n", 1)[0])
    assert (first["type"], first["version"]) == ("session", 3)


def test_an_answer_that_holds_nothing_at_all_is_told_from_one_that_has_nothing_to_say() -> None:
    nothing = message_of({"role": "assistant", "content": [], "stopReason": "stop"})
    brief = {"input": 9, "output": 1, "totalTokens": 10}
    ended = message_of({"role": "assistant", "content": [], "stopReason": "stop", "usage": brief})
    only_thought = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "…"}],
        "stopReason": "stop",
    }
    assert nothing.says_nothing
    assert not ended.says_nothing
    assert not message_of(only_thought).says_nothing
