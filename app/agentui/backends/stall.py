"""Timeouts by progress: a long silence is fine while the server works, and named when it does not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from agentui.backends.base import ChatPart, PrefillPart, ProcessingState, TextPart, ThinkingPart, ToolCallPart
from agentui.errors import BackendError, BackendStalled
from agentui.events import Stalled

_log = logging.getLogger(__name__)

AskState: TypeAlias = Callable[[], Awaitable[ProcessingState | None]]
OnStall: TypeAlias = Callable[[Stalled], None]


@dataclass(frozen=True, slots=True)
class StallLimits:
    """How long silence is borne, in seconds since the last part.

    Attributes:
        stall_s: Silence that is named, once, when nothing explains it.
        give_up_s: Silence after which the request is given up, when nothing explains it.
        generating_s: The same after the first token, while the server says that it generates: some servers
            hold a whole tool call back until it is complete.
        prefill_s: The same before the first token, while the server may be reading the prompt; it is not named
            before. At 100 tokens per second 256k tokens take 44 minutes.
    """

    stall_s: float = 30.0
    give_up_s: float = 300.0
    generating_s: float = 900.0
    prefill_s: float = 3600.0


async def watch_progress(
    parts: AsyncIterator[ChatPart],
    limits: StallLimits,
    on_stall: OnStall,
    processing_state: AskState | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncGenerator[ChatPart, None]:
    """Pass `parts` on; call `on_stall` when nothing moves, then give up.

    Cancelling the iterating task, or closing this generator, cancels and closes `parts`.

    Args:
        parts: The parts of one request.
        limits: How long to wait.
        on_stall: Gets the event, once per silence and before anything is raised.
        processing_state: Asks the server what it does; silence while it reads the prompt is no stall.
        clock: Monotonic seconds.
        sleep: Waits; a test passes its own.

    Raises:
        BackendStalled: When the silence went on for longer than `limits` allow.
    """
    watch = _Watch(limits, on_stall, processing_state, clock)
    queue: asyncio.Queue[ChatPart | BaseException | None] = asyncio.Queue(maxsize=64)
    pump = asyncio.create_task(_pump(parts, queue, watch))
    guard = asyncio.create_task(_guard(watch, queue, pump, sleep))
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for task in (guard, pump):
            task.cancel()
        await asyncio.gather(guard, pump, return_exceptions=True)


async def _pump(
    parts: AsyncIterator[ChatPart], queue: asyncio.Queue[ChatPart | BaseException | None], watch: _Watch
) -> None:
    try:
        async for part in parts:
            watch.moved(part)
            await queue.put(part)
            # Time spent waiting for whoever reads us is not the server's silence.
            watch.touch()
    except Exception as error:  # handed over: raised where the parts are read
        await queue.put(error)
    else:
        await queue.put(None)
    finally:
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()


async def _guard(
    watch: _Watch,
    queue: asyncio.Queue[ChatPart | BaseException | None],
    pump: asyncio.Task[None],
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    while not pump.done():
        await sleep(watch.next_look_s())
        if queue.full() or pump.done():
            continue
        error = await watch.look()
        if error is not None:
            pump.cancel()
            await queue.put(error)
            return


class _Watch:
    """Judges the silence since the last part."""

    def __init__(
        self,
        limits: StallLimits,
        on_stall: OnStall,
        ask_state: AskState | None,
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._on_stall = on_stall
        self._ask_state = ask_state
        self._clock = clock
        self._moved_at = clock()
        self._has_token = False
        self._is_named = False

    def moved(self, part: ChatPart) -> None:
        """Something came from the server."""
        self._moved_at = self._clock()
        self._is_named = False
        if isinstance(part, TextPart | ThinkingPart | ToolCallPart):
            self._has_token = True
        elif isinstance(part, PrefillPart):
            self._has_token = False

    def touch(self) -> None:
        """Start the silence anew."""
        self._moved_at = self._clock()

    def next_look_s(self) -> float:
        """Seconds until the silence may be worth a look."""
        due = self._moved_at + self._limits.stall_s - self._clock()
        return due if due > 0 else max(self._limits.stall_s / 4, 0.01)

    async def look(self) -> BackendStalled | None:
        """Ask what the server does, say a stall once, and return the error when patience is over."""
        if self._clock() - self._moved_at < self._limits.stall_s:
            return None
        limit_s, is_silent_work = await self._borne_s()
        silent_s = self._clock() - self._moved_at
        if silent_s < self._limits.stall_s or (is_silent_work and silent_s < limit_s):
            return None
        if not self._is_named:
            self._is_named = True
            self._on_stall(Stalled("decode" if self._has_token else "prefill", silent_s, limit_s))
        if silent_s < limit_s:
            return None
        return BackendStalled(
            f"The model server sent nothing for {silent_s:.0f} s; the request was given up.",
            hint="See whether the server still works; asking again is safe.",
        )

    async def _borne_s(self) -> tuple[float, bool]:
        """How long this silence is borne, and whether it is what work looks like."""
        state: ProcessingState | None = None
        if self._ask_state is not None:
            try:
                state = await self._ask_state()
            except BackendError as error:
                _log.info("The server's state could not be read: %s", error)
        if not self._has_token:
            # The server may be reading the prompt, loading the model, or serving others first.
            is_idle = state is not None and state.status == "idle"
            return (self._limits.give_up_s, False) if is_idle else (self._limits.prefill_s, True)
        is_busy = state is not None and state.status in ("generating", "prefill")
        return (self._limits.generating_s if is_busy else self._limits.give_up_s), False
