"""Checks in a run: who calls them, what is shown, what the model gets, and what is explained once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from agentui.config.checks import CheckDefinition, CheckLimits, ImageRecipe, ProjectChecks
from agentui.control import Interrupt, Pause, Resume, RunCommand, Submit
from agentui.errors import SandboxUnavailable
from agentui.events import (
    Paused,
    RunEnded,
    StateChanged,
    ToolEnded,
    ToolFrozen,
    ToolStarted,
    Warned,
)
from agentui.run.hints import Hints, host_tools, runner_in
from agentui.run.ports import RunParts, Workshop
from agentui.sandbox.base import CommandResult, OnOutput
from agentui.workspace.checks import CheckCall, Checks
from tests.fakes import FunctionSandbox, Hang, Log, PlayedBackend, calls, says
from tests.serving import assert_balanced, serving

CONFIGURED = ProjectChecks(
    (
        CheckDefinition("test", "pytest {args}", ImageRecipe("image", "x"), CheckLimits(timeout_s=42)),
        CheckDefinition("lint", "ruff", ImageRecipe("image", "x")),
    )
)


@dataclass
class PlayedChecks:
    """Knows calls as the real one does, and answers them from a table."""

    answers: dict[str, CommandResult] = field(default_factory=dict)
    hang: Hang | None = None
    ran: list[str] = field(default_factory=list)
    frozen: int = 0
    configured: ProjectChecks = CONFIGURED

    def __post_init__(self) -> None:
        async def never(check: CheckDefinition) -> FunctionSandbox:
            raise SandboxUnavailable("not in this test")

        self._real = Checks(self.configured, FunctionSandbox().copy, never, None)  # type: ignore[arg-type]

    @property
    def lines(self) -> tuple[str, ...]:
        return self._real.lines

    def called(self, command: str) -> CheckCall | None:
        return self._real.called(command)

    async def run(self, call: CheckCall, on_output: OnOutput) -> CommandResult:
        if call.problem:
            return await self._real.run(call, on_output)
        self.ran.append(call.command)
        if self.hang is not None:
            self.hang.reached.set()
            await self.hang.open.wait()
        return self.answers.get(call.name, CommandResult("ok", 0, 0.5, "ignored"))

    async def freeze(self) -> bool:
        self.frozen += 1
        return True

    async def thaw(self) -> None:
        self.frozen -= 1


def with_checks(
    checks: PlayedChecks | None, sandbox: FunctionSandbox, hint: str = "set one up"
) -> Callable[[RunParts], RunParts]:
    async def open_workshop() -> Workshop:
        return Workshop(sandbox, None, None, checks, hint)

    return lambda parts: replace(parts, open_workshop=open_workshop)


async def played(
    log: Log, checks: PlayedChecks | None, sandbox: FunctionSandbox, *commands: str
) -> PlayedBackend:
    """A run in which the model asks for these commands one after the other."""
    backend = PlayedBackend([*(calls(command) for command in commands), says("done")])
    async with serving(backend, log, sandbox, change=with_checks(checks, sandbox)) as supervisor:
        supervisor.send(Submit("go"))
        await log.wait_for(RunEnded)
    assert_balanced(log)
    return backend


def last_result(backend: PlayedBackend) -> str:
    return str(backend.requests[-1].messages[-1]["content"])


async def test_a_whole_command_runs_as_a_check_with_its_own_label_state_and_deadline() -> None:
    log, checks, sandbox = Log(), PlayedChecks(), FunctionSandbox()
    backend = await played(log, checks, sandbox, "cd sub", "check test -k 'a b'")
    assert (checks.ran, sandbox.ran) == (["pytest -k 'a b'"], ["cd sub"])
    started = log.of(ToolStarted)[-1]
    assert (started.label, started.check, started.cwd, started.timeout_s) == ("check", "test", "", 42)
    assert "checking" in [event.phase for event in log.of(StateChanged)]
    assert last_result(backend) == "[exit 0, check test in a throwaway copy]"


async def test_anything_around_a_check_goes_to_the_shell() -> None:
    log, checks, sandbox = Log(), PlayedChecks(), FunctionSandbox()
    await played(log, checks, sandbox, "check test && echo x")
    assert (checks.ran, sandbox.ran) == ([], ["check test && echo x"])
    assert log.of(ToolStarted)[0].label == "command"


async def test_without_a_configured_check_the_shell_answers() -> None:
    log, sandbox = Log(), FunctionSandbox()
    await played(log, PlayedChecks(configured=ProjectChecks()), sandbox, "check test")
    assert sandbox.ran == ["check test"]


@pytest.mark.parametrize(
    ("command", "says_why"),
    [
        ("check", "name the check"),
        ("check nope", "there is no check 'nope'; there are: test, lint"),
        ("check lint x", "the check lint takes no arguments"),
    ],
)
async def test_a_call_that_cannot_be_run_is_refused_with_the_reason(command: str, says_why: str) -> None:
    log, checks, sandbox = Log(), PlayedChecks(), FunctionSandbox()
    backend = await played(log, checks, sandbox, command)
    assert (checks.ran, sandbox.ran) == ([], [])
    assert log.of(ToolEnded)[0].outcome == "refused"
    assert last_result(backend).startswith("[refused, check")
    assert says_why in last_result(backend)


async def test_a_check_that_cannot_begin_tells_the_model_why() -> None:
    async def none(check: CheckDefinition) -> FunctionSandbox:
        raise SandboxUnavailable("no image", hint="build it")

    checks = Checks(CONFIGURED, FunctionSandbox().copy, none, None)  # type: ignore[arg-type]
    call = checks.called("check lint")
    assert call is not None
    result = await checks.run(call, lambda chunk: None)
    assert (result.outcome, result.message) == ("refused", "no image. build it")


async def test_what_a_check_wrote_back_is_told_and_the_directory_stays() -> None:
    log, sandbox = Log(), FunctionSandbox()
    wrote = CommandResult("error", 2, 0.1, "elsewhere", "wrote docs/a")
    backend = await played(log, PlayedChecks({"lint": wrote}), sandbox, "check lint")
    assert last_result(backend) == "[exit 2, check lint in a throwaway copy: wrote docs/a]"
    ended = log.of(ToolEnded)[0]
    assert (ended.exit_code, ended.cwd, ended.message) == (2, "", "wrote docs/a")


async def test_the_users_check_runs_beside_the_agent_and_the_model_is_told() -> None:
    log, checks, sandbox = Log(), PlayedChecks(), FunctionSandbox()
    backend = PlayedBackend([says("done")])
    async with serving(backend, log, sandbox, change=with_checks(checks, sandbox)) as supervisor:
        supervisor.send(RunCommand("check test"))
        await log.wait_for(ToolEnded)
        supervisor.send(Submit("go"))
        await log.wait_for(RunEnded)
    started = log.of(ToolStarted)[0]
    assert (started.label, started.check, checks.ran) == ("user", "test", ["pytest "])
    assert "checking" in [event.phase for event in log.of(StateChanged)]
    told = "\n".join(str(message["content"]) for message in backend.requests[0].messages)
    assert "The user ran this in the sandbox: check test\n[exit 0, check test" in told


async def test_the_user_who_has_no_check_is_told_how_to_set_one_up() -> None:
    log, sandbox = Log(), FunctionSandbox()
    async with serving(
        PlayedBackend([]), log, sandbox, change=with_checks(None, sandbox, "type this")
    ) as supervisor:
        supervisor.send(RunCommand("check test"))
        warned = await log.wait_for(Warned)
    assert (warned.code, warned.hint, sandbox.ran) == ("no_check", "type this", [])


async def test_an_interrupt_ends_a_check() -> None:
    log, checks, sandbox = Log(), PlayedChecks(hang=(hang := Hang())), FunctionSandbox()
    backend = PlayedBackend([calls("check test")])
    async with serving(backend, log, sandbox, change=with_checks(checks, sandbox)) as supervisor:
        supervisor.send(Submit("go"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Interrupt())
        assert (await log.wait_for(RunEnded)).reason == "interrupted"
    assert log.of(ToolEnded)[0].outcome == "cancelled"
    assert_balanced(log)


async def test_a_check_is_frozen_where_it_runs_and_not_the_shell() -> None:
    log, checks, sandbox = Log(), PlayedChecks(hang=(hang := Hang())), FunctionSandbox()
    backend = PlayedBackend([calls("check test"), says("done")])
    async with serving(backend, log, sandbox, change=with_checks(checks, sandbox)) as supervisor:
        supervisor.send(Submit("go"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause(freeze=True))
        await log.wait_for(ToolFrozen)
        await log.wait_for(Paused)
        assert (checks.frozen, sandbox.frozen) == (1, 0)
        supervisor.send(Resume())
        hang.open.set()
        await log.wait_for(RunEnded)
    assert (checks.frozen, sandbox.thawed) == (0, 0)


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest -q", "pytest"),
        ("cd x && python3 -m pytest", "python3 -m pytest"),
        ("CI=1 timeout 60 npm test", "npm test"),
        ("npm run lint", "npm run lint"),
        ("npx vitest run", "npx vitest"),
        ("uv run pytest", "uv run pytest"),
        ("cargo test --all", "cargo test"),
        ("python3 -m unittest", "python3 -m unittest"),
        ("rg pytest", None),
        ("cat pytest.ini", None),
        ("echo npm test", None),
        ("ls tests", None),
    ],
)
def test_a_test_runner_is_known_where_it_is_started(command: str, runner: str | None) -> None:
    assert runner_in(command) == runner


def test_only_the_beginning_of_a_command_is_searched_for_a_test_runner() -> None:
    # All of it would take minutes: a search begins again at every separator.
    assert runner_in("a=;" * 30_000 + "; pytest") is None


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (".venv/bin/pytest", ".venv"),
        ("source venv/bin/activate", "venv"),
        ("./node_modules/.bin/jest", "node_modules/.bin"),
        ("cd web; node_modules/.bin/tsc", "node_modules/.bin"),
        ("ls myvenv/bin", None),
        ("ls .venv", None),
    ],
)
def test_tools_of_the_host_are_known_by_their_folder(command: str, folder: str | None) -> None:
    assert host_tools(command) == folder


def test_each_thing_is_explained_once_and_only_when_it_failed() -> None:
    log, hints = Log(), Hints()
    hints.set_up = "do this"
    hints.observe("pytest", "ok", 0, False, log.emit)
    hints.observe("pytest", "error", 1, False, log.emit)
    hints.observe(".venv/bin/pytest", "error", 1, False, log.emit)
    hints.observe("pytest", "error", 127, True, log.emit)
    assert log.events == []
    for _ in range(2):
        hints.observe("pytest", "error", 127, False, log.emit)
        hints.observe("source .venv/bin/activate", "error", 1, False, log.emit)
        hints.observe(".venv/bin/pytest", "error", 127, False, log.emit)
    assert [warned.code for warned in log.of(Warned)] == ["no_check", "host_tools"]
    assert {warned.hint for warned in log.of(Warned)} == {"do this"}


def test_where_checks_are_of_no_use_nothing_is_said_of_them() -> None:
    log, hints = Log(), Hints()
    hints.observe("pytest", "error", 127, False, log.emit)
    assert log.events == []


async def test_a_model_that_tries_to_run_tests_brings_one_line_on_the_screen() -> None:
    log = Log()
    sandbox = FunctionSandbox({"pytest -q": (127, b"pytest: not available\n")})
    await played(log, None, sandbox, "pytest -q", "pytest -q")
    (warned,) = [warned for warned in log.of(Warned) if warned.code == "no_check"]
    assert (warned.text, warned.hint) == ("the agent tried pytest, which needs a check", "set one up")


async def test_a_sandbox_command_after_a_check_is_frozen_in_the_shell_again() -> None:
    hang = Hang()
    log, checks, sandbox = Log(), PlayedChecks(), FunctionSandbox(hangs={"sleep": hang})
    backend = PlayedBackend([calls("check test"), calls("sleep"), says("done")])
    async with serving(backend, log, sandbox, change=with_checks(checks, sandbox)) as supervisor:
        supervisor.send(Submit("go"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause(freeze=True))
        await log.wait_for(Paused)
        assert (checks.frozen, sandbox.frozen) == (0, 1)
        supervisor.send(Resume())
        hang.open.set()
        await log.wait_for(RunEnded)
