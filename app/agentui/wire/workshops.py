"""Which sandbox, on which private copy."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.config.settings import Settings
from agentui.errors import SandboxUnavailable
from agentui.events import Event
from agentui.paths import Places, git_folder, private_folder, project_key
from agentui.run.ports import ImagePort, StandIn, Workshop
from agentui.sandbox.base import Copy
from agentui.wire.checks import SET_UP_HINT, open_checks, shell_of
from agentui.wire.research import require_docker, way_out_of
from agentui.wire.sandboxes import jailed_sandbox, sandbox_limits
from agentui.workspace.settings import CopyKind, WorkspaceSettings
from agentui.workspace.user_ignore import user_ignore_file

if TYPE_CHECKING:
    from agentui.sandbox.docker import DockerSandbox
    from agentui.workspace.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CopyPlace:
    """Which private copy: its id, and the folders of its state and (where it is a folder) of its files.

    `everything` seeds ignored files and secrets too. A throwaway one is removed when its sandbox is closed.
    """

    workspace_id: str
    state: Path
    files: Path
    everything: bool = False
    is_throwaway: bool = False


def own_place(where: Places, project: Path) -> CopyPlace:
    """The copy that a project keeps."""
    return CopyPlace(project_key(project), where.workspace(project), where.copy(project))


def _nobody(event: Event) -> None:
    """Nobody wants to know."""


class Workshops:
    """Opens the sandbox that settings ask for, on the private copy; of a session that `goes_on`, on its own."""

    def __init__(
        self,
        settings: Settings,
        where: Places,
        project: Path,
        session_id: str,
        is_demo: bool = False,
        place: CopyPlace | None = None,
        goes_on: bool = False,
        *,
        emit: Callable[[Event], None] = _nobody,
    ) -> None:
        self._goes_on = goes_on
        self._settings = settings
        self._where = where
        self._project = project
        self._session_id = session_id
        self._is_demo = is_demo
        self._place = place or own_place(where, project)
        self._emit = emit

    async def open(self) -> Workshop:
        """A workshop that is not started yet.

        Raises:
            SandboxUnavailable: If there is no engine.
        """
        if self._is_demo:
            return await self._for_demo()
        match self._settings.sandbox:
            case "none":
                require_docker(self._settings)
                return self._without_sandbox()
            case "bubblewrap" | "seatbelt" as kind:
                require_docker(self._settings)
                return self._jailed(kind)
        return await self._docker()

    def stand_in(self) -> StandIn | None:
        """This machine's sandbox that needs no engine, for the user to choose; ``None`` if there is none."""
        is_plain = self._settings.sandbox in ("auto", "docker") and self._settings.profile == "default"
        kind = "seatbelt" if sys.platform == "darwin" else "bubblewrap"
        program = "sandbox-exec" if kind == "seatbelt" else "bwrap"
        if self._is_demo or not is_plain or shutil.which(program) is None:
            return None

        async def open_jail() -> Workshop:
            return self._jailed(kind)

        less = "it has never run on a Mac" if kind == "seatbelt" else "it holds less than a container"
        return StandIn(
            f"use {kind}", f"{kind} is here too; {less}, and is tested before a command runs.", open_jail
        )

    def _jailed(self, kind: str) -> Workshop:
        sandbox = jailed_sandbox(kind, self._settings, self._copy_folder())
        return self._with_checks(Workshop(sandbox, None, self.workspace(sandbox.copy, "folder")), "")

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

        sandbox = ScriptedSandbox(shipped_commands(), self._copy_folder(), goes_on=self._goes_on)
        return Workshop(sandbox, None, self.workspace(sandbox.copy, "folder"))

    def _without_sandbox(self) -> Workshop:
        from agentui.sandbox.none import NoSandbox

        sandbox = NoSandbox(self._copy_folder())
        return self._with_checks(Workshop(sandbox, None, self.workspace(sandbox.copy, "folder")), "")

    async def _docker(self) -> Workshop:
        sandbox, image = await self.docker()
        workshop = Workshop(sandbox, image, self.workspace(sandbox.copy, "volume"))
        return self._with_checks(workshop, self._place.workspace_id)

    async def docker(self) -> tuple[DockerSandbox, ImagePort]:
        """The Docker sandbox, not started, and the image it needs.

        Raises:
            SandboxUnavailable: If there is no engine.
            ConfigError: If the project profile is asked for and the project names no image, or the research
                profile and nothing may be reached.
        """
        from agentui.sandbox.docker import DockerSandbox

        settings = self._settings
        profile = "default" if self._is_demo else settings.profile
        tools, image, shell = await shell_of(profile, settings, self._where, self._project)
        sandbox = DockerSandbox(
            tools.engine,
            tools,
            self._place.workspace_id,
            session=self._session_id,
            project=self._project.name,
            limits=sandbox_limits(settings),
            uid=os.getuid() or 1000,
            is_throwaway=self._place.is_throwaway,
            shell=shell,
            way_out=None if self._is_demo else way_out_of(settings, self._emit),
        )
        return sandbox, image

    def _with_checks(self, workshop: Workshop, over: str) -> Workshop:
        """Add the user's checks; the demo's project is a scratch one that has none."""
        if self._is_demo:
            return workshop
        copy = workshop.sandbox.copy
        checks = open_checks(self._settings, self._where, self._project, self._session_id, copy, over)
        return replace(workshop, checks=checks, set_up_hint=SET_UP_HINT)

    def _copy_folder(self) -> Path:
        return private_folder(self._place.files)

    def workspace(self, copy: Copy, kind: CopyKind) -> Workspace:
        """The workspace over a copy; what is remembered of a volume says nothing of a folder."""
        from agentui.workspace.workspace import Workspace

        settings = WorkspaceSettings(
            include=self._settings.seed_include,
            exclude=self._settings.seed_exclude,
            everything=self._place.everything,
            max_seed_bytes=self._settings.seed_limit_bytes,
            global_ignore=user_ignore_file(self._where.home, git_folder()),
            home=self._where.home,
        )
        state = private_folder(self._place.state)
        return Workspace(self._project, copy, state, settings, kind)
