"""Who hears the records of a session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from agentui.events import Recorded

log = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[Recorded], None]


class Listeners:
    """Hear records, in the order in which they asked for it."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` every record from now on; returns the way to end that."""
        self._all.append(listener)

        def remove() -> None:
            if listener in self._all:
                self._all.remove(listener)

        return remove

    def tell(self, recorded: Recorded) -> None:
        """Tell all of them. One that raises is logged and keeps its place: the record comes first."""
        for listener in tuple(self._all):
            try:
                listener(recorded)
            except Exception:
                log.exception("a listener failed on %s", type(recorded.event).__name__)
