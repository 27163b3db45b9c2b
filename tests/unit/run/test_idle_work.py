"""What works while no run does can be paused and stopped as well: a compaction, a command, a load."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agentui.control import (
    Answer,
    Compact,
    Discard,
    Interrupt,
    Pause,
    Quit,
    Resume,
    RunCommand,
    Submit,
    SwitchModel,
)
from agentui.events import (
    ApprovalAsked,
    BackendLost,
    CompactionEnded,
    ModelLoadEnded,
    PauseAsked,
    Paused,
    Resumed,
    RunEnded,
    StateChanged,
    ToolEnded,
    ToolFrozen,
    ToolThawed,
    Warned,
    WorkspaceDiscarded,
)
from tests.fakes import ATTENDED, FunctionSandbox, Hang, Log, PlayedBackend, calls, says
from tests.serving import SlowLoading, StubWorkspace, assert_balanced, serving
from tests.unit.run.test_endings import LoadsFirst


async def test_an_idle_compaction_is_frozen_by_a_second_pause_and_goes_on_after_resume() -> None:
    log, summing = Log(), Hang()
    backend = PlayedBackend([calls("ls"), says("one"), [summing], says("a summary")])
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
        supervisor.send(Compact())
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Pause())
        assert log.of(StateChanged)[-1].hold == "pausing"
        supervisor.send(Pause())
        await log.wait_for(Paused)
        assert backend.open_requests == 0
        assert log.of(StateChanged)[-1].hold == "frozen"
        supervisor.send(Resume())
        assert (await log.wait_for(CompactionEnded)).error is None
    assert_balanced(log)


async def test_a_pause_that_an_idle_compaction_did_not_reach_is_over_with_it() -> None:
    log, summing = Log(), Hang()
    backend = PlayedBackend([calls("ls"), says("one"), [summing, *says("a summary")]])
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
        supervisor.send(Compact())
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Pause())
        summing.open.set()
        await log.wait_for(Resumed)
    assert log.of(StateChanged)[-1].hold == "none"
    assert not log.of(Paused)


async def test_a_pause_during_an_idle_compaction_holds_the_task_that_waits_behind_it() -> None:
    log, summing = Log(), Hang()
    backend = PlayedBackend([calls("ls"), says("one"), [summing, *says("a summary")], says("two")])
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
        supervisor.send(Compact())
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Submit("second"))
        supervisor.send(Pause())
        summing.open.set()
        assert (await log.wait_for(Paused)).at == "before_request"
        supervisor.send(Resume())
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)


async def test_a_command_of_the_users_is_frozen_by_the_first_pause() -> None:
    log, hang = Log(), Hang()
    async with serving(PlayedBackend([]), log, FunctionSandbox(hangs={"make": hang})) as supervisor:
        supervisor.send(RunCommand("make"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause())
        assert (await log.wait_for(Paused)).at == "during_command"
        assert log.of(ToolFrozen)
        supervisor.send(Resume())
        await log.wait_for(ToolThawed)
        hang.open.set()
        assert (await log.wait_for(ToolEnded)).exit_code == 0
        await log.wait_for(StateChanged, lambda e: log.of(StateChanged)[-1].phase == "idle")
    assert log.of(StateChanged)[-1].hold == "none"


async def test_a_load_cannot_be_paused_and_says_how_to_stop_it() -> None:
    log, backend = Log(), SlowLoading()
    async with serving(backend, log) as supervisor:
        supervisor.send(SwitchModel("other"))
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Pause())
        assert not log.of(PauseAsked)
        assert [e.code for e in log.of(Warned)] == ["cannot_pause"]
        supervisor.send(Interrupt())
        assert (await log.wait_for(ModelLoadEnded)).error


async def test_esc_stops_a_load_while_everything_is_prepared_and_asks_what_then() -> None:
    log, backend = Log(), LoadsFirst(says("hello"))
    async with serving(backend, log, policy=replace(ATTENDED, model="big"), ready=False) as supervisor:
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Interrupt())
        asked = await log.wait_for(ApprovalAsked)
        assert "stopped" in asked.why
        assert [e.error is not None for e in log.of(ModelLoadEnded)] == [True]
        assert "stopped" in log.of(BackendLost)[0].error
        backend.loading.open.set()
        supervisor.send(Answer(asked.ask_id, "try again"))
        supervisor.send(Submit("hi"))
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert_balanced(log)


async def test_quitting_stops_a_load_while_everything_is_prepared() -> None:
    log, backend = Log(), LoadsFirst()
    async with serving(backend, log, policy=replace(ATTENDED, model="big"), ready=False) as supervisor:
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Quit())
    assert [e.error is not None for e in log.of(ModelLoadEnded)] == [True]
    assert backend.is_closed


async def test_a_diff_is_read_while_no_command_works_on_the_copy() -> None:
    log, hang, workspace = Log(), Hang(), StubWorkspace()
    sandbox = FunctionSandbox(hangs={"make": hang})
    workspace.is_busy = lambda: hang.reached.is_set() and not hang.open.is_set()
    async with serving(PlayedBackend([]), log, sandbox, workspace=workspace) as supervisor:
        supervisor.send(RunCommand("make"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        reading = asyncio.create_task(supervisor.diff_text("a.py"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not reading.done()
        hang.open.set()
        await asyncio.wait_for(reading, 10)
    assert "diff_text" in workspace.called
    assert workspace.overlaps == []


async def test_a_discard_of_nothing_is_told_to_the_user_alone() -> None:
    log, workspace = Log(), StubWorkspace()
    backend = PlayedBackend([says("one")])
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Discard())
        supervisor.send(Submit("first"))
        await log.wait_for(RunEnded)
    assert "discard" in workspace.called
    assert not log.of(WorkspaceDiscarded)
    assert [warned.text for warned in log.of(Warned)] == ["there is nothing to discard"]
    assert "discard" not in str(backend.requests[0].messages)
