"""`frozen`: immutable values with slots, like ``@dataclass(frozen=True, slots=True)`` at a quarter of its cost.

`dataclasses` compiles seven methods for each frozen class, half a millisecond; with the hundred kinds of events
and controls that is what one waits for before the first frame. Here only ``__init__`` is compiled; all classes
share the rest. No inheritance, no ``__post_init__``, no keyword-only fields: those are for `dataclasses`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class of annotated fields an immutable value: compared, hashed and shown by its fields.

    It is a dataclass in every other way: `dataclasses.fields`, `replace` and ``match`` work.
    """
    for name, method in _SHARED.items():
        setattr(cls, name, method)
    made = dataclass(init=False, eq=False, repr=False, slots=True)(cls)
    made.__init__ = _init(made)  # type: ignore[method-assign]
    return made


def _init(cls: type[Any]) -> Callable[..., None]:
    """Compile ``__init__``; defaults are looked up in its globals, by the names of their fields."""
    held: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    parameters, body = ["self"], []
    for item in fields(cls):
        name = item.name
        value = name
        if item.default_factory is not MISSING:
            held[f"_make_{name}"] = item.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif item.default is not MISSING:
            held[f"_default_{name}"] = item.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        body.append(f" _set(self, {name!r}, {value})")
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


_SHARED: dict[str, Callable[..., Any]] = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _keep,
    "__reduce__": _reduce,
}
