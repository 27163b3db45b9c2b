"""Which sandbox, on which private copy."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from agentui.config.settings import Settings
from agentui.errors import SandboxUnavailable
from agentui.paths import Places, private_folder, project_key
from agentui.run.ports import Workshop, WorkspacePort
from agentui.sandbox.base import Copy
from agentui.wire.checks import SET_UP_HINT, open_checks, shell_of
from agentui.wire.sandboxes import jailed_sandbox, sandbox_limits
from agentui.workspace.settings import WorkspaceSettings

log = logging.getLogger(__name__)


class Workshops:
    """Opens the sandbox that the settings ask for, on the project's private copy."""

    def __init__(
        self, settings: Settings, where: Places, project: Path, session_id: str, is_demo: bool
    ) -> None:
        self._settings = settings
        self._where = where
        self._project = project
        self._session_id = session_id
        self._is_demo = is_demo

    async def open(self) -> Workshop:
        """A workshop that is not started yet.

        Raises:
            SandboxUnavailable: If there is no engine.
        """
        if self._is_demo:
            return await self._for_demo()
        match self._settings.sandbox:
            case "none":
                return self._without_sandbox()
            case "bubblewrap" | "seatbelt" as kind:
                sandbox = jailed_sandbox(kind, self._settings, self._copy_folder())
                return self._with_checks(Workshop(sandbox, None, self._workspace(sandbox.copy)), "")
        return await self._docker()

    async def _for_demo(self) -> Workshop:
        """Docker where it is ready; else the sandbox that knows only the shipped commands. Never builds."""
        if self._settings.sandbox == "docker":
            return await self._docker()
        if self._settings.sandbox == "auto":
            try:
                found = await self._docker()
                if found.image is not None and await found.image.is_built():
                    return found
                await found.sandbox.aclose()
            except SandboxUnavailable as error:
                log.info("the demo runs without Docker: %s", error)
        from agentui.sandbox.scripted import ScriptedSandbox
        from agentui.simulator.scripts.script import shipped_commands

        sandbox = ScriptedSandbox(shipped_commands(), self._copy_folder())
        return Workshop(sandbox, None, self._workspace(sandbox.copy))

    def _without_sandbox(self) -> Workshop:
        from agentui.sandbox.none import NoSandbox

        sandbox = NoSandbox(self._copy_folder())
        return self._with_checks(Workshop(sandbox, None, self._workspace(sandbox.copy)), "")

    async def _docker(self) -> Workshop:
        from agentui.sandbox.docker import DockerSandbox

        settings = self._settings
        profile = "default" if self._is_demo else settings.profile
        tools, image, shell = await shell_of(profile, settings, self._where, self._project)
        workspace_id = project_key(self._project)
        sandbox = DockerSandbox(
            tools.engine,
            tools,
            workspace_id,
            session=self._session_id,
            project=self._project.name,
            limits=sandbox_limits(settings),
            uid=os.getuid() or 1000,
            shell=shell,
        )
        return self._with_checks(Workshop(sandbox, image, self._workspace(sandbox.copy)), workspace_id)

    def _with_checks(self, workshop: Workshop, over: str) -> Workshop:
        """Add the user's checks; the demo's project is a scratch one that has none."""
        if self._is_demo:
            return workshop
        copy = workshop.sandbox.copy
        checks = open_checks(self._settings, self._where, self._project, self._session_id, copy, over)
        return replace(workshop, checks=checks, set_up_hint=SET_UP_HINT)

    def _copy_folder(self) -> Path:
        return private_folder(self._where.copy(self._project))

    def _workspace(self, copy: Copy) -> WorkspacePort:
        from agentui.workspace.workspace import Workspace

        settings = WorkspaceSettings(
            include=self._settings.seed_include, exclude=self._settings.seed_exclude, home=self._where.home
        )
        state = private_folder(self._where.workspace(self._project))
        return Workspace(self._project, copy, state, settings)
