"""What becomes of the changes when a run ends, and what a model without a sandbox gets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agentui.control import Answer, Interrupt, Submit
from agentui.errors import BackendRefused, ProjectBusy, SandboxUnavailable
from agentui.events import ApprovalAsked, Change, EndReason, RunEnded, ToolEnded, Warned, WorkspaceApplied
from agentui.run.changes import ApplyPolicy
from agentui.run.ports import RunParts, Workshop
from agentui.run.supervisor import Supervisor
from tests.fakes import UNATTENDED, FunctionSandbox, Hang, Log, Played, PlayedBackend, calls, run_parts, says
from tests.serving import StubWorkspace, assert_balanced, serving

WAITING = (Change("a.py", "modified"),)


@pytest.mark.parametrize("policy", ["auto", "accept"])
@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([says("done")], "done"),
        ([[BackendRefused("no")]], "failed"),
        ([calls("ls"), calls("ls -a")], "limit"),
    ],
)
async def test_changes_are_applied_by_themselves_only_when_the_agent_has_settled(
    answers: list[Played], reason: EndReason, policy: ApplyPolicy
) -> None:
    log, workspace = Log(), StubWorkspace(waiting=WAITING)
    parts = run_parts(PlayedBackend(answers), log, FunctionSandbox(), workspace)
    ended = await Supervisor(parts, replace(UNATTENDED, apply=policy, max_turns=2)).run_once("x")
    assert ended.reason == reason
    assert len(log.of(WorkspaceApplied)) == (reason == "done")
    assert ended.pending_changes == (reason != "done")


async def test_an_interrupted_run_applies_nothing() -> None:
    log, workspace, thinking = Log(), StubWorkspace(waiting=WAITING), Hang()
    parts = run_parts(PlayedBackend([[thinking]]), log, FunctionSandbox(), workspace)
    supervisor = Supervisor(parts, replace(UNATTENDED, apply="auto"))
    running = asyncio.create_task(supervisor.run_once("x"))
    await asyncio.wait_for(thinking.reached.wait(), 10)
    supervisor.send(Interrupt())
    ended = await running
    assert (ended.reason, ended.pending_changes) == ("interrupted", 1)
    assert not log.of(WorkspaceApplied)


async def test_without_a_screen_the_end_names_the_command_that_applies() -> None:
    log, workspace = Log(), StubWorkspace(waiting=WAITING)
    parts = run_parts(PlayedBackend([says("done")]), log, FunctionSandbox(), workspace)
    ended = await Supervisor(parts, UNATTENDED).run_once("x")
    assert "agentui sandbox apply --workspace stub" in ended.hint


async def test_a_project_that_another_process_works_on_is_not_available() -> None:
    log = Log()
    workspace = StubWorkspace(fails={"recover": ProjectBusy("another agentui works on it")})
    parts = run_parts(PlayedBackend([]), log, FunctionSandbox(), workspace)
    ended = await Supervisor(parts, UNATTENDED).run_once("x")
    assert (ended.reason, ended.error) == ("unavailable", "another agentui works on it")


async def test_a_model_that_calls_a_tool_it_was_not_given_is_refused_and_the_user_sees_it() -> None:
    async def no_engine() -> Workshop:
        raise SandboxUnavailable("no engine")

    def without(parts: RunParts) -> RunParts:
        return replace(parts, open_workshop=no_engine)

    log = Log()
    backend = PlayedBackend([calls("rm -rf /"), says("I cannot")])
    async with serving(backend, log, change=without, ready=False) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "talk only"))
        assert "no tools" in (await log.wait_for(Warned, lambda e: e.code == "talk_only")).text
        supervisor.send(Submit("clean up"))
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert [event.outcome for event in log.of(ToolEnded)] == ["refused"]
    assert [request.tools for request in backend.requests] == [(), ()]
    assert "no sandbox" in backend.requests[1].messages[-1]["content"]
    assert_balanced(log)
