"""The memory guard of a whole session: a machine's readings at one end, what the run does at the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from agentui.control import Answer, Submit
from agentui.events import (
    ApprovalAsked,
    CompactionEnded,
    GuardChanged,
    MemorySample,
    PauseAsked,
    Paused,
    ProcessSample,
    RunEnded,
)
from agentui.run.ports import RunParts
from agentui.run.supervisor import Supervisor
from agentui.telemetry.memory.reader import MachineMemory, ProcessMemory
from agentui.telemetry.sampler import Intervals, Readers, Sampler
from tests.fakes import UNATTENDED, FunctionSandbox, Hang, Log, PlayedBackend, calls, run_parts, says
from tests.serving import assert_balanced, serving

GIB = 1 << 30
STEP_S = 2.0
GROWING = [12 * GIB - n * GIB // 2 for n in range(24)]
"""Half a GiB is taken with every reading, down to nothing."""
FLUCTUATING = [(9 if n % 3 else 6) * GIB + n % 5 * GIB // 4 for n in range(60)]


@dataclass
class Machine:
    """Readings one after the other, `STEP_S` apart on the session's clock; then it stands still."""

    available: Sequence[int]
    now_s: float = 100.0
    read: int = 0

    def machine(self) -> MachineMemory:
        left = self.available[min(self.read, len(self.available) - 1)]
        self.read += 1
        return MachineMemory(
            total_bytes=64 * GIB,
            used_bytes=64 * GIB - left,
            available_bytes=left,
            swap_used_bytes=0,
            pressure="ok" if left > 4 * GIB else "warn",
        )

    def process(self, pid: int) -> ProcessMemory | None:
        return None

    async def sleep(self, seconds: float) -> None:
        """Time passes with each reading, and the run gets its turns."""
        if seconds == STEP_S:
            self.now_s += seconds
            if self.read >= len(self.available):
                await asyncio.Event().wait()
        for _ in range(20):
            await asyncio.sleep(0)

    def change(self, parts: RunParts) -> RunParts:
        """The session's clocks are this machine's."""
        return replace(parts, clock=lambda: self.now_s, wall_clock=lambda: self.now_s + 1e9)

    def sampler(self, supervisor: Supervisor) -> Sampler:
        own = ProcessSample(0.0, 1)
        return Sampler(
            supervisor.observe,
            Readers(self, lambda: own),
            Intervals(memory_s=STEP_S, process_s=3600.0),
            sleep=self.sleep,
            clock=lambda: self.now_s,
        )


async def test_a_run_that_grows_into_the_wall_pauses_itself_before_it_and_says_why() -> None:
    log, hang, machine = Log(), Hang(), Machine(GROWING)
    backend = PlayedBackend([[hang], says("done")])
    async with serving(backend, log, change=machine.change) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        sampler = machine.sampler(supervisor)
        sampler.start()
        await log.wait_for(Paused)
        asked = await log.wait_for(ApprovalAsked)
        await sampler.aclose()
        acted = next(change for change in log.of(GuardChanged) if change.level == "act")
        before = log.events[: log.events.index(acted)]
        last = next(event for event in reversed(before) if isinstance(event, MemorySample))
        assert (last.available_bytes or 0) > 0
        assert log.of(PauseAsked) == [PauseAsked("guard", freeze=True)]
        assert asked.why == acted.why != ""
        assert backend.open_requests == 0
        supervisor.send(Answer(asked.ask_id, "go on"))
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert_balanced(log)


async def test_a_machine_that_merely_fluctuates_pauses_nothing() -> None:
    log, hang, machine = Log(), Hang(), Machine(FLUCTUATING)
    backend = PlayedBackend([[hang]])
    async with serving(backend, log, change=machine.change) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        sampler = machine.sampler(supervisor)
        sampler.start()
        while machine.read < len(FLUCTUATING):
            await asyncio.sleep(0.001)
        await sampler.aclose()
        assert backend.open_requests == 1
        assert not log.of(PauseAsked)
        assert not [change for change in log.of(GuardChanged) if change.level == "act"]


@pytest.mark.parametrize("is_freed", [True, False])
async def test_unattended_it_compacts_once_and_ends_by_the_guard_where_that_frees_nothing(
    is_freed: bool,
) -> None:
    log, hang, last = Log(), Hang(), Hang()
    later = 20 * GIB if is_freed else GIB // 8
    machine = Machine([*GROWING, *[later] * 200])
    answers = [calls("ls"), [hang], says("the summary"), says("done") if is_freed else [last]]
    supervisor = Supervisor(
        machine.change(run_parts(PlayedBackend(answers), log, FunctionSandbox())), UNATTENDED
    )
    running = asyncio.create_task(supervisor.run_once("work"))
    await asyncio.wait_for(hang.reached.wait(), 10)
    sampler = machine.sampler(supervisor)
    sampler.start()
    ended = await asyncio.wait_for(running, 20)
    await sampler.aclose()
    assert len(log.of(CompactionEnded)) == 1
    assert not log.of(PauseAsked)
    assert ended.reason == ("done" if is_freed else "guard")
    assert_balanced(log)
