"""The gate as a harness sees it that asks in parallel, works by itself, and may die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from agentui.control import Answer, Interrupt, Pause, Quit, Resume, SendNow, Submit
from agentui.errors import HarnessUnavailable
from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskKind,
    CallId,
    HarnessStarted,
    ModelFacts,
    Paused,
    RunEnded,
    RunStarted,
    StateChanged,
    SteerWithdrawn,
    ToolEnded,
    ToolStarted,
    Usage,
    Warned,
)
from agentui.harness.base import (
    Cut,
    CutWhy,
    Dialogue,
    Emit,
    Gate,
    Harness,
    HarnessEnd,
    Interrupted,
    Prefix,
    ToolCall,
    ToolResult,
)
from agentui.run.ports import RunParts
from agentui.run.supervisor import Supervisor
from tests.fakes import ATTENDED, UNATTENDED, FunctionSandbox, Hang, Log, PlayedBackend, run_parts
from tests.serving import assert_balanced, serving

Think = Callable[[Gate, Emit], Awaitable[None]]
DONE = HarnessEnd("done", Usage())


@dataclass
class ForeignHarness:
    """Thinks by a function of the test's; fails to start as often as it is told to."""

    think: Think
    fails_to_start: int = 0
    closed: int = 0
    tasks: list[str | None] = field(default_factory=list)

    @property
    def prefix(self) -> Prefix:
        return Prefix(({"type": "function"},), {"top_k": 3})

    async def start(self, emit: Emit) -> None:
        if self.fails_to_start:
            self.fails_to_start -= 1
            raise HarnessUnavailable("the engine's image is not there", hint="build it")
        emit(HarnessStarted("foreign", "1", "its/own/file"))

    async def run(self, task: str | None, gate: Gate, emit: Emit) -> HarnessEnd:
        self.tasks.append(task)
        try:
            await self.think(gate, emit)
        except Interrupted:
            return HarnessEnd("interrupted", Usage())
        return DONE

    async def compact(self, why: str, gate: Gate, emit: Emit) -> None:
        raise AssertionError("not asked for")

    def use_model(self, model: ModelFacts) -> None:
        raise AssertionError("not asked for")

    async def aclose(self) -> None:
        self.closed += 1


async def nothing(gate: Gate, emit: Emit) -> None:
    return None


def thinking_with(harness: Harness) -> Callable[[RunParts], RunParts]:
    return lambda parts: replace(parts, make_harness=lambda *found: harness)


@dataclass
class Generation:
    """A generation that runs until it is cut, and notes why."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    cut: list[CutWhy] = field(default_factory=list)
    left: list[CutWhy] = field(default_factory=list)

    async def __call__(self, gate: Gate, emit: Emit) -> None:
        stopped = asyncio.Event()

        def cut(why: CutWhy) -> None:
            self.cut.append(why)
            stopped.set()

        try:
            with gate.generating(cut):
                self.began.set()
                await stopped.wait()
        except Cut as reason:
            self.left.append(reason.why)
            if reason.why == "freeze":
                await gate.until_resumed()


async def test_a_generation_is_told_that_it_is_frozen_and_its_repetition_waits_for_the_user() -> None:
    log, generation = Log(), Generation()
    change = thinking_with(ForeignHarness(generation))
    async with serving(PlayedBackend([]), log, FunctionSandbox(), change=change) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(generation.began.wait(), 10)
        supervisor.send(Submit("later", queue=True))
        supervisor.send(Pause(freeze=True))
        assert (await log.wait_for(Paused)).at == "during_request"
        assert log.of(StateChanged)[-1].hold == "frozen"
        supervisor.send(Resume())
        assert (await log.wait_for(RunEnded)).reason == "done"
        assert (generation.cut, generation.left) == (["freeze"], ["freeze"])
        assert [e.why for e in log.of(SteerWithdrawn)] == ["begins"]


async def test_a_generation_is_told_that_a_steer_is_sent_now() -> None:
    log, generation = Log(), Generation()
    change = thinking_with(ForeignHarness(generation))
    async with serving(PlayedBackend([]), log, change=change) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(generation.began.wait(), 10)
        supervisor.send(Submit("shorter"))
        supervisor.send(SendNow())
        await log.wait_for(RunEnded)
    assert generation.left == ["steer"]


async def test_a_generation_is_told_that_the_run_ends() -> None:
    log, generation = Log(), Generation()
    change = thinking_with(ForeignHarness(generation))
    async with serving(PlayedBackend([]), log, change=change) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(generation.began.wait(), 10)
        supervisor.send(Interrupt())
        assert (await log.wait_for(RunEnded)).reason == "interrupted"
    assert (generation.cut, generation.left) == (["interrupt"], [])


async def test_an_interrupt_reaches_a_harness_that_works_by_itself_and_asks_nothing() -> None:
    log, works = Log(), asyncio.Event()
    calls: list[str] = []

    async def compacts_by_itself(gate: Gate, emit: Emit) -> None:
        aborted = asyncio.Event()

        def abort() -> None:
            calls.append("abort")
            aborted.set()

        with gate.on_interrupt(abort):
            works.set()
            await aborted.wait()
        with gate.on_interrupt(lambda: calls.append("too late")):
            await gate.before_request()

    async with serving(
        PlayedBackend([]), log, change=thinking_with(ForeignHarness(compacts_by_itself))
    ) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(works.wait(), 10)
        supervisor.send(Interrupt())
        assert (await log.wait_for(RunEnded)).reason == "interrupted"
    assert calls == ["abort", "too late"]


async def test_an_interrupt_outside_its_context_calls_nothing() -> None:
    log, left = Log(), asyncio.Event()
    calls: list[str] = []

    async def think(gate: Gate, emit: Emit) -> None:
        with gate.on_interrupt(lambda: calls.append("abort")):
            pass
        left.set()
        await Generation()(gate, emit)

    async with serving(PlayedBackend([]), log, change=thinking_with(ForeignHarness(think))) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(left.wait(), 10)
        supervisor.send(Interrupt())
        await log.wait_for(RunEnded)
    assert calls == []


async def test_two_commands_asked_in_parallel_are_answered_one_after_the_other() -> None:
    log, sandbox = Log(), FunctionSandbox()
    results: list[ToolResult] = []

    async def think(gate: Gate, emit: Emit) -> None:
        wanted = [ToolCall(CallId(f"call_{name}"), "bash", name) for name in ("one", "two")]
        results.extend(await asyncio.gather(*(gate.execute(call) for call in wanted)))

    policy = replace(ATTENDED, approve="ask")
    change = thinking_with(ForeignHarness(think))
    async with serving(PlayedBackend([]), log, sandbox, policy, change=change) as supervisor:
        supervisor.send(Submit("work"))
        first = await log.wait_for(ApprovalAsked)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(log.of(ApprovalAsked)) == 1
        supervisor.send(Answer(first.ask_id, "no"))
        second = await log.wait_for(ApprovalAsked, lambda e: e is not first)
        supervisor.send(Answer(second.ask_id, "yes"))
        await log.wait_for(RunEnded)
    assert sandbox.ran == ["two"]
    assert [(r.call_id, r.outcome) for r in results] == [("call_one", "denied"), ("call_two", "ok")]
    assert_balanced(log)


async def test_ids_that_a_server_gives_twice_are_different_calls_in_the_record() -> None:
    log, sandbox = Log(), FunctionSandbox()
    results: list[ToolResult] = []

    async def think(gate: Gate, emit: Emit) -> None:
        for command in ("one", "two", "three"):
            results.append(await gate.execute(ToolCall(CallId("0"), "bash", command)))

    harness = ForeignHarness(think)
    parts = thinking_with(harness)(run_parts(PlayedBackend([]), log, sandbox))
    await Supervisor(parts, UNATTENDED).run_once("work")
    assert len({e.call_id for e in log.of(ToolStarted)}) == 3
    assert [r.call_id for r in results] == ["0", "0", "0"]
    assert_balanced(log)


async def test_a_harness_that_dies_ends_the_run_with_its_message_and_its_command() -> None:
    log, hang = Log(), Hang()
    asking: list[asyncio.Task[ToolResult]] = []

    async def think(gate: Gate, emit: Emit) -> None:
        asking.append(asyncio.create_task(gate.execute(ToolCall(CallId("c"), "bash", "sleep"))))
        await hang.reached.wait()
        raise HarnessUnavailable("the engine's process ended with code 137", hint="see its log")

    change = thinking_with(ForeignHarness(think))
    sandbox = FunctionSandbox(hangs={"sleep": hang})
    async with serving(PlayedBackend([]), log, sandbox, change=change) as supervisor:
        supervisor.send(Submit("work"))
        ended = await log.wait_for(RunEnded)
        assert [e.outcome for e in log.of(ToolEnded)] == ["cancelled"]
        with pytest.raises(Interrupted):
            await asking[0]
    assert (ended.reason, ended.error) == ("unavailable", "the engine's process ended with code 137")
    assert_balanced(log)


async def test_a_command_whose_asker_gives_up_still_counts_with_the_time_that_it_took() -> None:
    log, hang = Log(), Hang()

    async def think(gate: Gate, emit: Emit) -> None:
        asking = asyncio.create_task(gate.execute(ToolCall(CallId("c"), "bash", "sleep")))
        await hang.reached.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    change = thinking_with(ForeignHarness(think))
    sandbox = FunctionSandbox(hangs={"sleep": hang})
    async with serving(PlayedBackend([]), log, sandbox, change=change) as supervisor:
        supervisor.send(Submit("work"))
        ended = await log.wait_for(RunEnded)
    assert [(e.outcome, e.wall_s > 0) for e in log.of(ToolEnded)] == [("cancelled", True)]
    assert ended.commands == 1
    assert_balanced(log)


async def test_a_question_of_a_harness_that_died_does_not_stay_open() -> None:
    log = Log()
    asking: list[asyncio.Task[str | None]] = []

    async def think(gate: Gate, emit: Emit) -> None:
        asking.append(asyncio.create_task(gate.ask(Dialogue("Name?", "it asks", "input"))))
        await log.wait_for(ApprovalAsked)
        raise HarnessUnavailable("gone")

    async with serving(PlayedBackend([]), log, change=thinking_with(ForeignHarness(think))) as supervisor:
        supervisor.send(Submit("work"))
        await log.wait_for(RunEnded)
        with pytest.raises(Interrupted):
            await asking[0]
    assert [e.by for e in log.of(ApprovalGiven)] == ["run"]


@pytest.mark.parametrize("kind", ["input", "editor"])
async def test_a_question_for_text_takes_any_text_and_may_be_cancelled(kind: AskKind) -> None:
    log = Log()
    answers: list[str | None] = []

    async def think(gate: Gate, emit: Emit) -> None:
        for _ in range(2):
            answers.append(await gate.ask(Dialogue("What shall it be called?", "it asks", kind, text="a name")))

    async with serving(PlayedBackend([]), log, change=thinking_with(ForeignHarness(think))) as supervisor:
        supervisor.send(Submit("work"))
        first = await log.wait_for(ApprovalAsked)
        assert (first.kind, first.text, first.choices) == (kind, "a name", ())
        supervisor.send(Answer(first.ask_id, "Käse\n2"))
        second = await log.wait_for(ApprovalAsked, lambda e: e is not first)
        supervisor.send(Answer(second.ask_id, "", is_cancelled=True))
        await log.wait_for(RunEnded)
    assert answers == ["Käse\n2", None]
    assert [(e.verdict, e.by) for e in log.of(ApprovalGiven)] == [("Käse\n2", "user"), ("", "user")]


async def test_where_nobody_may_be_asked_a_question_is_told_and_stays_unanswered() -> None:
    log = Log()
    answers: list[str | None] = []

    async def think(gate: Gate, emit: Emit) -> None:
        answers.append(await gate.ask(Dialogue("Which?", "it asks", "select", ("a", "b"))))

    parts = thinking_with(ForeignHarness(think))(run_parts(PlayedBackend([]), log))
    assert (await Supervisor(parts, UNATTENDED).run_once("work")).reason == "done"
    assert answers == [None]
    assert [e.by for e in log.of(ApprovalGiven)] == ["policy"]


async def test_what_was_asked_between_the_gates_answer_and_sending_is_seen() -> None:
    log, ready, go_on = Log(), asyncio.Event(), asyncio.Event()
    may: list[bool] = []

    async def think(gate: Gate, emit: Emit) -> None:
        await gate.before_request()
        may.append(gate.may_send())
        ready.set()
        await go_on.wait()
        may.append(gate.may_send())
        await gate.before_request()
        may.append(gate.may_send())

    async with serving(PlayedBackend([]), log, change=thinking_with(ForeignHarness(think))) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(ready.wait(), 10)
        supervisor.send(Submit("rather so"))
        go_on.set()
        await log.wait_for(RunEnded)
    assert may == [True, False, True]


async def test_a_harness_is_told_of_started_and_closed_and_its_prefix_is_recorded() -> None:
    log, harness = Log(), ForeignHarness(nothing)
    parts = thinking_with(harness)(run_parts(PlayedBackend([]), log))
    await Supervisor(parts, UNATTENDED).run_once("work")
    assert [e.session_ref for e in log.of(HarnessStarted)] == ["its/own/file"]
    started = log.of(RunStarted)[0]
    assert (started.tools, started.sampling) == (({"type": "function"},), {"top_k": 3})
    assert harness.closed == 1


async def test_a_harness_that_does_not_start_ends_an_unattended_run_as_unavailable() -> None:
    log, harness = Log(), ForeignHarness(nothing, fails_to_start=1)
    sandbox, backend = FunctionSandbox(), PlayedBackend([])
    parts = thinking_with(harness)(run_parts(backend, log, sandbox))
    ended = await Supervisor(parts, UNATTENDED).run_once("work")
    assert (ended.reason, ended.hint) == ("unavailable", "build it")
    assert (harness.closed, backend.is_closed) == (1, True)


async def test_a_harness_that_does_not_start_can_be_tried_again() -> None:
    log, harness = Log(), ForeignHarness(nothing, fails_to_start=1)
    change = thinking_with(harness)
    async with serving(PlayedBackend([]), log, change=change, ready=False) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        assert [e.code for e in log.of(Warned)] == ["no_harness"]
        supervisor.send(Answer(asked.ask_id, "try again"))
        supervisor.send(Submit("work"))
        assert (await log.wait_for(RunEnded)).reason == "done"


async def test_quitting_ends_a_session_whose_harness_does_not_start() -> None:
    log, harness = Log(), ForeignHarness(nothing, fails_to_start=9)
    async with serving(PlayedBackend([]), log, change=thinking_with(harness), ready=False) as supervisor:
        await log.wait_for(ApprovalAsked)
        supervisor.send(Quit())
    assert harness.closed == 1
