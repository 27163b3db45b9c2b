from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from agentui.backends.base import ChatPart, FinishPart, PrefillPart, ProcessingState, TextPart
from agentui.backends.stall import StallLimits, watch_progress
from agentui.errors import BackendStalled, BackendUnavailable, StreamBroken
from agentui.events import Stalled

LIMITS = StallLimits(stall_s=10.0, give_up_s=40.0, generating_s=100.0, prefill_s=1000.0)


@dataclass
class Time:
    """A clock that only moves when somebody sleeps on it."""

    now_s: float = 0.0
    slept: int = 0
    end_s: float = 5000.0

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
        if self.now_s > self.end_s:
            await asyncio.Event().wait()
        self.now_s += seconds
        await asyncio.sleep(0)


@dataclass
class Source:
    """Parts, then silence; remembers whether it was closed."""

    parts: tuple[ChatPart, ...]
    silent: bool = True
    error: Exception | None = None
    is_closed: bool = False

    async def stream(self) -> AsyncGenerator[ChatPart, None]:
        try:
            for part in self.parts:
                yield part
            if self.error is not None:
                raise self.error
            if self.silent:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


@dataclass
class Watched:
    stalls: list[Stalled] = field(default_factory=list)
    time: Time = field(default_factory=Time)

    def watch(
        self, source: Source, state: Callable[[], ProcessingState | None] | None = None
    ) -> AsyncGenerator[ChatPart, None]:
        async def ask() -> ProcessingState | None:
            assert state is not None
            return state()

        return watch_progress(
            source.stream(),
            LIMITS,
            self.stalls.append,
            ask if state else None,
            clock=self.time.clock,
            sleep=self.time.sleep,
        )


async def drained(parts: AsyncIterator[ChatPart]) -> list[ChatPart]:
    return [part async for part in parts]


async def test_parts_pass_unchanged_and_in_order() -> None:
    source = Source(tuple(TextPart(str(number)) for number in range(500)), silent=False)
    watched = Watched(time=Time(end_s=-1.0))
    assert await drained(watched.watch(source)) == list(source.parts)
    assert watched.stalls == []
    assert source.is_closed


async def test_silence_after_the_first_token_is_named_once_and_then_given_up() -> None:
    source, watched = Source((TextPart("a"),)), Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(source))
    (stall,) = watched.stalls
    assert stall.what == "decode"
    assert stall.gives_up_s == LIMITS.give_up_s
    assert LIMITS.stall_s <= stall.silent_s < LIMITS.give_up_s
    assert watched.time.now_s >= LIMITS.give_up_s
    assert source.is_closed


async def test_a_prompt_being_read_is_no_stall_until_the_long_limit() -> None:
    source, watched = Source(()), Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(source, lambda: ProcessingState("prefill", 1)))
    (stall,) = watched.stalls
    assert stall.what == "prefill"
    assert stall.silent_s >= LIMITS.prefill_s


async def test_a_server_that_says_nothing_of_its_state_gets_the_same_patience_for_a_prompt() -> None:
    watched = Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(Source(()), lambda: None))
    assert watched.time.now_s >= LIMITS.prefill_s


async def test_a_server_that_is_idle_while_we_wait_has_stalled() -> None:
    watched = Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(Source(()), lambda: ProcessingState("idle", 0)))
    assert watched.stalls[0].what == "prefill"
    assert watched.time.now_s < LIMITS.prefill_s


async def test_a_held_back_tool_call_is_named_but_borne_longer() -> None:
    watched = Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(Source((TextPart("a"),)), lambda: ProcessingState("generating", 1)))
    assert watched.stalls[0].silent_s < LIMITS.give_up_s
    assert watched.time.now_s >= LIMITS.generating_s


async def test_prefill_progress_counts_as_movement_not_as_an_answer() -> None:
    watched = Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(Source((PrefillPart(1, 10, 0),)), lambda: None))
    assert watched.stalls[0].what == "prefill"


async def test_a_state_that_cannot_be_read_is_an_unknown_state() -> None:
    def lost() -> ProcessingState | None:
        raise BackendUnavailable("gone")

    watched = Watched()
    with pytest.raises(BackendStalled):
        await drained(watched.watch(Source(()), lost))
    assert watched.time.now_s >= LIMITS.prefill_s


async def test_an_error_of_the_stream_comes_through_after_its_parts() -> None:
    source = Source((TextPart("a"),), error=StreamBroken("cut"))
    parts = Watched(time=Time(end_s=-1.0)).watch(source)
    assert await anext(parts) == TextPart("a")
    with pytest.raises(StreamBroken):
        await anext(parts)


async def test_cancelling_the_reader_closes_the_stream() -> None:
    source, watched, begun = Source((TextPart("a"),)), Watched(time=Time(end_s=-1.0)), asyncio.Event()

    async def read() -> None:
        async for _ in watched.watch(source):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.is_closed


async def test_leaving_early_closes_the_stream() -> None:
    source = Source((TextPart("a"), FinishPart("stop")))
    async with aclosing(Watched(time=Time(end_s=-1.0)).watch(source)) as parts:
        async for _ in parts:
            break
    assert source.is_closed
