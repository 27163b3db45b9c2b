from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, field

import pytest

from agentui.events import Usage
from agentui.frozen import frozen


@frozen
class Point:
    """A place."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@frozen
class Place:
    """Another kind with the same fields."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@frozen
class Nothing:
    """No fields."""


def test_fields_are_given_by_place_and_by_name_and_have_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(1).names) == (1, 2, [])
    assert Point(1, names=["a"]) == Point(x=1, y=2, names=["a"])
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]


def test_every_value_gets_a_default_of_its_own() -> None:
    assert Point(1).names is not Point(1).names


def test_values_are_equal_by_kind_and_fields() -> None:
    assert Point(1) == Point(1)
    assert Point(1) != Point(2)
    other: object = Place(1)
    assert Point(1) != other
    assert Nothing() == Nothing()
    assert hash(Usage(1, 2)) == hash(Usage(1, 2))
    assert len({Usage(1), Usage(1), Usage(2)}) == 2


def test_nothing_can_be_changed_added_or_deleted() -> None:
    point = Point(1)
    for name in ("x", "z"):
        with pytest.raises(FrozenInstanceError):
            setattr(point, name, 2)
    with pytest.raises(FrozenInstanceError):
        delattr(point, "x")
    assert point == Point(1)
    assert not hasattr(point, "__dict__")


def test_it_is_a_dataclass() -> None:
    assert [item.name for item in dataclasses.fields(Point)] == ["x", "y", "names"]
    assert dataclasses.replace(Point(1), y=5) == Point(1, 5)
    assert repr(Point(1)) == "Point(x=1, y=2, names=[])"
    match Point(3, 4):
        case Point(x, y):
            assert (x, y) == (3, 4)


def test_copies_are_equal() -> None:
    point = Point(1, 2, ["a"])
    assert copy.copy(point) == point
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_a_class_is_described_and_compiled_only_when_it_is_used() -> None:
    @frozen
    class Unused:
        """Nobody makes one."""

        x: int = 1

    assert not callable(vars(Unused)["__init__"])
    assert not isinstance(vars(Unused)["__dataclass_fields__"], dict)
    assert Unused().x == 1
    assert callable(vars(Unused)["__init__"])
    assert [item.default for item in dataclasses.fields(Unused)] == [1]
    assert isinstance(vars(Unused)["__dataclass_fields__"], dict)


def test_the_signature_is_that_of_the_fields() -> None:
    assert list(inspect.signature(Point).parameters) == ["x", "y", "names"]
