from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, field

import pytest

from agentui.events import Usage
from agentui.frozen import frozen, mutable


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


@mutable
class Tally:
    """Fields that are set."""

    name: str
    counts: list[int] = field(default_factory=list)
    total: int = 0
    _cache: dict[str, int] = field(default_factory=dict, repr=False, compare=False)


def test_fields_of_a_mutable_are_set_and_others_refused() -> None:
    tally = Tally("a")
    tally.total = 3
    assert (tally.total, Tally("b").counts) == (3, [])
    with pytest.raises(AttributeError):
        tally.other = 1  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        hash(tally)


def test_mutables_are_equal_by_the_fields_that_are_compared() -> None:
    assert Tally("a", _cache={"x": 1}) == Tally("a")
    assert Tally("a", total=1) != Tally("a")
    other: object = Point(1)
    assert Tally("a") != other
    assert repr(Tally("a", [1])) == "Tally(name='a', counts=[1], total=0)"


def test_mutables_share_no_default_and_are_copied_as_dataclasses_are() -> None:
    first, second = Tally("a"), Tally("a")
    first.counts.append(1)
    assert second.counts == []
    deep, shallow = copy.deepcopy(first), copy.copy(first)
    assert deep == shallow == first
    assert shallow.counts is first.counts
    assert deep.counts is not first.counts
    assert dataclasses.replace(first, total=5).total == 5
    assert [item.name for item in dataclasses.fields(Tally)] == ["name", "counts", "total", "_cache"]
