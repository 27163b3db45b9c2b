"""What the user typed and the model has not seen yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentui.events import Event, SteerId, SteerMode, SteerQueued, SteerWithdrawn


@dataclass(frozen=True, slots=True)
class Queued:
    """One text that waits."""

    steer_id: SteerId
    text: str
    mode: SteerMode


class SteerQueue:
    """Steers and follow-ups in the order they were typed; nothing leaves it unnoticed."""

    def __init__(self) -> None:
        self._items: list[Queued] = []

    @property
    def items(self) -> tuple[Queued, ...]:
        """All that waits, oldest first."""
        return tuple(self._items)

    @property
    def has_steer(self) -> bool:
        """Whether a steer waits for the next request."""
        return any(item.mode == "steer" for item in self._items)

    def add(self, item: Queued) -> None:
        """Queue a text at the end."""
        self._items.append(item)

    def take_steers(self) -> tuple[Queued, ...]:
        """Remove and return all steers, oldest first."""
        taken = tuple(item for item in self._items if item.mode == "steer")
        self._items = [item for item in self._items if item.mode != "steer"]
        return taken

    def take_next(self) -> Queued | None:
        """Remove and return the oldest text, steers before follow-ups; ``None`` if nothing waits."""
        waiting = [*(i for i in self._items if i.mode == "steer"), *self._items]
        if not waiting:
            return None
        self._items.remove(waiting[0])
        return waiting[0]

    def take_back(self, steer_id: SteerId | None = None) -> Queued | None:
        """Remove and return one text, the last one without an id; ``None`` if there is none such."""
        matching = [i for i in self._items if steer_id is None or i.steer_id == steer_id]
        if not matching:
            return None
        self._items.remove(matching[-1])
        return matching[-1]


class TaskQueue:
    """Tasks typed while no run works. One that cannot begin at once is told as queued text."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._items: list[Queued] = []
        self._told: set[SteerId] = set()

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Queued, *, begins_now: bool) -> None:
        """Queue a task at the end."""
        self._items.append(item)
        if not begins_now:
            self._told.add(item.steer_id)
            self._emit(SteerQueued(item.steer_id, item.text, item.mode))

    def add_told(self, item: Queued) -> None:
        """Queue a text of which its `SteerQueued` was emitted before."""
        self._items.append(item)
        self._told.add(item.steer_id)

    def begin(self, rest: SteerQueue) -> str:
        """The text of the oldest; the others follow it in `rest`."""
        first, *others = self._items
        self._items.clear()
        if first.steer_id in self._told:
            self._emit(SteerWithdrawn(first.steer_id, "begins"))
        for item in others:
            rest.add(item)
        return first.text

    def move(self, rest: SteerQueue) -> None:
        """Let all of them wait in `rest`: a run begins that is none of theirs."""
        items, self._items = self._items, []
        for item in items:
            rest.add(item)

    def take_back(self, steer_id: SteerId | None = None) -> bool:
        """Give one back, the last one without an id; False if there is none such."""
        matching = [i for i in self._items if steer_id is None or i.steer_id == steer_id]
        if not matching:
            return False
        self._items.remove(matching[-1])
        self._emit(SteerWithdrawn(matching[-1].steer_id))
        return True
