"""Sandboxes without a container engine: each command in a jail that the host's own system makes.

Same protocol and copy as everywhere; what a jail does not give is said in its facts, in words, and only that
may fail in the self-test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from agentui.events import SandboxFacts
from agentui.sandbox.host_launch import Launcher
from agentui.sandbox.host_process import HostRunner
from agentui.sandbox.host_sandbox import HostSandbox
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


class JailedSandbox(HostSandbox):
    """Runs every command in a jail, on a copy that is a folder of the host.

    Args:
        folder: The private copy; one that exists is used again with what it holds.
        jail: What contains the commands.
    """

    def __init__(self, folder: Path, jail: Jail) -> None:
        super().__init__(folder, HostRunner(folder, launcher=jail))
        self._jail = jail
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

    async def start(self, note: Callable[[str], None]) -> None:
        """Make the folder and test the jail through a command; closes again if that fails.

        Raises:
            SandboxUnavailable: If the jail cannot be made here, or anything that it promises does not hold.
        """
        await self._make_folder()
        try:
            await asyncio.to_thread(self._runner.open)
            note("testing the sandbox")
            self.checks = await require_self_test(self, self._jail.given_up)
        except BaseException:
            await self.aclose()
            raise
