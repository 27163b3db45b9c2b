from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui import events
from agentui.errors import SessionError
from agentui.event_json import EVENT_TYPES, event_fields, read_recorded, recorded_object
from agentui.events import Event, Recorded, RunId, TextDelta, TurnStarted, Usage

ENVELOPE = ("v", "seq", "t_s", "at_utc", "run_id", "type")

# Names of files may hold bytes that are no text, which arrive as lone surrogates.
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | numbers | texts
json_objects = st.dictionaries(
    texts,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
    ),
    max_size=3,
)


def strategy_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that a type hint of the vocabulary allows."""
    hint = getattr(hint, "__supertype__", hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([st.none() if a is type(None) else strategy_of(a) for a in args])
    if origin is tuple:
        return st.lists(strategy_of(args[0]), max_size=3).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return json_objects
    if dataclasses.is_dataclass(hint):
        return values_of(hint)
    return {str: texts, int: st.integers(), float: numbers, bool: st.booleans()}[hint]


def values_of(cls: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls, dict(vars(events)))
    return st.builds(cls, **{f.name: strategy_of(hints[f.name]) for f in dataclasses.fields(cls)})


def record(event: Event) -> Recorded:
    return Recorded(1, 0.5, "2026-01-02T03:04:05.000Z", RunId("r"), event)


def through_json(recorded: Recorded) -> Recorded:
    return read_recorded(json.loads(json.dumps(recorded_object(recorded))))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
@settings(max_examples=40)
@given(data=st.data())
def test_every_event_survives_json(name: str, data: st.DataObject) -> None:
    recorded = record(data.draw(values_of(EVENT_TYPES[name])))
    assert through_json(recorded) == recorded


def test_the_union_holds_every_event_of_the_vocabulary() -> None:
    nested = {"Usage", "ModelFacts", "SandboxFacts", "Change", "Recorded"}
    nested |= {"RunCard", "CheckResult", "SpeedAtDepth", "TimeByKind"}
    declared = {
        name
        for name, value in vars(events).items()
        if dataclasses.is_dataclass(value) and isinstance(value, type)
    }
    assert declared - nested == set(EVENT_TYPES)


def test_an_object_is_flat_and_begins_with_its_envelope() -> None:
    held = recorded_object(record(TextDelta(events.MessageId("m"), "hi", 3)))
    assert tuple(held)[: len(ENVELOPE)] == ENVELOPE
    assert held["type"] == "TextDelta"
    assert (held["text"], held["tokens"]) == ("hi", 3)


def test_no_event_has_a_field_that_its_envelope_would_hide() -> None:
    for cls in EVENT_TYPES.values():
        assert not {f.name for f in dataclasses.fields(cls)} & {*ENVELOPE, "crc"}, cls


def test_fields_of_newer_versions_are_ignored_and_missing_ones_take_their_default() -> None:
    held = recorded_object(record(TextDelta(events.MessageId("m"), "hi", 3)))
    del held["tokens"]
    held["new_field"] = {"x": 1}
    assert read_recorded(held).event == TextDelta(events.MessageId("m"), "hi", 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "Nothing"}, "unknown event type"),
        ({"type": 5}, "unknown event type"),
        ({"turn": "one"}, "expected int"),
        ({"turn": True}, "expected int"),
        ({"turn": None}, "expected int"),
        ({"seq": "1"}, "expected int"),
        ({"t_s": None}, "expected int"),
        ({"run_id": 3}, "expected str"),
        ({"usage": []}, "expected dict"),
        ({"usage": {"prompt_tokens": "many"}}, "expected int"),
    ],
)
def test_a_damaged_object_says_what_is_wrong(change: dict[str, object], said: str) -> None:
    held = recorded_object(record(events.TurnEnded(1, Usage(1, 2))))
    with pytest.raises(SessionError, match=said):
        read_recorded({**held, **change})


@pytest.mark.parametrize("missing", ["seq", "t_s", "at_utc", "run_id", "v", "turn"])
def test_a_missing_field_without_default_is_damage(missing: str) -> None:
    held = recorded_object(record(TurnStarted(1)))
    del held[missing]
    with pytest.raises(SessionError, match="damaged"):
        read_recorded(held)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(SessionError, match="must be a JSON object"):
        read_recorded([1])


def test_fields_are_plain_json_values() -> None:
    changed = events.WorkspaceChanged((events.Change("a", "added"),))
    assert event_fields(changed) == {
        "changes": [
            {
                "path": "a",
                "kind": "added",
                "rule": "free",
                "why": "",
                "added_lines": None,
                "removed_lines": None,
                "size_bytes": None,
            }
        ]
    }
