from __future__ import annotations

import asyncio

import pytest

from agentui.sandbox.clock import RunningClock


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_frozen_time_is_not_counted() -> None:
    time = FakeTime()
    clock = RunningClock(None, time)
    time.now_s += 3
    clock.freeze()
    clock.freeze()
    time.now_s += 1000
    assert (clock.elapsed_s, clock.is_frozen) == (3, True)
    clock.thaw()
    clock.thaw()
    time.now_s += 2
    assert (clock.elapsed_s, clock.is_frozen) == (5, False)


async def test_it_expires_at_once_when_the_limit_is_used_up() -> None:
    time = FakeTime()
    clock = RunningClock(10, time)
    time.now_s += 10
    await asyncio.wait_for(clock.expired(), 30)


async def test_a_frozen_clock_does_not_expire_until_thawed() -> None:
    time = FakeTime()
    clock = RunningClock(10, time)
    time.now_s += 9
    clock.freeze()
    time.now_s += 1000
    expired = asyncio.create_task(clock.expired())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not expired.done()
    time.now_s += 1
    clock.thaw()
    time.now_s += 1
    # The last second is over in fake time; real time is what the wait inside takes, at most that second.
    await asyncio.wait_for(expired, 30)


async def test_without_a_limit_it_never_expires() -> None:
    time = FakeTime()
    clock = RunningClock(None, time)
    expired = asyncio.create_task(clock.expired())
    time.now_s += 10**9
    clock.freeze()
    clock.thaw()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not expired.done()
    expired.cancel()
    with pytest.raises(asyncio.CancelledError):
        await expired


async def test_any_number_of_waiters_see_a_thaw() -> None:
    clock = RunningClock(None, FakeTime())
    clock.freeze()
    waiters = [asyncio.create_task(clock.running()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    clock.thaw()
    await asyncio.wait_for(asyncio.gather(*waiters), 30)
    await clock.running()
