"""The user's checks: whole commands of the agent's or the user's that run in a throwaway sandbox of their own.

A check begins with the files of the private copy as they are, in an image that may have interpreters, without
network and under its own limits. What it writes is gone with it, unless the check's ``writes`` name it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentui.config.checks import CheckDefinition, ProjectChecks
from agentui.errors import AgentuiError, SandboxError
from agentui.sandbox.base import Command, CommandResult, Copy, OnOutput, Sandbox
from agentui.workspace.check_call import called_words, with_arguments
from agentui.workspace.mirror import mirror, write_back

DEFAULT_TIMEOUT_S = 600.0
MAX_TOLD_PATHS = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckCall:
    """A call of a check. `problem` says why it cannot be run; then there is no `definition`."""

    name: str
    command: str = ""
    definition: CheckDefinition | None = None
    problem: str = ""

    @property
    def timeout_s(self) -> float:
        """The check's own deadline in seconds of running time."""
        own = self.definition.limits.timeout_s if self.definition else None
        return own or DEFAULT_TIMEOUT_S


class CheckSandbox(Sandbox, Protocol):
    """A throwaway sandbox for one check."""

    @property
    def has_source(self) -> bool:
        """Whether its copy began with the workspace's files; known after `start`."""
        ...


class Checks:
    """Runs the checks of one project, one at a time.

    Args:
        configured: What the user configured.
        copy: The workspace's files. No command may run in it while a check does: the caller sees to that.
        open_sandbox: Makes the sandbox of a check, not started; raises `SandboxError` where there can be none.
        scratch: A folder of ours on the host.
    """

    def __init__(
        self,
        configured: ProjectChecks,
        copy: Copy,
        open_sandbox: Callable[[CheckDefinition], Awaitable[CheckSandbox]],
        scratch: Path,
    ) -> None:
        self._configured = configured
        self._copy = copy
        self._open = open_sandbox
        self._scratch = scratch
        self._running: CheckSandbox | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Each check for the system prompt: how it is called, and what it runs."""
        found: list[str] = []
        for check in self._configured.checks:
            takes = " [ARGUMENTS]" if "{args}" in check.run else ""
            found.append(f"`check {check.name}{takes}` runs {check.run}")
        return tuple(found)

    def called(self, command: str) -> CheckCall | None:
        """The check that a command line as a whole calls; ``None`` for everything else.

        Without any check configured nothing is a call. One that cannot be run has a `problem`.
        """
        if not self._configured.checks:
            return None
        words = called_words(command)
        if words is None:
            return None
        names = ", ".join(self._configured.names)
        if not words:
            return CheckCall("", problem=f"name the check, as in  check {self._configured.names[0]}: {names}")
        definition = self._configured.find(words[0])
        if definition is None:
            return CheckCall(words[0], problem=f"there is no check {words[0]!r}; there are: {names}")
        line = with_arguments(definition.run, words[1:])
        if line is None:
            return CheckCall(words[0], problem=f"the check {words[0]} takes no arguments")
        return CheckCall(definition.name, line, definition)

    async def run(self, call: CheckCall, on_output: OnOutput) -> CommandResult:
        """Run a check to its end. Never raises for what the check does; a check that cannot begin is refused.

        Cancelling kills it. Its sandbox is gone when this returns.
        """
        if call.definition is None:
            return CommandResult("refused", None, 0.0, message=call.problem)
        try:
            sandbox = await self._open(call.definition)
        except AgentuiError as error:
            return CommandResult("refused", None, 0.0, message=_why(error))
        try:
            await sandbox.start(lambda text: log.info("check %s: %s", call.name, text))
            if not sandbox.has_source:
                await mirror(self._copy, sandbox.copy, self._scratch)
            self._running = sandbox
            result = await sandbox.run(Command(call.command, "", call.timeout_s), on_output)
            return await self._with_writes(call.definition, sandbox, result)
        except SandboxError as error:
            return CommandResult("refused", None, 0.0, message=_why(error))
        finally:
            self._running = None
            await sandbox.aclose()

    async def _with_writes(
        self, definition: CheckDefinition, sandbox: CheckSandbox, result: CommandResult
    ) -> CommandResult:
        if not definition.writes or result.outcome not in ("ok", "error"):
            return result
        try:
            written, removed = await write_back(sandbox.copy, self._copy, definition.writes, self._scratch)
        except AgentuiError as error:
            return dataclasses.replace(result, message=f"nothing could be written back: {error.message}")
        told = [*_told("wrote", written), *_told("removed", removed)]
        return dataclasses.replace(result, message="; ".join(told))

    async def freeze(self) -> bool:
        """Stop the running check in place; False if none runs yet or it cannot."""
        return await self._running.freeze() if self._running is not None else False

    async def thaw(self) -> None:
        """Let it go on."""
        if self._running is not None:
            await self._running.thaw()


def _told(verb: str, paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    more = f" and {len(paths) - MAX_TOLD_PATHS} more" if len(paths) > MAX_TOLD_PATHS else ""
    return [f"{verb} {', '.join(paths[:MAX_TOLD_PATHS])}{more}"]


def _why(error: AgentuiError) -> str:
    return f"{error.message}. {error.hint}" if error.hint else error.message
