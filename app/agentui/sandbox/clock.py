"""A clock that counts running time only: it stands still while a command is frozen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class RunningClock:
    """Counts from its creation; belongs to one event loop.

    Args:
        limit_s: When `expired` returns, in seconds of running time; ``None`` for never.
        now: The time source, in seconds.
    """

    def __init__(self, limit_s: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._now = now
        self._counted_s = 0.0
        self._since: float | None = now()
        # Replaced at every change, so that any number of waiters see it.
        self._changed = asyncio.Event()

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self._since is None

    @property
    def elapsed_s(self) -> float:
        """Running time so far."""
        return self._counted_s + (0.0 if self._since is None else self._now() - self._since)

    def freeze(self) -> None:
        """Stop counting; no effect when frozen."""
        if self._since is not None:
            self._counted_s += self._now() - self._since
            self._since = None
            self._tell()

    def thaw(self) -> None:
        """Go on counting; no effect when running."""
        if self._since is None:
            self._since = self._now()
            self._tell()

    async def running(self) -> None:
        """Return when it is not frozen."""
        while self.is_frozen:
            await self._changed.wait()

    async def expired(self) -> None:
        """Return when the limit is used up; never without a limit."""
        while True:
            left_s: float | None = None
            if self._limit_s is not None and not self.is_frozen:
                left_s = self._limit_s - self.elapsed_s
                if left_s <= 0:
                    return
            try:
                await asyncio.wait_for(self._changed.wait(), left_s)
            except TimeoutError:
                continue

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
