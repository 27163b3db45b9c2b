from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.base import ChatPart, FinishPart, TextPart, ToolCallPart, UsagePart
from agentui.backends.openai_chunks import ChunkReader, timings_from, usage_from
from agentui.events import Usage
from tests.unit.backends.replay import chunk

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FUNCTION = st.fixed_dictionaries({}, optional={"name": JSON, "arguments": JSON})
CALL = st.fixed_dictionaries(
    {}, optional={"index": JSON | st.integers(0, 3), "id": JSON, "function": FUNCTION | JSON}
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON,
        "reasoning_content": JSON,
        "reasoning": JSON,
        "tool_calls": st.lists(CALL | JSON, max_size=3) | JSON,
    },
)
CHOICE = st.fixed_dictionaries({}, optional={"delta": DELTA | JSON, "message": DELTA, "finish_reason": JSON})
CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICE | JSON, max_size=2) | JSON,
        "usage": JSON | st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), JSON),
        "timings": JSON | st.dictionaries(st.sampled_from(["prompt_n", "predicted_n", "predicted_ms"]), JSON),
        "prompt_progress": JSON | st.dictionaries(st.sampled_from(["total", "processed", "cache"]), JSON),
        "model": JSON,
    },
)


def read(chunks: list[dict[str, Any]]) -> list[ChatPart]:
    reader = ChunkReader()
    return [part for item in chunks for part in reader.read(item)] + list(reader.finish())


@given(st.lists(CHUNK, max_size=6))
def test_any_json_is_read_without_an_error_and_ends_with_one_finish(chunks: list[dict[str, Any]]) -> None:
    parts = read(chunks)
    assert isinstance(parts[-1], FinishPart)
    assert sum(isinstance(part, FinishPart) for part in parts) == 1
    ids = [part.call_id for part in parts if isinstance(part, ToolCallPart) and part.call_id]
    begun = {part.index for part in parts if isinstance(part, ToolCallPart)}
    assert len(ids) == len(set(ids)) == len(begun)


def test_arguments_sent_as_an_object_become_json_text() -> None:
    call = {"id": "a", "function": {"name": "bash", "arguments": {"command": "echo é"}}}
    (part, finish) = read([chunk({"tool_calls": [call]}, "stop")])
    assert isinstance(part, ToolCallPart)
    assert json.loads(part.arguments) == {"command": "echo é"}
    assert finish == FinishPart("tool_calls", "tiny")


def test_empty_deltas_are_no_tokens() -> None:
    parts = read(
        [chunk({"role": "assistant", "content": ""}), chunk({"content": None}), chunk({"content": "a"})]
    )
    assert parts[0] == TextPart("a")


def test_counts_of_other_shapes_stay_unknown() -> None:
    assert usage_from({"prompt_tokens": "many", "completion_tokens": -1}) == Usage()
    assert usage_from({"prompt_tokens": 12.0, "completion_tokens": True}) == Usage(12)
    assert timings_from({"predicted_per_second": 0.0, "prompt_per_second": None}) is None


def test_timings_of_every_token_count_by_their_last() -> None:
    timed = [
        chunk(
            {"content": "a"},
            timings={"prompt_n": 5, "cache_n": 1, "predicted_n": count, "predicted_per_second": 9},
        )
        for count in (1, 2, 3)
    ]
    parts = read(timed)
    (usage,) = [part for part in parts if isinstance(part, UsagePart)]
    assert usage.usage == Usage(6, 3, None, 1)
