from __future__ import annotations

import asyncio

import pytest

from agentui.sandbox.settle import settled


async def test_work_is_finished_before_a_cancel_is_raised() -> None:
    steps: list[str] = []
    may_end = asyncio.Event()

    async def work() -> str:
        steps.append("begun")
        await may_end.wait()
        steps.append("ended")
        return "done"

    caller = asyncio.create_task(settled(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    assert steps == ["begun"]
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert steps == ["begun", "ended"]


async def test_undisturbed_it_gives_the_result_or_the_error() -> None:
    async def good() -> int:
        return 3

    async def bad() -> int:
        raise ValueError("no")

    assert await settled(good()) == 3
    with pytest.raises(ValueError, match="no"):
        await settled(bad())
