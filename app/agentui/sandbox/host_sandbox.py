"""What sandboxes share whose copy is a folder of the host and whose commands are processes of the host."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.sandbox.base import Command, CommandResult, Copy, OnOutput
from agentui.sandbox.folder_copy import FolderCopy, make_folder
from agentui.sandbox.host_process import HostRunner


class HostSandbox:
    """All of a `Sandbox` but what it is and how it starts.

    Args:
        folder: The private copy; one that exists is used again with what it holds.
        runner: Runs the commands in it.
    """

    def __init__(self, folder: Path, runner: HostRunner) -> None:
        self._copy = FolderCopy(folder)
        self._runner = runner

    @property
    def copy(self) -> Copy:
        """The folder's files."""
        return self._copy

    async def _make_folder(self) -> None:
        try:
            await asyncio.to_thread(make_folder, self._copy.folder)
        except SandboxError as error:
            raise SandboxUnavailable(error.message, hint=error.hint) from error

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
