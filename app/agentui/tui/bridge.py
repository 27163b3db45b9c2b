"""The one place where events meet the screen: collected, folded, and handed over ten times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from agentui.events import Recorded
from agentui.tui.watch_services import EventFeed
from agentui.view.blocks import BlockId
from agentui.view.fold import View

FLUSH_S = 0.1
"""A repaint costs some 10 ms and a token nothing, so the pace is what decides the cost."""


class Bridge:
    """Folds events into a view and wakes the screen, at once after a silence, else at the pace of `FLUSH_S`.

    While nothing happens no timer runs.

    Args:
        services: Where events come from.
        wake: Called on the event loop when there is something to `take`; must not block.
    """

    def __init__(self, services: EventFeed, wake: Callable[[], None]) -> None:
        self.view = View()
        self._services = services
        self._wake = wake
        self._pending: list[Recorded] = []
        self._handle: asyncio.TimerHandle | None = None
        self._last_s = float("-inf")
        self._unsubscribe: Callable[[], None] | None = None

    def open(self) -> frozenset[BlockId]:
        """Fold what was recorded before and listen from now on; returns what there is to draw."""
        changed = self.view.apply_all(self._services.past())
        self._unsubscribe = self._services.subscribe(self.feed)
        return changed

    def show(self, view: View) -> None:
        """Go on from another view; what was collected for the old one is dropped."""
        self.view = view
        self._pending.clear()

    def close(self) -> None:
        """Listen no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def feed(self, recorded: Recorded) -> None:
        """Take one event; constant cost."""
        self._pending.append(recorded)
        if self._handle is None:
            loop = asyncio.get_running_loop()
            due_s = max(loop.time(), self._last_s + FLUSH_S)
            self._handle = loop.call_at(due_s, self._due)

    def take(self) -> tuple[frozenset[BlockId], Sequence[Recorded]]:
        """Fold what was collected; returns the ids of what changed, and the events."""
        batch, self._pending = self._pending, []
        return self.view.apply_all(batch), batch

    def _due(self) -> None:
        self._handle = None
        self._last_s = asyncio.get_running_loop().time()
        self._wake()
