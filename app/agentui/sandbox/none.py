"""`--sandbox none`: commands run on this machine as the user, in a private copy of the project.

Typed by the user, shown in red, never remembered. The copy keeps honest mistakes away from the project; nothing
keeps a command from reaching anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox.base import Command, CommandResult, Copy, OnOutput
from agentui.sandbox.folder_copy import FolderCopy, make_folder
from agentui.sandbox.host_process import HostRunner


class NoSandbox:
    """Runs every command on the host.

    Args:
        folder: The private copy; one that exists is used again with what it holds.
    """

    def __init__(self, folder: Path) -> None:
        self._copy = FolderCopy(folder)
        self._runner = HostRunner(folder)

    @property
    def facts(self) -> SandboxFacts:
        """What it is, in words."""
        return SandboxFacts(
            kind="none",
            label="NO SANDBOX",
            is_isolated=False,
            network="host",
            notes=(
                "commands run on this machine and can reach everything you can; only your project is a copy",
            ),
        )

    @property
    def copy(self) -> Copy:
        """The folder's files."""
        return self._copy

    async def start(self, note: Callable[[str], None]) -> None:
        """Make the folder.

        Raises:
            SandboxUnavailable: If it cannot be made, or there is no bash.
        """
        try:
            await asyncio.to_thread(make_folder, self._copy.folder)
        except SandboxError as error:
            raise SandboxUnavailable(error.message, hint=error.hint) from error
        await asyncio.to_thread(self._runner.open)
        note("none; commands run on this machine, on a private copy of the project")

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
