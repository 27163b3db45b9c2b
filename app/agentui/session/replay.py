"""A recorded session played again: the same records, at their own pace, faster, or all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from agentui.control import Control, Pause, Resume, Step
from agentui.events import Recorded, RequestStarted, ToolStarted
from agentui.session.read_only import ReadOnlyServices

# At full speed, other tasks get their turn after this many records.
_BATCH = 64


def parse_speed(text: str) -> float | None:
    """A speed as typed: a positive number of times the recorded pace, or ``max`` (``None``): no waiting.

    Raises:
        ValueError: If it is neither.
    """
    if text == "max":
        return None
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise ValueError("a speed must be a number over 0, or max")
    return speed


async def paced(
    records: Sequence[Recorded],
    speed: float | None = 1.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Recorded]:
    """Yield `records`, each at its `t_s` after the first, divided by `speed`; ``None`` waits for nothing.

    Times are counted from the start, so that delays do not add up: a record that is late is yielded at once.
    """
    began_s = clock()
    first_s = records[0].t_s if records else 0.0
    for index, recorded in enumerate(records):
        if speed is None:
            if index % _BATCH == _BATCH - 1:
                await sleep(0)
        else:
            wait_s = began_s + (recorded.t_s - first_s) / speed - clock()
            if wait_s > 0:
                await sleep(wait_s)
        yield recorded


class ReplayServices(ReadOnlyServices):
    """A recorded session in the place of a live one, for the same screen.

    Nothing can be asked of its run, but pause, resume and step hold and move the replay itself; a step goes to
    the next request or command. Held time does not count. A *place* is a number of records, from 0 on.

    Args:
        records: The session.
        speed: Times the recorded pace, ``None`` for no waiting.
        folder: The session's folder, where outputs of commands lie; ``None`` if there is none.
        place: Where to begin.
        clock: Monotonic seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        records: Sequence[Recorded],
        speed: float | None = 1.0,
        folder: Path | None = None,
        *,
        place: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(folder)
        self._records = records
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_started = False
        self._is_held = False
        self._steps = False
        self._place = place
        self._course = 0
        self._over = asyncio.Event()
        self._base_t_s = self._recorded_s(place)
        self._base_clock_s = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the replay stands still."""
        return self._is_held

    @property
    def place(self) -> int:
        """How many records were played."""
        return self._place

    @property
    def speed(self) -> float | None:
        """Times the recorded pace; ``None`` waits for nothing."""
        return self._speed

    @property
    def now_s(self) -> float:
        """The time of the session that is being shown."""
        if self._speed is None or self._is_held or not self._is_started or self._place >= len(self._records):
            return self._base_t_s
        return self._base_t_s + (self._clock() - self._base_clock_s) * self._speed

    def send(self, control: Control) -> None:
        """Hold or move the replay; everything else is no question for the past."""
        match control:
            case Pause() if not self._is_held:
                self._hold()
            case Resume():
                self._go(steps=False)
            case Step():
                self._go(steps=True)
            case _:
                pass

    def seek(self, place: int, t_s: float | None = None) -> None:
        """Go on from after the first `place` records, at the time `t_s` (that of the last one).

        Nothing is told of it: whoever seeks shows the view of that place.
        """
        self._place = max(0, min(place, len(self._records)))
        self._base_t_s = self._recorded_s(self._place) if t_s is None else t_s
        self._restart()

    def set_speed(self, speed: float | None) -> None:
        """Play at another speed from now on."""
        self._base_t_s = self.now_s
        self._speed = speed
        self._restart()

    def past(self) -> Sequence[Recorded]:
        """What was played so far."""
        return self._records[: self._place]

    async def start(self) -> None:
        """Begin to play, in the background."""
        if not self._is_started:
            self._is_started = True
            self._restart()

    async def stop(self) -> None:
        """Play no more; again is no error."""
        self._is_started = False
        self._over.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def played(self) -> None:
        """Wait until the last record was told, or the replay was stopped."""
        await self._over.wait()

    def _recorded_s(self, place: int) -> float:
        return self._records[max(0, place - 1)].t_s if self._records else 0.0

    def _restart(self) -> None:
        """Play from here on, as speed and hold are now; what played before ends."""
        self._course += 1
        self._base_clock_s = self._clock()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self._is_started and not self._is_held:
            self._over.clear()
            task = asyncio.get_running_loop().create_task(self._play(self._course), name="replay")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _play(self, course: int) -> None:
        told = 0
        while self._place < len(self._records):
            recorded = self._records[self._place]
            wait_s = 0.0 if self._speed is None else (recorded.t_s - self.now_s) / self._speed
            told += 1
            if wait_s > 0 or told % _BATCH == 0:
                await self._sleep(max(0.0, wait_s))
            self._place += 1
            self._listeners.tell(recorded)
            if self._course != course:
                return
            if self._steps and isinstance(recorded.event, RequestStarted | ToolStarted):
                self._hold()
                return
        self._base_t_s = self._recorded_s(self._place)
        self._over.set()

    def _hold(self) -> None:
        self._base_t_s = self._recorded_s(self._place) if self._speed is None else self.now_s
        self._steps = False
        self._is_held = True
        self._restart()

    def _go(self, *, steps: bool) -> None:
        self._steps = steps
        if self._is_held:
            self._is_held = False
            self._restart()
