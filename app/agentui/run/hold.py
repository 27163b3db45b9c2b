"""Pause, step, freeze and interrupt: who asked, what is reached, and the waiting in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from agentui.events import Event, PauseAsked, Paused, Resumed
from agentui.harness.base import Interrupted, Interrupter

Asker = Literal["user", "guard", "signal", "step"]


class Holder:
    """The hold of one run. Asked for from outside, reached at safe points inside; all on one event loop.

    `asks` counts how often a hold was asked for, a step's own not included: who saw a smaller number before
    knows that a hold was asked for meanwhile.
    """

    def __init__(self, emit: Callable[[Event], None], clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._wake = asyncio.Event()
        self._since_s: float | None = None
        self._is_released = False
        self._is_nudged = False
        self.is_asked = False
        self.asks = 0
        self.interrupter: Interrupter | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether the run ends."""
        return self.interrupter is not None

    @property
    def is_reached(self) -> bool:
        """Whether the run is standing still now."""
        return self._since_s is not None

    def ask(self, by: Asker, freeze: bool = False) -> None:
        """Ask for a hold at the next safe point."""
        self.is_asked = True
        self.asks += 1
        self._emit(PauseAsked(by, freeze))
        self._wake.set()

    def reached(self, at: str) -> None:
        """The run stands still from now on."""
        self._since_s = self._clock()
        self._is_released = False
        self._emit(Paused(at))

    def release(self, step: bool = False) -> None:
        """Go on; with `step` only to the next safe point."""
        was_asked = self.is_asked
        self.is_asked = step
        self._is_released = True
        if self._since_s is not None or was_asked:
            held_s = 0.0 if self._since_s is None else self._clock() - self._since_s
            self._since_s = None
            self._emit(Resumed(held_s, step))
        if step:
            self._emit(PauseAsked("step"))
        self._wake.set()

    def interrupt(self, by: Interrupter = "user") -> None:
        """End the run: every wait in here raises `Interrupted` from now on. Who was first counts."""
        self.interrupter = self.interrupter or by
        self._wake.set()

    def check(self) -> None:
        """Raises `Interrupted` if the run ends."""
        if self.interrupter is not None:
            raise Interrupted(self.interrupter)

    async def safe_point(self, at: str) -> bool:
        """Stand still here if a hold was asked for, until released; returns whether it stood still.

        Raises:
            Interrupted: When the user ended the run.
        """
        self.check()
        if not self.is_asked:
            return False
        if not self.is_reached:
            self.reached(at)
        await self.until_released()
        return True

    async def until_released(self) -> None:
        """Wait while the hold that was reached lasts."""
        while not self._is_released:
            self._wake.clear()
            await self._wake.wait()
            self.check()

    def nudge(self) -> None:
        """End a `sleep` now."""
        self._is_nudged = True
        self._wake.set()

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds; an interrupt, `nudge`, and asking for a hold end it early.

        Raises:
            Interrupted: When the user ended the run.
        """
        deadline_s = self._clock() + delay_s
        asks, self._is_nudged = self.asks, False
        while (left_s := deadline_s - self._clock()) > 0 and self.asks == asks and not self._is_nudged:
            self.check()
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left_s)
            except TimeoutError:
                break
        self.check()
