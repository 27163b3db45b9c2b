"""Controls that come at the wrong moment: between two steps of the run, or before an earlier one is done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from agentui.control import (
    Answer,
    Interrupt,
    Pause,
    Resume,
    SendNow,
    Step,
    Submit,
    TakeBack,
)
from agentui.errors import BackendRefused, StreamBroken
from agentui.events import (
    ApprovalAsked,
    BackendRetried,
    HostEditsCopied,
    LoopSuspected,
    MessageStarted,
    PauseAsked,
    Paused,
    RequestEnded,
    RequestStarted,
    Resumed,
    RunEnded,
    StateChanged,
    SteerApplied,
    SteerQueued,
    SteerWithdrawn,
    ToolEnded,
    ToolFrozen,
    ToolStarted,
    ToolThawed,
    Warned,
)
from agentui.harness.loop import LoopSettings, OwnLoop
from agentui.run.ports import RunParts
from tests.fakes import ATTENDED, FunctionSandbox, Hang, Log, PlayedBackend, calls, says
from tests.serving import StubWorkspace, assert_balanced, serving


@dataclass
class SlowFreezing(FunctionSandbox):
    """Takes its time to freeze, as an engine does."""

    freezing: Hang = field(default_factory=Hang)

    async def freeze(self) -> bool:
        self.freezing.reached.set()
        await self.freezing.open.wait()
        return await super().freeze()


def patient(parts: RunParts) -> RunParts:
    """A loop that waits an hour before it asks again: only a control ends that."""
    settings = LoopSettings(retry_delays_s=(3600.0,))
    return replace(
        parts,
        make_harness=lambda found, model, facts, resumed: OwnLoop(found, model, "Test.", settings, parts.ids),
    )


@pytest.mark.parametrize(("wanted_s", "waited_s"), [(1.0, 3600.0), (4000.0, 3600.0)])
async def test_a_request_is_not_asked_again_before_the_server_wants_it(
    wanted_s: float, waited_s: float
) -> None:
    busy = BackendRefused("busy", status=429, retryable=True)
    busy.retry_after_s = wanted_s
    log = Log()
    async with serving(PlayedBackend([[busy]]), log, change=patient) as supervisor:
        supervisor.send(Submit("talk"))
        assert (await log.wait_for(BackendRetried)).delay_s == waited_s
        supervisor.send(Interrupt())
        await log.wait_for(RunEnded)


async def test_a_pause_during_a_back_off_holds_at_once_and_the_request_is_asked_after_resume() -> None:
    backend = PlayedBackend([[StreamBroken("cut")], says("whole")])
    log = Log()
    async with serving(backend, log, change=patient) as supervisor:
        supervisor.send(Submit("talk"))
        await log.wait_for(BackendRetried)
        supervisor.send(Pause())
        paused = await log.wait_for(Paused)
        assert paused.at == "before_request"
        assert len(backend.requests) == 1
        supervisor.send(Resume())
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert_balanced(log)


async def test_a_steer_sent_now_during_a_back_off_is_in_the_next_request() -> None:
    backend = PlayedBackend([[StreamBroken("cut")], says("whole")])
    log = Log()
    async with serving(backend, log, change=patient) as supervisor:
        supervisor.send(Submit("talk"))
        await log.wait_for(BackendRetried)
        supervisor.send(Submit("shorter"))
        supervisor.send(SendNow())
        await log.wait_for(RunEnded)
    assert backend.requests[1].messages[-1]["content"] == "shorter"
    assert_balanced(log)


async def test_a_resume_before_the_freeze_is_done_leaves_nothing_frozen() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("sleep"), says("done")])
    log, sandbox = Log(), SlowFreezing(hangs={"sleep": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("wait"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause(freeze=True))
        await asyncio.wait_for(sandbox.freezing.reached.wait(), 10)
        supervisor.send(Resume())
        sandbox.freezing.open.set()
        await log.wait_for(ToolThawed)
        assert log.of(StateChanged)[-1].hold == "none"
        hang.open.set()
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert sandbox.frozen == sandbox.thawed == 1
    assert not log.of(Paused)
    assert_balanced(log)


async def test_a_command_that_ends_while_it_is_being_frozen_is_not_frozen_afterwards() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("sleep"), says("done")])
    log, sandbox = Log(), SlowFreezing(hangs={"sleep": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("wait"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause(freeze=True))
        await asyncio.wait_for(sandbox.freezing.reached.wait(), 10)
        hang.open.set()
        await log.wait_for(Paused)
        sandbox.freezing.open.set()
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    assert [e.at for e in log.of(Paused)] == ["before_request"]
    assert not log.of(ToolFrozen)
    assert sandbox.frozen == sandbox.thawed == 1, "an environment left frozen would run nothing more"
    assert not [e for e in log.of(Warned) if e.code == "cannot_freeze"]
    assert_balanced(log)


async def test_step_while_pausing_stays_a_pause_and_freezes_nothing() -> None:
    hang = Hang()
    backend = PlayedBackend([[hang, *calls("ls")], says("done")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Step())
        supervisor.send(Step())
        await asyncio.sleep(0)
        assert backend.open_requests == 1
        hang.open.set()
        assert (await log.wait_for(Paused)).at == "before_command"
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    assert [e.outcome for e in log.of(RequestEnded)] == ["done", "done"]


async def test_two_quick_presses_of_pause_freeze_what_runs_then() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("sleep"), says("done")])
    log, sandbox = Log(), FunctionSandbox(hangs={"sleep": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("wait"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause())
        supervisor.send(Pause())
        supervisor.send(Pause())
        await log.wait_for(Paused)
        state = log.of(StateChanged)[-1]
        assert (state.hold, state.detail) == ("frozen", "in the middle of a command")
        supervisor.send(Resume())
        await log.wait_for(ToolThawed)
        hang.open.set()
        await log.wait_for(RunEnded)
    assert (sandbox.frozen, sandbox.thawed) == (1, 1)
    assert len(log.of(Paused)) == len(log.of(Resumed)) == 1


async def test_a_pause_between_the_task_and_its_run_holds_before_the_first_request() -> None:
    backend = PlayedBackend([says("done")])
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("talk"))
        supervisor.send(Pause())
        assert (await log.wait_for(Paused)).at == "before_request"
        assert backend.requests == []
        supervisor.send(Resume())
        await log.wait_for(RunEnded)


async def test_a_pause_while_the_users_edits_come_in_holds_before_that_request() -> None:
    copying = Hang()
    workspace = StubWorkspace(hangs={"host_edits_in": copying})
    backend = PlayedBackend([calls("ls"), says("done")])
    log = Log()
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(copying.reached.wait(), 10)
        supervisor.send(Pause())
        copying.open.set()
        assert (await log.wait_for(Paused)).at == "before_request"
        assert len(backend.requests) == 1
        supervisor.send(Resume())
        await log.wait_for(RunEnded)


async def test_an_interrupt_while_the_users_edits_come_in_sends_nothing_and_keeps_the_steer() -> None:
    copying = Hang()
    workspace = StubWorkspace(hangs={"host_edits_in": copying})
    backend = PlayedBackend([calls("ls"), says("never")])
    log = Log()
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(copying.reached.wait(), 10)
        supervisor.send(Submit("rather not"))
        supervisor.send(Interrupt())
        copying.open.set()
        await log.wait_for(RunEnded)
        assert not log.of(SteerApplied)
        assert len(backend.requests) == len(log.of(RequestStarted)) == 1
        supervisor.send(TakeBack())
        assert log.of(SteerWithdrawn)[0].steer_id == log.of(SteerQueued)[0].steer_id
    assert_balanced(log)


async def test_edits_made_while_the_run_was_paused_are_there_for_the_next_command() -> None:
    hang = Hang()
    workspace = StubWorkspace()
    backend = PlayedBackend([[hang, *calls("ls")], says("done")])
    log = Log()
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause())
        hang.open.set()
        await log.wait_for(Paused)
        workspace.edits.append(HostEditsCopied(("a.py",)))
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    kinds = [type(e) for e in log.events if isinstance(e, HostEditsCopied | ToolStarted)]
    assert kinds == [HostEditsCopied, ToolStarted]


async def test_edits_made_between_two_runs_are_there_for_the_second_ones_first_request() -> None:
    workspace = StubWorkspace()
    backend = PlayedBackend([says("one"), says("two")])
    log = Log()
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
        workspace.edits.append(HostEditsCopied(("a.py",)))
        supervisor.send(Submit("second"))
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)
    assert log.of(HostEditsCopied)


async def test_a_pause_while_a_question_is_open_holds_before_the_command_that_was_allowed() -> None:
    backend = PlayedBackend([calls("ls"), says("done")])
    log, sandbox = Log(), FunctionSandbox()
    async with serving(backend, log, sandbox, replace(ATTENDED, approve="ask")) as supervisor:
        supervisor.send(Submit("look"))
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Pause())
        supervisor.send(Answer(asked.ask_id, "yes"))
        assert (await log.wait_for(Paused)).at == "before_command"
        assert sandbox.ran == []
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    assert sandbox.ran == ["ls"]
    assert len(log.of(ApprovalAsked)) == 1


async def test_a_steer_while_a_question_is_open_skips_the_command_that_was_allowed() -> None:
    backend = PlayedBackend([calls("ls"), says("done")])
    log, sandbox = Log(), FunctionSandbox()
    async with serving(backend, log, sandbox, replace(ATTENDED, approve="ask")) as supervisor:
        supervisor.send(Submit("look"))
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Submit("rather not"))
        supervisor.send(Answer(asked.ask_id, "yes"))
        await log.wait_for(RunEnded)
    assert sandbox.ran == []
    assert [e.outcome for e in log.of(ToolEnded)] == ["skipped"]


async def test_always_in_this_session_holds_for_the_next_run_too() -> None:
    backend = PlayedBackend([calls("ls"), says("one"), calls("pwd"), says("two")])
    log, sandbox = Log(), FunctionSandbox()
    async with serving(backend, log, sandbox, replace(ATTENDED, approve="ask")) as supervisor:
        supervisor.send(Submit("first"))
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "always in this session"))
        await log.wait_for(RunEnded)
        supervisor.send(Submit("second"))
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)
    assert sandbox.ran == ["ls", "pwd"]


async def test_commands_after_the_user_stopped_a_loop_are_not_run() -> None:
    backend = PlayedBackend([calls("ls"), calls("ls"), calls("ls"), calls("ls", "rm -r x")])
    log, sandbox = Log(), FunctionSandbox()
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("look"))
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "stop"))
        ended = await log.wait_for(RunEnded)
    assert ended.reason == "limit"
    assert sandbox.ran == ["ls"] * 4
    assert [e.action for e in log.of(LoopSuspected)] == ["told_model", "asked_user"]


async def test_follow_ups_can_be_taken_back_while_paused_before_they_are_sent() -> None:
    thinking = Hang()
    backend = PlayedBackend([[thinking, *says("done")]])
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("first"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Submit("second", queue=True))
        supervisor.send(Pause())
        thinking.open.set()
        await log.wait_for(Paused)
        supervisor.send(TakeBack())
        assert len(log.of(SteerWithdrawn)) == 1
        supervisor.send(Resume())
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert len(backend.requests) == 1
    assert not log.of(SteerApplied)


async def test_taking_back_a_steer_that_was_applied_does_nothing() -> None:
    first, second = Hang(), Hang()
    backend = PlayedBackend([[first, *calls("ls")], [second, *says("done")]])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(first.reached.wait(), 10)
        supervisor.send(Submit("at b.py"))
        first.open.set()
        applied = await log.wait_for(SteerApplied)
        await asyncio.wait_for(second.reached.wait(), 10)
        supervisor.send(TakeBack(applied.steer_id))
        supervisor.send(TakeBack())
        second.open.set()
        await log.wait_for(RunEnded)
    assert not log.of(SteerWithdrawn)
    assert len([e for e in log.of(MessageStarted) if e.role == "user"]) == 2


async def test_pause_asked_twice_at_a_safe_point_is_one_pause() -> None:
    backend = PlayedBackend([calls("ls")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await log.wait_for(RequestStarted)
        supervisor.send(Pause())
        await log.wait_for(Paused)
        supervisor.send(Pause())
        supervisor.send(Pause(freeze=True))
        supervisor.send(Interrupt())
        await log.wait_for(RunEnded)
    assert len(log.of(PauseAsked)) == 1
