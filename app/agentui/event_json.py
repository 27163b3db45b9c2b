"""Events to JSON objects and back: the one form used by journal, `--mode json` and export.

An object is flat: ``{"v", "seq", "t_s", "at_utc", "run_id", "type", ...fields of the event}``. Unknown fields
are ignored and missing ones take their defaults, so that older and newer journals both open.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, get_args, get_origin

from agentui import events
from agentui.errors import SessionError
from agentui.events import Event, Recorded, RunId

EVENT_TYPES: dict[str, type[Any]] = {cls.__name__: cls for cls in get_args(Event)}
T = TypeVar("T")

_NAMES: dict[type[Any], tuple[str, ...]] = {}


def _names(cls: type[Any]) -> tuple[str, ...]:
    names = _NAMES.get(cls)
    if names is None:
        names = _NAMES[cls] = tuple(f.name for f in dataclasses.fields(cls))
    return names


def plain(value: Any) -> Any:
    """A value of the vocabulary as plain JSON values, without a type. O(its size)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def event_fields(event: Event) -> dict[str, Any]:
    """The fields of `event` as plain JSON values, without its type."""
    return {name: plain(getattr(event, name)) for name in _names(type(event))}


def recorded_object(recorded: Recorded) -> dict[str, Any]:
    """The flat JSON object of a recorded event."""
    head = {
        "v": recorded.v,
        "seq": recorded.seq,
        "t_s": round(recorded.t_s, 6),
        "at_utc": recorded.at_utc,
        "run_id": recorded.run_id,
        "type": type(recorded.event).__name__,
    }
    return {**head, **event_fields(recorded.event)}


Reader = Callable[[Any], Any]


_READERS: dict[type[Any], dict[str, Reader]] = {}


def _readers(cls: type[Any]) -> dict[str, Reader]:
    readers = _READERS.get(cls)
    if readers is None:
        hints = typing.get_type_hints(cls, dict(vars(events)))
        readers = _READERS[cls] = {name: _reader(hints[name]) for name in _names(cls)}
    return readers


def _reader(hint: Any) -> Reader:
    """A function that checks a JSON value against a type hint and rebuilds tuples and nested values."""
    hint = getattr(hint, "__supertype__", hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Literal:
        return _one_of(args)
    if origin in (types.UnionType, typing.Union):
        inner = _reader(next(a for a in args if a is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(args[0])
        return lambda value: tuple(item(v) for v in _expect(value, list))
    if origin is not None:
        return lambda value: _expect(value, dict)
    if dataclasses.is_dataclass(hint):
        return lambda value: _build(cast("type[Any]", hint), value)
    if hint is float:
        return lambda value: float(_expect(value, int, float))
    return lambda value: _expect(value, hint)


def _one_of(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"{value!r} is none of {choices}")
        return value

    return read


def _expect(value: Any, *kinds: type[Any]) -> Any:
    is_stray_bool = isinstance(value, bool) and bool not in kinds
    if is_stray_bool or not isinstance(value, kinds):
        raise ValueError(f"expected {kinds[0].__name__}, found {type(value).__name__}")
    return value


def rebuilt(cls: type[T], value: object) -> T:
    """A value of the vocabulary from what `plain` made of it.

    Raises:
        TypeError: If a field is missing.
        ValueError: If a value is of the wrong kind.
    """
    return cast("T", _build(cls, value))


def _build(cls: type[Any], value: Any) -> Any:
    fields = _expect(value, dict)
    readers = _readers(cls)
    return cls(**{name: readers[name](fields[name]) for name in readers if name in fields})


def read_recorded(value: object) -> Recorded:
    """Rebuild a recorded event from its JSON object.

    Raises:
        SessionError: If the object has no known type, or a field is missing or of the wrong kind.
    """
    if not isinstance(value, dict):
        raise SessionError(f"a record must be a JSON object, found {type(value).__name__}")
    name = value.get("type")
    cls = EVENT_TYPES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise SessionError(f"unknown event type {name!r}", hint="a newer agentui may have written it")
    try:
        return Recorded(
            seq=_expect(value["seq"], int),
            t_s=float(_expect(value["t_s"], int, float)),
            at_utc=_expect(value["at_utc"], str),
            run_id=RunId(_expect(value["run_id"], str)),
            event=_build(cls, value),
            v=_expect(value["v"], int),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SessionError(f"a record of type {name} is damaged: {error}") from error
