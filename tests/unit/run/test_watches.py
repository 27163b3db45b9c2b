"""What the memory guard and a sleep do to a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from agentui.backends.base import ServerFacts
from agentui.control import Answer, Pause, Resume, Submit
from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    CompactionEnded,
    CompactionStarted,
    GuardChanged,
    ModelFacts,
    ModelLoadEnded,
    PauseAsked,
    Paused,
    RequestEnded,
    Resumed,
    RunEnded,
    Slept,
    StateChanged,
)
from agentui.run.ports import RunParts, RunPolicy
from agentui.run.supervisor import Supervisor
from tests.fakes import FunctionSandbox, Hang, Log, PlayedBackend, calls, run_parts, says
from tests.serving import assert_balanced, serving
from tests.unit.run.test_guard import GIB, Pressure, sample


@dataclass
class Clocks:
    """Two clocks that the test moves; `change` puts them into the parts of a session."""

    monotonic_s: float = 100.0
    wall_s: float = 1_000_000.0

    def change(self, parts: RunParts) -> RunParts:
        return replace(parts, clock=lambda: self.monotonic_s, wall_clock=lambda: self.wall_s)

    def tick(self, supervisor: Supervisor, pressure: Pressure = "ok", seconds: float = 2.0) -> None:
        """Time passes, and the sampler reads."""
        self.monotonic_s += seconds
        self.wall_s += seconds
        supervisor.observe(sample(20 * GIB, pressure))

    def squeeze(self, supervisor: Supervisor) -> None:
        """Memory becomes critical: the guard acts."""
        self.tick(supervisor, "critical")
        self.tick(supervisor, "critical")

    def relax(self, supervisor: Supervisor) -> None:
        """Memory is free for long enough."""
        for _ in range(12):
            self.tick(supervisor)


class CanLoad(PlayedBackend):
    """A server that loads models with the context asked for."""

    @property
    def facts(self) -> ServerFacts:
        return replace(super().facts, can_load=True)


class Simulated(PlayedBackend):
    """A server whose model is not real."""

    async def describe(self, model: str | None) -> ModelFacts:
        return replace(await super().describe(model), is_simulated=True)


@dataclass
class Session:
    """An attended run whose first request hangs."""

    log: Log = field(default_factory=Log)
    clocks: Clocks = field(default_factory=Clocks)
    hang: Hang = field(default_factory=Hang)

    async def begin(self, supervisor: Supervisor) -> None:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(self.hang.reached.wait(), 10)

    async def squeezed(self, supervisor: Supervisor) -> ApprovalAsked:
        """Begin, and let memory run short; the question that follows."""
        await self.begin(supervisor)
        self.clocks.squeeze(supervisor)
        await self.log.wait_for(Paused)
        return await self.log.wait_for(ApprovalAsked)


async def test_at_act_the_run_pauses_itself_at_once_and_says_why() -> None:
    on = Session()
    backend = PlayedBackend([[on.hang], says("done")])
    async with serving(backend, on.log, change=on.clocks.change) as supervisor:
        asked = await on.squeezed(supervisor)
        assert [e.level for e in on.log.of(GuardChanged)] == ["act"]
        assert on.log.of(PauseAsked) == [PauseAsked("guard", freeze=True)]
        assert backend.open_requests == 0
        assert on.log.of(StateChanged)[-1].phase == "waiting_for_user"
        assert (asked.choices, "critical" in asked.why) == (("compact", "go on"), True)
        supervisor.send(Answer(asked.ask_id, "go on"))
        assert (await on.log.wait_for(RunEnded)).reason == "done"
    assert backend.requests[1].messages == backend.requests[0].messages
    assert_balanced(on.log)


async def test_go_on_silences_the_guard_until_memory_is_free_again() -> None:
    on, second = Session(), Hang()
    backend = PlayedBackend([[on.hang], [second], says("done")])
    async with serving(backend, on.log, change=on.clocks.change) as supervisor:
        asked = await on.squeezed(supervisor)
        supervisor.send(Answer(asked.ask_id, "go on"))
        await asyncio.wait_for(second.reached.wait(), 10)
        on.clocks.squeeze(supervisor)
        assert backend.open_requests == 1
        on.clocks.relax(supervisor)
        assert on.log.of(GuardChanged)[-1].level == "ok"
        on.clocks.squeeze(supervisor)
        again = await on.log.wait_for(ApprovalAsked, lambda e: e is not asked)
        supervisor.send(Answer(again.ask_id, "go on"))
        await on.log.wait_for(RunEnded)


async def test_resuming_by_the_key_is_going_on_and_closes_the_question() -> None:
    on, second = Session(), Hang()
    backend = PlayedBackend([[on.hang], [second, *says("done")]])
    async with serving(backend, on.log, change=on.clocks.change) as supervisor:
        await on.squeezed(supervisor)
        supervisor.send(Resume())
        assert (await on.log.wait_for(ApprovalGiven)).verdict == "go on"
        await asyncio.wait_for(second.reached.wait(), 10)
        on.clocks.squeeze(supervisor)
        second.open.set()
        await on.log.wait_for(RunEnded)
    assert len(on.log.of(ApprovalAsked)) == 1


async def test_a_run_that_the_user_paused_stays_paused_after_the_guards_question() -> None:
    on = Session()
    backend = PlayedBackend([[on.hang, *calls("ls")], says("done")])
    async with serving(backend, on.log, FunctionSandbox(), change=on.clocks.change) as supervisor:
        await on.begin(supervisor)
        supervisor.send(Pause())
        on.hang.open.set()
        await on.log.wait_for(Paused)
        on.clocks.squeeze(supervisor)
        asked = await on.log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "go on"))
        await on.log.wait_for(ApprovalGiven)
        await asyncio.sleep(0)
        assert not on.log.of(Resumed)
        supervisor.send(Resume())
        await on.log.wait_for(RunEnded)


async def test_compact_summarises_before_the_next_request() -> None:
    on, second = Session(), Hang()
    backend = PlayedBackend([calls("ls"), [second], says("a summary"), says("done")])
    async with serving(backend, on.log, FunctionSandbox(), change=on.clocks.change) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(second.reached.wait(), 10)
        on.clocks.squeeze(supervisor)
        asked = await on.log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "compact"))
        assert (await on.log.wait_for(RunEnded)).reason == "done"
    assert on.log.of(CompactionEnded)[0].error is None
    assert_balanced(on.log)


async def test_reload_smaller_loads_half_the_context_and_goes_on() -> None:
    on = Session()
    backend = CanLoad([[on.hang], says("done")], context_tokens=32_768)
    async with serving(backend, on.log, change=on.clocks.change) as supervisor:
        asked = await on.squeezed(supervisor)
        supervisor.send(Answer(asked.ask_id, "reload smaller"))
        assert (await on.log.wait_for(RunEnded)).reason == "done"
    assert [e.context_tokens for e in on.log.of(ModelLoadEnded)] == [16_384]


async def test_the_guard_leaves_a_simulated_model_alone() -> None:
    on = Session()
    backend = Simulated([[on.hang, *says("done")]])
    async with serving(backend, on.log, change=on.clocks.change) as supervisor:
        await on.begin(supervisor)
        on.clocks.squeeze(supervisor)
        on.hang.open.set()
        assert (await on.log.wait_for(RunEnded)).reason == "done"
    assert not on.log.of(GuardChanged)


async def test_memory_that_is_short_when_nothing_runs_only_says_so() -> None:
    on = Session()
    async with serving(PlayedBackend([]), on.log, change=on.clocks.change) as supervisor:
        on.clocks.squeeze(supervisor)
    assert [e.level for e in on.log.of(GuardChanged)] == ["act"]
    assert not on.log.of(PauseAsked)


async def unattended(
    backend: PlayedBackend, log: Log, clocks: Clocks, work: Callable[[Supervisor], Awaitable[None]]
) -> RunEnded:
    """Run a task without anybody to ask; `work` is told of the supervisor once it runs."""
    policy = RunPolicy(is_interactive=False)
    supervisor = Supervisor(clocks.change(run_parts(backend, log, FunctionSandbox())), policy)
    running = asyncio.create_task(supervisor.run_once("work"))
    async with asyncio.timeout(10):
        await work(supervisor)
    return await asyncio.wait_for(running, 10)


async def test_unattended_it_compacts_once_and_goes_on_when_that_helps() -> None:
    log, clocks, hang = Log(), Clocks(), Hang()
    backend = PlayedBackend([calls("ls"), [hang], says("a summary"), says("done")])

    async def work(supervisor: Supervisor) -> None:
        await hang.reached.wait()
        clocks.squeeze(supervisor)
        clocks.tick(supervisor)

    ended = await unattended(backend, log, clocks, work)
    assert ended.reason == "done"
    assert len(log.of(CompactionEnded)) == 1
    assert not log.of(PauseAsked)
    assert_balanced(log)


async def test_unattended_it_ends_by_the_guard_when_a_compaction_did_not_help() -> None:
    log, clocks, hang, last = Log(), Clocks(), Hang(), Hang()
    backend = PlayedBackend([calls("ls"), [hang], says("a summary"), [last]])

    async def work(supervisor: Supervisor) -> None:
        await hang.reached.wait()
        clocks.squeeze(supervisor)
        await last.reached.wait()
        clocks.tick(supervisor, "critical")
        assert not log.of(RunEnded)
        clocks.tick(supervisor, "critical", seconds=30.0)

    ended = await unattended(backend, log, clocks, work)
    assert (ended.reason, len(log.of(CompactionStarted))) == ("guard", 1)
    assert "critical" in (ended.error or "")
    assert "smaller context" in ended.hint
    assert_balanced(log)


async def test_a_sleep_cuts_the_request_and_asks_the_same_again() -> None:
    on = Session()
    backend = PlayedBackend([[on.hang], says("done")])
    async with serving(backend, on.log, change=on.clocks.change) as supervisor:
        await on.begin(supervisor)
        on.clocks.tick(supervisor)
        on.clocks.wall_s += 2520.0
        on.clocks.tick(supervisor)
        assert (await on.log.wait_for(RunEnded)).reason == "done"
    assert [e.gap_s for e in on.log.of(Slept)] == [2520.0]
    assert backend.requests[1].messages == backend.requests[0].messages
    assert on.log.of(RequestEnded)[0].total_s < 60
    assert not on.log.of(Paused)
    assert_balanced(on.log)


async def test_a_clock_that_is_set_back_or_corrected_is_no_sleep() -> None:
    on = Session()
    async with serving(PlayedBackend([]), on.log, change=on.clocks.change) as supervisor:
        on.clocks.tick(supervisor)
        on.clocks.wall_s -= 7200.0
        on.clocks.tick(supervisor)
        on.clocks.wall_s += 3.0
        on.clocks.tick(supervisor)
    assert not on.log.of(Slept)
