"""Everything ends: quitting and interrupting in every state, text that must not get lost, and what breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from agentui.backends.base import ServerFacts
from agentui.control import (
    Answer,
    Apply,
    Compact,
    Interrupt,
    Pause,
    Quit,
    Resume,
    RunCommand,
    SendNow,
    Submit,
    SwitchModel,
    TakeBack,
)
from agentui.errors import (
    BackendRefused,
    BackendUnavailable,
    ModelNotFound,
    SandboxUnavailable,
    WorkspaceError,
)
from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    Change,
    CompactionStarted,
    ModelFacts,
    ModelLoadEnded,
    Paused,
    RunEnded,
    RunStarted,
    StateChanged,
    SteerApplied,
    SteerQueued,
    SteerWithdrawn,
    ToolEnded,
    ToolStarted,
    Warned,
    WorkspaceApplied,
)
from agentui.run.approvals import Approvals
from agentui.run.ports import ImagePort, RunParts, Workshop
from agentui.run.supervisor import Supervisor
from tests.fakes import (
    ATTENDED,
    UNATTENDED,
    FunctionSandbox,
    Hang,
    Log,
    PlayedBackend,
    calls,
    run_parts,
    says,
)
from tests.serving import SlowLoading, StubWorkspace, assert_balanced, serving

CHANGE = Change("a.py", "modified")


class LoadsFirst(SlowLoading):
    """Has no model in memory yet."""

    async def describe(self, model: str | None) -> ModelFacts:
        if not self.loading.open.is_set():
            raise ModelNotFound("not loaded")
        return await super().describe(model)

    @property
    def facts(self) -> ServerFacts:
        return replace(super().facts, can_load=True)


class MissingImage:
    """An image that is not built."""

    question, why, command = "Build it?", "it is not there", "agentui sandbox build"

    async def is_built(self) -> bool:
        return False

    async def build(self, note: Callable[[str], None]) -> None:
        raise AssertionError("nobody agreed to it")


def with_image(image: ImagePort, sandbox: FunctionSandbox) -> Callable[[RunParts], RunParts]:
    async def open_workshop() -> Workshop:
        return Workshop(sandbox, image, None)

    return lambda parts: replace(parts, open_workshop=open_workshop)


async def test_quitting_while_the_image_question_is_open_ends_the_session() -> None:
    log = Log()
    change = with_image(MissingImage(), FunctionSandbox())
    async with serving(PlayedBackend([]), log, FunctionSandbox(), change=change, ready=False) as supervisor:
        await log.wait_for(ApprovalAsked)
        supervisor.send(Quit())
    assert len(log.of(ApprovalAsked)) == len(log.of(ApprovalGiven)) == 1


async def test_quitting_while_the_server_refuses_ends_the_session() -> None:
    class Refusing(PlayedBackend):
        async def describe(self, model: str | None) -> ModelFacts:
            raise BackendRefused("it does not fit")

    log, backend = Log(), Refusing([])
    async with serving(backend, log, ready=False) as supervisor:
        await log.wait_for(ApprovalAsked)
        supervisor.send(Quit())
    assert backend.is_closed
    assert len(log.of(ApprovalGiven)) == 1


async def test_cancelling_whoever_waits_for_an_answer_is_not_swallowed() -> None:
    log = Log()
    approvals = Approvals(log.emit, lambda prefix: f"{prefix}1")
    asking = asyncio.create_task(approvals.ask("Sure?", "", ("yes", "no")))
    await log.wait_for(ApprovalAsked)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [e.by for e in log.of(ApprovalGiven)] == ["run"]


@pytest.mark.parametrize("control", [Quit(), Interrupt()])
async def test_an_unattended_run_that_is_stopped_while_it_is_prepared_ends_interrupted(
    control: Quit | Interrupt,
) -> None:
    backend, log = LoadsFirst(), Log()
    supervisor = Supervisor(run_parts(backend, log), replace(UNATTENDED, model="big"))
    running = asyncio.create_task(supervisor.run_once("talk"))
    await asyncio.wait_for(backend.loading.reached.wait(), 10)
    supervisor.send(control)
    ended = await asyncio.wait_for(running, 10)
    assert ended.reason == "interrupted"
    assert backend.is_closed
    assert [e.error is not None for e in log.of(ModelLoadEnded)] == [True]
    assert_balanced(log)


async def test_an_unattended_run_whose_project_cannot_be_copied_ends_failed() -> None:
    log = Log()
    workspace = StubWorkspace(fails={"prepare": WorkspaceError("too large", hint="leave something out")})
    parts = run_parts(PlayedBackend([]), log, FunctionSandbox(), workspace)
    ended = await Supervisor(parts, UNATTENDED).run_once("look")
    assert (ended.reason, ended.error, ended.hint) == ("failed", "too large", "leave something out")
    assert workspace.is_closed
    assert_balanced(log)


async def test_a_project_that_cannot_be_copied_is_a_question_and_no_end() -> None:
    log = Log()
    workspace = StubWorkspace(fails={"prepare": WorkspaceError("too large")})
    async with serving(
        PlayedBackend([says("hello")]), log, FunctionSandbox(), workspace=workspace, ready=False
    ) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        assert "too large" in asked.why
        supervisor.send(Submit("just talk"))
        supervisor.send(Answer(asked.ask_id, "talk only"))
        assert (await log.wait_for(RunEnded)).reason == "done"


async def test_a_task_typed_before_everything_is_ready_is_shown_and_can_be_taken_back() -> None:
    log, backend = Log(), PlayedBackend([])

    async def find() -> PlayedBackend:
        raise BackendUnavailable("nothing answers")

    async with serving(backend, log, change=lambda p: replace(p, find_backend=find), ready=False) as supervisor:
        await log.wait_for(StateChanged)
        supervisor.send(Submit("kept"))
        assert [e.text for e in log.of(SteerQueued)] == ["kept"]
        supervisor.send(TakeBack())
        assert [e.why for e in log.of(SteerWithdrawn)] == ["taken back"]


async def test_an_interrupt_before_the_run_began_gives_the_task_back() -> None:
    log, backend = Log(), LoadsFirst(says("never"))
    async with serving(backend, log, policy=replace(ATTENDED, model="big"), ready=False) as supervisor:
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Submit("do it"))
        supervisor.send(Interrupt())
        assert [e.why for e in log.of(SteerWithdrawn)] == ["taken back"]
        backend.loading.open.set()
        await log.wait_for(StateChanged, lambda e: e.phase == "idle")
    assert not log.of(RunStarted)


async def test_of_two_tasks_typed_before_everything_is_ready_the_second_follows_the_first() -> None:
    log, backend = Log(), LoadsFirst(says("one"), says("two"))
    async with serving(backend, log, policy=replace(ATTENDED, model="big"), ready=False) as supervisor:
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Submit("first"))
        supervisor.send(Submit("second"))
        backend.loading.open.set()
        await log.wait_for(RunEnded)
    assert [e.task for e in log.of(RunStarted)] == ["first"]
    assert backend.requests[1].messages[-1]["content"] == "second"
    begun = {e.steer_id for e in log.of(SteerApplied)} | {e.steer_id for e in log.of(SteerWithdrawn)}
    assert {e.steer_id for e in log.of(SteerQueued)} == begun


async def test_text_typed_while_the_changes_are_applied_at_the_end_becomes_the_next_run() -> None:
    applying = Hang()
    workspace = StubWorkspace((CHANGE,), hangs={"apply": applying})
    log, backend = Log(), PlayedBackend([says("one"), says("two")])
    policy = replace(ATTENDED, apply="auto")
    async with serving(backend, log, FunctionSandbox(), policy, workspace) as supervisor:
        supervisor.send(Submit("first"))
        await asyncio.wait_for(applying.reached.wait(), 10)
        supervisor.send(Submit("second"))
        applying.open.set()
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)
    assert [e.task for e in log.of(RunStarted)] == ["first", "second"]
    assert len(log.of(SteerQueued)) == len(log.of(SteerWithdrawn)) == 1


async def test_a_task_typed_during_an_idle_compaction_runs_after_it() -> None:
    summing = Hang()
    log, backend = Log(), PlayedBackend([calls("ls"), says("one"), [summing, *says("sum")], says("two")])
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
        supervisor.send(Compact())
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Submit("second"))
        summing.open.set()
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)
    assert [e.task for e in log.of(RunStarted)] == ["first", "second"]
    assert_balanced(log)


async def test_an_interrupt_ends_an_idle_compaction() -> None:
    summing = Hang()
    log, backend = Log(), PlayedBackend([calls("ls"), says("one"), [summing]])
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
        supervisor.send(Compact())
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Pause())
        supervisor.send(Interrupt())
        await log.wait_for(StateChanged, lambda e: log.of(StateChanged)[-1].phase == "done")
        assert log.of(StateChanged)[-1].hold == "none"
    assert_balanced(log)


@pytest.mark.parametrize("control", [Quit(), Interrupt()])
async def test_quitting_and_interrupting_end_a_command_of_the_users(control: Quit | Interrupt) -> None:
    hang = Hang()
    log, sandbox = Log(), FunctionSandbox(hangs={"sleep": hang})
    async with serving(PlayedBackend([]), log, sandbox) as supervisor:
        supervisor.send(RunCommand("sleep"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(control)
        assert (await log.wait_for(ToolEnded)).outcome == "cancelled"


async def test_an_interrupt_ends_an_idle_switch_of_the_model() -> None:
    log, backend = Log(), SlowLoading()
    async with serving(backend, log) as supervisor:
        supervisor.send(SwitchModel("other"))
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Interrupt())
        await log.wait_for(ModelLoadEnded)
        await log.wait_for(StateChanged, lambda e: log.of(StateChanged)[-1].phase == "idle")
    assert_balanced(log)


async def test_an_apply_asked_for_before_quitting_is_done() -> None:
    workspace = StubWorkspace((CHANGE,))
    log = Log()
    async with serving(PlayedBackend([]), log, FunctionSandbox(), workspace=workspace) as supervisor:
        await log.wait_for(StateChanged, lambda e: e.phase == "idle")
        supervisor.send(Apply())
        supervisor.send(Quit())
    assert log.of(WorkspaceApplied)
    assert workspace.is_closed


async def test_an_apply_during_a_pause_is_finished_and_told_before_the_session_ends() -> None:
    thinking, applying = Hang(), Hang()
    workspace = StubWorkspace((CHANGE,), hangs={"apply": applying})
    log, backend = Log(), PlayedBackend([[thinking, *calls("ls")]])
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Pause())
        thinking.open.set()
        await log.wait_for(Paused)
        supervisor.send(Apply())
        await asyncio.wait_for(applying.reached.wait(), 10)
        supervisor.send(Quit())
        applying.open.set()
    assert log.of(WorkspaceApplied)


async def test_a_session_that_is_ready_says_so() -> None:
    log = Log()
    async with serving(PlayedBackend([]), log, FunctionSandbox({"make": (0, b"")})) as supervisor:
        await log.wait_for(StateChanged, lambda e: e.phase == "idle")
        supervisor.send(RunCommand("make"))
        await log.wait_for(ToolStarted)
        assert log.of(StateChanged)[-1].phase == "running_command"
        await log.wait_for(ToolEnded)
        assert log.of(StateChanged)[-1].phase == "idle"


async def test_compacting_nothing_says_so_and_keeps_the_system_prompt() -> None:
    log, backend = Log(), PlayedBackend([says("hello")])
    async with serving(backend, log) as supervisor:
        supervisor.send(Compact())
        assert (await log.wait_for(Warned)).code == "nothing_to_compact"
        supervisor.send(Submit("hi"))
        await log.wait_for(RunEnded)
    assert not log.of(CompactionStarted)
    assert backend.requests[0].messages[0]["role"] == "system"


async def test_no_sandbox_at_first_can_be_tried_again() -> None:
    tries = 0
    sandbox = FunctionSandbox()

    def change(parts: RunParts) -> RunParts:
        async def open_workshop() -> Workshop:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise SandboxUnavailable("no engine.", hint="start it")
            return Workshop(sandbox, None, None)

        return replace(parts, open_workshop=open_workshop)

    log, backend = Log(), PlayedBackend([calls("ls"), says("done")])
    async with serving(backend, log, sandbox, change=change, ready=False) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        assert asked.why == "no engine; start it"
        supervisor.send(Answer(asked.ask_id, "try again"))
        supervisor.send(Submit("look"))
        await log.wait_for(RunEnded)
    assert sandbox.ran == ["ls"]


async def test_text_that_an_interrupt_left_waiting_begins_a_run_when_it_is_sent_now() -> None:
    hang = Hang()
    log, backend = Log(), PlayedBackend([[hang, *says("never")], says("two")])
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("first"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Submit("second", queue=True))
        supervisor.send(Interrupt())
        await log.wait_for(RunEnded)
        supervisor.send(SendNow())
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)
    assert [e.task for e in log.of(RunStarted)] == ["first", "second"]
    assert [e.why for e in log.of(SteerWithdrawn)] == ["begins"]


async def test_a_pause_before_the_run_is_taken_back_by_resume() -> None:
    log, backend = Log(), LoadsFirst(says("one"))
    async with serving(backend, log, policy=replace(ATTENDED, model="big"), ready=False) as supervisor:
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        for control in (Submit("first"), Pause(), Resume()):
            supervisor.send(control)
        backend.loading.open.set()
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert not log.of(Paused)
