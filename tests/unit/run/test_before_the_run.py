"""What ``agentui pause`` and ``steer`` ask of a run without a screen before it began, or after it ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agentui.backends.base import Backend
from agentui.control import Pause, Resume, Submit
from agentui.events import PauseAsked, Paused, RunEnded, StateChanged, SteerApplied, SteerQueued
from agentui.run.ports import RunParts
from agentui.run.supervisor import Supervisor
from tests.fakes import UNATTENDED, Log, PlayedBackend, run_parts, says


class Slow:
    """A server that is found when the test says so."""

    def __init__(self, log: Log, backend: PlayedBackend) -> None:
        self.is_asked, self.is_there = asyncio.Event(), asyncio.Event()
        self._parts = run_parts(backend, log)

    @property
    def parts(self) -> RunParts:
        async def find() -> Backend:
            self.is_asked.set()
            await self.is_there.wait()
            return await self._parts.find_backend()

        return replace(self._parts, find_backend=find)


async def test_a_pause_and_a_steer_during_the_start_hold_the_run_and_reach_its_first_request() -> None:
    log, backend = Log(), PlayedBackend([says("done")])
    slow = Slow(log, backend)
    supervisor = Supervisor(slow.parts, UNATTENDED)
    running = asyncio.create_task(supervisor.run_once("work"))
    await asyncio.wait_for(slow.is_asked.wait(), 10)
    supervisor.send(Pause())
    supervisor.send(Submit("keep the names"))
    assert len(log.of(PauseAsked)) == 1
    assert len(log.of(SteerQueued)) == 1
    slow.is_there.set()
    await log.wait_for(Paused)
    assert not backend.requests
    supervisor.send(Resume())
    ended = await asyncio.wait_for(running, 10)
    assert ended.reason == "done"
    assert len(log.of(SteerApplied)) == 1
    assert "keep the names" in str(backend.requests[0].messages)


async def test_a_pause_during_the_start_can_be_taken_back() -> None:
    log, backend = Log(), PlayedBackend([says("done")])
    slow = Slow(log, backend)
    supervisor = Supervisor(slow.parts, UNATTENDED)
    running = asyncio.create_task(supervisor.run_once("work"))
    await asyncio.wait_for(slow.is_asked.wait(), 10)
    supervisor.send(Pause())
    assert log.of(StateChanged)[-1].hold == "pausing"
    supervisor.send(Resume())
    assert log.of(StateChanged)[-1].hold == "none"
    slow.is_there.set()
    assert (await asyncio.wait_for(running, 10)).reason == "done"


async def test_a_steer_that_comes_after_the_run_is_recorded_for_the_next_session() -> None:
    log, backend = Log(), PlayedBackend([says("done")])
    supervisor = Supervisor(run_parts(backend, log), UNATTENDED)
    await supervisor.run_once("work")
    supervisor.send(Submit("one more thing"))
    assert isinstance(log.events[-1], SteerQueued)
    assert len(log.of(RunEnded)) == 1
