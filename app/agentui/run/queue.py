"""What the user typed and the model has not seen yet."""

from __future__ import annotations

from dataclasses import dataclass

from agentui.events import SteerId, SteerMode


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

    def add(self, steer_id: SteerId, text: str, mode: SteerMode) -> Queued:
        """Queue a text at the end."""
        item = Queued(steer_id, text, mode)
        self._items.append(item)
        return item

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
