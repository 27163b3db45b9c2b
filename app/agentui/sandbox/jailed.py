"""Sandboxes without a container engine: each command in a jail that the host's own system makes.

Same protocol and copy as everywhere; what a jail does not give is said in its facts, in words, and only that
may fail in the self-test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox.base import Command, CommandResult, Copy, OnOutput
from agentui.sandbox.folder_copy import FolderCopy, make_folder
from agentui.sandbox.host_launch import Launcher
from agentui.sandbox.host_process import HostRunner
from agentui.sandbox.selftest import Check, CheckName, require_self_test


class Jail(Launcher, Protocol):
    """A launcher that contains what it starts."""

    @property
    def facts(self) -> SandboxFacts:
        """What it is; complete after `prepare`."""
        ...

    @property
    def not_given(self) -> Mapping[str, str]:
        """What it does not hold though a container would, by short name, each as a sentence for the user."""
        ...

    @property
    def given_up(self) -> tuple[CheckName, ...]:
        """The checks of the self-test that may therefore fail."""
        ...


class JailedSandbox:
    """Runs every command in a jail, on a copy that is a folder of the host.

    Args:
        folder: The private copy; one that exists is used again with what it holds.
        jail: What contains the commands.
    """

    def __init__(self, folder: Path, jail: Jail) -> None:
        self._copy = FolderCopy(folder)
        self._jail = jail
        self._runner = HostRunner(folder, launcher=jail)
        self.checks: tuple[Check, ...] = ()
        """What the self-test of the last start found."""

    @property
    def facts(self) -> SandboxFacts:
        """What it holds and what it does not."""
        return self._jail.facts

    @property
    def folder(self) -> Path:
        """Where the copy lies on the host."""
        return self._copy.folder

    @property
    def copy(self) -> Copy:
        """The folder's files."""
        return self._copy

    async def start(self, note: Callable[[str], None]) -> None:
        """Make the folder and test the jail through a command; closes again if that fails.

        Raises:
            SandboxUnavailable: If the jail cannot be made here, or anything that it promises does not hold.
        """
        try:
            await asyncio.to_thread(make_folder, self._copy.folder)
        except SandboxError as error:
            raise SandboxUnavailable(error.message, hint=error.hint) from error
        try:
            await asyncio.to_thread(self._runner.open)
            note("testing the sandbox")
            self.checks = await require_self_test(self, self._jail.given_up)
        except BaseException:
            await self.aclose()
            raise

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run a command."""
        return await self._runner.run(command, on_output)

    async def freeze(self) -> bool:
        """Stop the running command."""
        return await self._runner.freeze()

    async def thaw(self) -> None:
        """Let it go on."""
        await self._runner.thaw()

    async def memory_bytes(self) -> int | None:
        """Memory of the running command."""
        return await self._runner.memory_bytes()

    async def aclose(self) -> None:
        """End the running command; the folder stays."""
        await self._runner.aclose()
