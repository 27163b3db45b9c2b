"""The demo's sandbox where there is no Docker: runs shipped commands, byte for byte, and nothing else.

It contains nothing. It is safe because the commands are ours and known beforehand, and the folder is fresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox.base import Command, CommandResult, OnOutput
from agentui.sandbox.folder_copy import make_folder
from agentui.sandbox.host_process import HostRunner
from agentui.sandbox.host_sandbox import HostSandbox


class ScriptedSandbox(HostSandbox):
    """Runs a command only if it is byte-identical to one in `allowed`.

    Args:
        allowed: The commands of the played script, as shipped.
        folder: The scratch copy; must be empty or absent at the first start.
        goes_on: The folder is the one of this same demo, which was ended before.
    """

    def __init__(self, allowed: frozenset[str], folder: Path, *, goes_on: bool = False) -> None:
        super().__init__(folder, HostRunner(folder))
        self._allowed = allowed
        self._is_ours = goes_on

    @property
    def facts(self) -> SandboxFacts:
        """What it is, in words."""
        return SandboxFacts(
            kind="scripted",
            label="scripted: only the demo's own commands",
            is_isolated=False,
            network="host",
            notes=(
                "commands run on this machine, in a scratch folder; anything the demo did not ship is refused",
            ),
        )

    async def start(self, note: Callable[[str], None]) -> None:
        """Make the scratch folder.

        Raises:
            SandboxUnavailable: If the folder holds something that is not ours, or there is no bash.
        """
        await asyncio.to_thread(self._open)
        note("the demo's own commands run in a scratch folder; anything else is refused")

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run a shipped command; every other is refused unrun."""
        if command.text not in self._allowed:
            text = (
                "The demo has no container here: it runs only the commands shipped with it, and this is none."
            )
            return CommandResult("refused", None, 0.0, command.cwd, text)
        return await super().run(command, on_output)

    def _open(self) -> None:
        folder = self._copy.folder
        try:
            make_folder(folder)
            is_empty = next(folder.iterdir(), None) is None
        except (SandboxError, OSError) as error:
            raise SandboxUnavailable(f"The demo's scratch folder cannot be used: {error}") from error
        if not (is_empty or self._is_ours):
            raise SandboxUnavailable(
                f"The demo's scratch folder {folder} is not empty",
                hint="The demo only works in a fresh folder.",
            )
        self._is_ours = True
        self._runner.open()
