"""`frozen` and `mutable`: classes of fields with slots, like `dataclass`'s at a tenth of its cost.

`dataclasses` compiles up to seven methods for each class, half a millisecond; with the hundred kinds of events
and controls that is what one waits for before the first frame. Here a class compiles ``__init__`` when it is
first called, and shares the rest. No inheritance, no ``__post_init__``, no class variables with annotations, no
keyword-only fields: those are for `dataclasses`. Nothing but the standard library is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class of annotated fields an immutable value: compared, hashed and shown by its fields.

    It is a dataclass in every other way: `dataclasses.fields`, `replace` and ``match`` work.
    """
    return _made(cls, _FROZEN, "_set(self, {name!r}, {value})")


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Make a class of annotated fields as `frozen` does, but with fields that can be set, and no hash."""
    return _made(cls, _MUTABLE, "self.{name} = {value}")


def _made(cls: type[T], shared: dict[str, Any], put: str) -> type[T]:
    """The class with slots and `shared`; `put` is the statement that sets a field."""
    held = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    names = tuple(held.get("__annotations__", ()))
    defaults = {name: held.pop(name) for name in names if name in held}
    held |= shared | {
        "__slots__": names,
        "__match_args__": names,
        "__init__": _Later("__init__", lambda made: _init(made, defaults, put)),
        "__dataclass_fields__": _Later("__dataclass_fields__", lambda made: _fields(made, defaults)),
    }
    make: Any = type(cls)
    made: type[T] = make(cls.__name__, cls.__bases__, held)
    made.__qualname__ = cls.__qualname__
    return made


class _Later:
    """An attribute of a class that is made when it is first asked for."""

    def __init__(self, name: str, make: Callable[[type[Any]], object]) -> None:
        self._name, self._make = name, make

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        setattr(owner, self._name, self._make(owner))
        return getattr(owner if instance is None else instance, self._name)


def _fields(cls: type[Any], defaults: dict[str, Any]) -> object:
    """What `dataclasses` knows of a class: that of a dataclass with the same fields."""
    held = {"__annotations__": cls.__annotations__, "__module__": cls.__module__, **defaults}
    # Without one `dataclasses` writes it, which takes longer than the rest.
    held["__doc__"] = cls.__doc__ or cls.__name__
    plain: Any = dataclass(init=False, eq=False, repr=False)(type(cls.__name__, (), held))
    return plain.__dataclass_fields__


def _init(cls: type[Any], defaults: dict[str, Any], put: str) -> Callable[..., None]:
    """Compile ``__init__``; defaults are looked up in its globals, by the names of their fields."""
    held: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    parameters, body = ["self"], []
    for name in cls.__match_args__:
        value = name
        default: Any = defaults.get(name, MISSING)
        factory: Any = MISSING
        if isinstance(default, Field):
            default, factory = default.default, default.default_factory
        if factory is not MISSING:
            held[f"_make_{name}"] = factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif default is not MISSING:
            held[f"_default_{name}"] = default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        body.append(" " + put.format(name=name, value=value))
    exec(f"def __init__({', '.join(parameters)}):\n" + ("\n".join(body) or " pass"), held)
    made: Callable[..., None] = held["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _values(self: Any) -> tuple[object, ...]:
    return tuple([getattr(self, name) for name in self.__slots__])


def _eq(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return _values(self) == _values(other)


def _eq_compared(self: Any, other: object) -> Any:
    """As `_eq`, without the fields that are not to be compared."""
    names = [item.name for item in fields(self) if item.compare]
    if other.__class__ is not self.__class__:
        return NotImplemented
    return all(getattr(self, name) == getattr(other, name) for name in names)


def _hash(self: Any) -> int:
    return hash((type(self), _values(self)))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
    return f"{type(self).__qualname__}({shown})"


def _refuse(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _keep(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _reduce(self: Any) -> tuple[Callable[..., Any], tuple[object, ...]]:
    """How `copy` and `pickle` make another one."""
    return type(self), _values(self)


_FROZEN: dict[str, Any] = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _keep,
    "__reduce__": _reduce,
}
_MUTABLE: dict[str, Any] = {"__eq__": _eq_compared, "__hash__": None, "__repr__": _repr}
