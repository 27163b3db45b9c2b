"""What the user does beside the run: own commands, another model, a compaction, the changes."""

from __future__ import annotations

import asyncio

from agentui.control import (
    Apply,
    Compact,
    Interrupt,
    Pause,
    Resume,
    RunCommand,
    Submit,
    SwitchModel,
)
from agentui.events import (
    CompactionStarted,
    ModelLoadEnded,
    ModelLoadStarted,
    Paused,
    RequestEnded,
    RunEnded,
    ToolEnded,
    ToolStarted,
    Warned,
)
from tests.fakes import FunctionSandbox, Hang, Log, PlayedBackend, calls, says
from tests.serving import SlowLoading, StubWorkspace, assert_balanced, serving


async def test_an_interrupt_while_the_agents_command_waits_for_the_users_runs_neither_on() -> None:
    mine = Hang()
    thinking = Hang()
    backend = PlayedBackend([[thinking, *calls("agents")]])
    log, sandbox = Log(), FunctionSandbox(hangs={"mine": mine})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(RunCommand("mine"))
        await asyncio.wait_for(mine.reached.wait(), 10)
        thinking.open.set()
        await log.wait_for(RequestEnded)
        supervisor.send(Interrupt())
        ended = await log.wait_for(RunEnded)
    assert ended.reason == "interrupted"
    assert sandbox.ran == ["mine"]
    assert_balanced(log)


async def test_the_copy_is_never_looked_at_while_a_command_of_the_users_runs() -> None:
    agents, mine = Hang(), Hang()
    backend = PlayedBackend([calls("agents"), says("done")])
    log, sandbox = Log(), FunctionSandbox(hangs={"agents": agents, "mine": mine})
    workspace = StubWorkspace(is_busy=lambda: len(log.of(ToolStarted)) > len(log.of(ToolEnded)))
    async with serving(backend, log, sandbox, workspace=workspace) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(agents.reached.wait(), 10)
        supervisor.send(RunCommand("mine"))
        await asyncio.sleep(0)
        agents.open.set()
        await asyncio.wait_for(mine.reached.wait(), 10)
        for _ in range(10):
            await asyncio.sleep(0)
        mine.open.set()
        await log.wait_for(RunEnded)
    assert workspace.overlaps == []
    assert sandbox.ran == ["agents", "mine"]


async def test_an_apply_while_a_command_is_frozen_is_refused_with_a_reason() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("sleep"), says("done")])
    log, sandbox, workspace = Log(), FunctionSandbox(hangs={"sleep": hang}), StubWorkspace()
    async with serving(backend, log, sandbox, workspace=workspace) as supervisor:
        supervisor.send(Submit("wait"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause(freeze=True))
        await log.wait_for(Paused)
        supervisor.send(Apply())
        assert (await log.wait_for(Warned)).code == "busy"
        supervisor.send(Resume())
        hang.open.set()
        await log.wait_for(RunEnded)
    assert "apply" not in workspace.called


async def test_a_resume_while_a_model_is_being_switched_waits_for_the_new_model() -> None:
    thinking = Hang()
    backend = SlowLoading([thinking, *calls("ls")], says("done"))
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Pause())
        thinking.open.set()
        await log.wait_for(Paused)
        supervisor.send(SwitchModel("other"))
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Resume())
        await log.wait_for(ToolEnded)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(backend.requests) == 1
        backend.loading.open.set()
        await log.wait_for(RunEnded)
    assert [r.model for r in backend.requests] == ["played", "other"]
    assert_balanced(log)


async def test_an_interrupt_ends_a_run_that_waits_for_another_model() -> None:
    thinking = Hang()
    backend = SlowLoading([thinking, *calls("ls")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Pause())
        thinking.open.set()
        await log.wait_for(Paused)
        supervisor.send(SwitchModel("other"))
        await asyncio.wait_for(backend.loading.reached.wait(), 10)
        supervisor.send(Resume())
        await log.wait_for(ToolEnded)
        supervisor.send(Interrupt())
        assert (await log.wait_for(RunEnded)).reason == "interrupted"
    assert_balanced(log)


async def test_a_compaction_asked_for_in_a_runs_last_turn_is_done_after_the_run() -> None:
    thinking = Hang()
    backend = PlayedBackend([calls("ls"), [thinking, *says("done")], says("a summary")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Compact())
        thinking.open.set()
        await log.wait_for(CompactionStarted)
    kinds = [type(e) for e in log.events if isinstance(e, RunEnded | CompactionStarted)]
    assert kinds == [RunEnded, CompactionStarted]


async def test_a_server_that_loads_no_models_says_so_once() -> None:
    log = Log()
    async with serving(PlayedBackend([]), log) as supervisor:
        supervisor.send(SwitchModel("other"))
        warned = await log.wait_for(Warned)
    assert "cannot load models from here" in warned.text
    assert not [*log.of(ModelLoadStarted), *log.of(ModelLoadEnded)]
    assert len(log.of(Warned)) == 1
