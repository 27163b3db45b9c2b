"""What breaks is told, and breaks nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from agentui.control import (
    Apply,
    Submit,
)
from agentui.errors import (
    SandboxError,
    SessionError,
)
from agentui.events import (
    CallId,
    Change,
    RunEnded,
    ToolEnded,
    Warned,
)
from agentui.run.output import OutputSink
from agentui.run.supervisor import Supervisor
from agentui.sandbox.base import Command, CommandResult, OnOutput
from tests.fakes import (
    UNATTENDED,
    FunctionSandbox,
    Log,
    PlayedBackend,
    calls,
    run_parts,
    says,
)
from tests.serving import StubWorkspace, assert_balanced, serving

CHANGE = Change("a.py", "modified")


@dataclass
class Breaking(FunctionSandbox):
    """Raises what no sandbox should."""

    error: Exception = field(default_factory=lambda: OSError("the pipe broke"))

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        raise self.error


@pytest.mark.parametrize("error", [OSError("the pipe broke"), SandboxError("the pipe broke")])
async def test_a_sandbox_that_raises_loses_the_command_and_not_the_run(error: Exception) -> None:
    log, backend = Log(), PlayedBackend([calls("ls"), says("done")])
    ended = await Supervisor(run_parts(backend, log, Breaking(error=error)), UNATTENDED).run_once("look")
    assert ended.reason == "done"
    assert [(e.outcome, e.message) for e in log.of(ToolEnded)] == [("lost", "the pipe broke")]
    assert "the pipe broke" in backend.requests[1].messages[-1]["content"]
    assert_balanced(log)


async def test_a_command_runs_even_where_its_output_cannot_be_kept() -> None:
    def full(call_id: CallId) -> OutputSink:
        raise SessionError("the disk is full")

    log, backend, sandbox = Log(), PlayedBackend([calls("ls"), says("done")]), FunctionSandbox()
    parts = replace(run_parts(backend, log, sandbox), make_sink=full)
    assert (await Supervisor(parts, UNATTENDED).run_once("look")).reason == "done"
    assert [(e.outcome, e.output_path, e.dropped_bytes) for e in log.of(ToolEnded)] == [("ok", None, 5)]
    assert "done\n" in backend.requests[1].messages[-1]["content"]


async def test_a_backend_that_raises_what_it_should_not_fails_the_run_and_the_session_lives() -> None:
    log, backend = Log(), PlayedBackend([[ValueError("odd bytes")], says("fine")])
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("first"))
        ended = await log.wait_for(RunEnded)
        assert ended.reason == "failed"
        assert "odd bytes" in (ended.error or "")
        supervisor.send(Submit("second"))
        await log.wait_for(RunEnded, lambda e: e.reason == "done")
    assert_balanced(log)


@pytest.mark.parametrize("error", [SandboxError("the container is gone"), RuntimeError("odd")])
async def test_changes_that_cannot_be_settled_are_told_and_the_run_stays_done(error: Exception) -> None:
    workspace = StubWorkspace((CHANGE,), fails={"apply": error})
    log, backend = Log(), PlayedBackend([says("one")])
    parts = run_parts(backend, log, FunctionSandbox(), workspace)
    ended = await Supervisor(parts, replace(UNATTENDED, apply="auto")).run_once("look")
    assert (ended.reason, ended.pending_changes) == ("done", 1)
    assert any(str(error) in e.text or str(error) in e.hint for e in log.of(Warned))


async def test_a_control_that_breaks_is_told_and_the_session_lives() -> None:
    workspace = StubWorkspace((CHANGE,), fails={"apply": RuntimeError("odd")})
    log, backend = Log(), PlayedBackend([says("one")])
    async with serving(backend, log, FunctionSandbox(), workspace=workspace) as supervisor:
        supervisor.send(Apply())
        assert "odd" in (await log.wait_for(Warned)).text
        supervisor.send(Submit("still there?"))
        assert (await log.wait_for(RunEnded)).reason == "done"


async def test_the_sandbox_is_closed_even_where_the_server_cannot_be() -> None:
    class Stuck(PlayedBackend):
        async def aclose(self) -> None:
            raise OSError("no")

    @dataclass
    class Closing(FunctionSandbox):
        is_closed: bool = False

        async def aclose(self) -> None:
            self.is_closed = True

    log, sandbox = Log(), Closing()
    await Supervisor(run_parts(Stuck([says("one")]), log, sandbox), UNATTENDED).run_once("look")
    assert sandbox.is_closed
