"""`--sandbox none`: commands run on this machine as the user, in a private copy of the project.

Typed by the user, shown in red, never remembered. The copy keeps honest mistakes away from the project; nothing
keeps a command from reaching anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agentui.events import SandboxFacts
from agentui.sandbox.host_process import HostRunner
from agentui.sandbox.host_sandbox import HostSandbox


class NoSandbox(HostSandbox):
    """Runs every command on the host.

    Args:
        folder: The private copy; one that exists is used again with what it holds.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, HostRunner(folder, has_interpreters=True))

    @property
    def facts(self) -> SandboxFacts:
        """What it is, in words."""
        return SandboxFacts(
            kind="none",
            label="NO SANDBOX",
            is_isolated=False,
            network="host",
            has_interpreters=True,
            notes=(
                "commands run on this machine and can reach everything you can; only your project is a copy",
            ),
        )

    async def start(self, note: Callable[[str], None]) -> None:
        """Make the folder.

        Raises:
            SandboxUnavailable: If it cannot be made, or there is no bash.
        """
        await self._make_folder()
        await asyncio.to_thread(self._runner.open)
        note("none; commands run on this machine, on a private copy of the project")
