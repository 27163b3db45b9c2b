"""A recorded session played again: the same records, at their own pace, faster, or all at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from agentui.control import Control, Pause, Resume, Step
from agentui.errors import SessionError
from agentui.events import Recorded, RequestStarted, ToolStarted
from agentui.session.output_file import read_output

log = logging.getLogger(__name__)

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


class ReplayServices:
    """A recorded session in the place of a live one, for the same screen.

    Nothing can be asked of its run, but pause, resume and step hold and move the replay itself; a step goes to
    the next request or command. Held time does not count.

    Args:
        records: The session.
        speed: Times the recorded pace, ``None`` for no waiting.
        folder: The session's folder, where outputs of commands lie; ``None`` if there is none.
        clock: Monotonic seconds.
        sleep: Waits for seconds.
    """

    read_only = True

    def __init__(
        self,
        records: Sequence[Recorded],
        speed: float | None = 1.0,
        folder: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._records = records
        self._speed = speed
        self._folder = folder
        self._clock = clock
        self._sleep = sleep
        self._listeners: list[Callable[[Recorded], None]] = []
        self._playing: asyncio.Task[None] | None = None
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._steps = False
        self._told = 0
        self._held_since_s: float | None = None
        self._held_s = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the replay stands still."""
        return not self._may_go.is_set()

    def send(self, control: Control) -> None:
        """Hold or move the replay; everything else is no question for the past."""
        match control:
            case Pause() if not self.is_held:
                self._hold()
            case Resume():
                self._go(steps=False)
            case Step():
                self._go(steps=True)
            case _:
                pass

    def past(self) -> Sequence[Recorded]:
        """What was played so far."""
        return self._records[: self._told]

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    async def start(self) -> None:
        """Begin to play, in the background."""
        if self._playing is None:
            self._playing = asyncio.create_task(self._play(), name="replay")

    async def stop(self) -> None:
        """Play no more; again is no error."""
        if self._playing is None:
            return
        self._playing.cancel()
        await asyncio.wait({self._playing})

    async def played(self) -> None:
        """Wait until the last record was told."""
        if self._playing is not None:
            await asyncio.wait({self._playing})

    async def diff_text(self, path: str) -> str:
        """Nothing: a session records which files changed, not their content."""
        return ""

    def output_text(self, path: str) -> str:
        """A command's kept output, at most 4 MiB; exact text. Reads a file.

        Raises:
            SessionError: If there is no such file in the session's folder.
        """
        if self._folder is None:
            raise SessionError("this recording has no folder with outputs of commands")
        return read_output(self._folder, path)

    async def models(self) -> tuple[()]:
        """None: the server of then is not asked now."""
        return ()

    async def context_notes(self, lengths: Sequence[int]) -> Mapping[int, str]:
        """Nothing is loaded in a replay."""
        return {}

    def complete_paths(self, prefix: str) -> tuple[()]:
        """None: nothing can be typed."""
        return ()

    def apply_always(self) -> None:
        """Nothing: a replay changes no project."""

    async def _play(self) -> None:
        async for recorded in paced(self._records, self._speed, clock=self._running_clock, sleep=self._sleep):
            await self._may_go.wait()
            self._told += 1
            for listener in tuple(self._listeners):
                try:
                    listener(recorded)
                except Exception:
                    log.exception("a listener failed on record %s", recorded.seq)
            if self._steps and isinstance(recorded.event, RequestStarted | ToolStarted):
                self._hold()

    def _running_clock(self) -> float:
        """The clock without the time for which the replay was held."""
        now_s = self._clock()
        held_s = 0.0 if self._held_since_s is None else now_s - self._held_since_s
        return now_s - self._held_s - held_s

    def _hold(self) -> None:
        self._steps = False
        self._may_go.clear()
        self._held_since_s = self._clock()

    def _go(self, *, steps: bool) -> None:
        if self._held_since_s is not None:
            self._held_s += self._clock() - self._held_since_s
            self._held_since_s = None
        self._steps = steps
        self._may_go.set()
