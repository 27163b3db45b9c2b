"""Which image a check or the project profile runs in, and the throwaway sandbox of a check."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.config.checks import CheckDefinition, ImageRecipe
from agentui.config.settings import Settings
from agentui.config.trust import TrustStore
from agentui.errors import ConfigError, SandboxUnavailable
from agentui.paths import Places, private_folder
from agentui.sandbox.base import Copy
from agentui.sandbox.limits import SandboxLimits
from agentui.wire.servers import tools_image
from agentui.workspace.checks import Checks

if TYPE_CHECKING:
    from agentui.run.ports import ImagePort
    from agentui.sandbox.docker import DockerSandbox, Shell
    from agentui.sandbox.engine import Engine
    from agentui.sandbox.image import ToolsImage
    from agentui.sandbox.project_image import ProjectImage

log = logging.getLogger(__name__)

BUILD_COMMAND = "agentui checks build"
SET_UP_HINT = "set one up: agentui checks add test 'pytest -q {args}' --image python:3.12-slim"


def project_image(engine: Engine, recipe: ImageRecipe, project: Path) -> ProjectImage:
    """The image that a recipe describes, read from the project's files as they are on the host. Blocks.

    Raises:
        ConfigError: If a file that it names is not there or cannot be used.
    """
    from agentui.sandbox.project_image import ProjectImage
    from agentui.sandbox.project_recipe import read_source

    return ProjectImage(engine, read_source(recipe, project))


def shell_recipe(settings: Settings, project: Path) -> ImageRecipe:
    """What ``--profile project`` makes the agent's shell from.

    Raises:
        ConfigError: If the project names nothing.
    """
    from agentui.sandbox.project_recipe import found_recipe

    recipe = settings.checks.recipe or found_recipe(project)
    if recipe is None:
        raise ConfigError(
            f"--profile project needs an image, and {project} names none",
            hint='add  [checks]  with  image = "…"  to .agentui/config.toml, or a Dockerfile',
        )
    return recipe


class CheckSandboxes:
    """Makes the sandbox of each check of one project; see `agentui.workspace.checks.Checks`.

    `over` is the id of the Docker workspace that checks begin with, empty where the copy lies elsewhere.
    """

    def __init__(self, settings: Settings, project: Path, session_id: str, over: str) -> None:
        self._settings = settings
        self._project = project
        self._session_id = session_id
        self._over = over
        self._tools: ToolsImage | None = None

    async def open(self, check: CheckDefinition) -> DockerSandbox:
        """A sandbox that is not started. Builds the image where that needs no network.

        Raises:
            SandboxUnavailable: If there is no engine, or the image must be built with a network first.
            ConfigError: If the image's files cannot be used.
        """
        from agentui.sandbox.docker import DockerSandbox, Shell

        if self._tools is None:
            self._tools = await asyncio.to_thread(tools_image, self._settings)
        tools = self._tools
        image = await asyncio.to_thread(project_image, tools.engine, check.recipe, self._project)
        tag = await built_without_network(image, check.name)
        own = check.limits
        limits = SandboxLimits(
            memory_bytes=own.memory_bytes or self._settings.memory_limit_bytes,
            cpus=own.cpus or self._settings.cpus,
            pids=own.pids or self._settings.pids_limit,
        )
        return DockerSandbox(
            tools.engine,
            tools,
            f"check-{secrets.token_hex(6)}",
            session=self._session_id,
            project=self._project.name,
            limits=limits,
            uid=os.getuid() or 1000,
            is_throwaway=True,
            shell=Shell(lambda: tag, "throwaway, no network"),
            over=self._over,
        )


async def built_without_network(image: ProjectImage, name: str) -> str:
    """The tag of an image, built now if that loads nothing.

    Raises:
        SandboxUnavailable: If it would; says what to run.
    """
    if not await asyncio.to_thread(image.is_built):
        reason = await asyncio.to_thread(image.network_reason)
        if reason is not None:
            raise SandboxUnavailable(
                f"The image of the check {name} is not built as its files are now ({reason})",
                hint=f"The user builds it once, with a network: {BUILD_COMMAND}",
            )
        await image.build(lambda line: log.info("image of %s: %s", name, line))
    return await asyncio.to_thread(image.tag)


def open_checks(
    settings: Settings, where: Places, project: Path, session_id: str, copy: Copy, over: str
) -> Checks:
    """The checks of a project on one copy; `over` as for `CheckSandboxes`."""
    sandboxes = CheckSandboxes(settings, project, session_id, over)
    scratch = private_folder(where.workspace(project))
    return Checks(settings.checks, copy, sandboxes.open, scratch)


@dataclass(slots=True)
class ShellImage:
    """The image of ``--profile project`` as a session asks for it: built, and agreed to as it is now.

    Implements `agentui.run.ports.ImagePort`.
    """

    tools: ToolsImage
    image: ProjectImage
    project: Path
    trust: TrustStore
    command: str = f"{BUILD_COMMAND} --profile project"

    @property
    def question(self) -> str:
        """What is asked."""
        return f"Let the agent's shell be the project's own image ({self.image.source.origin})?"

    @property
    def why(self) -> str:
        """What a yes means."""
        notes = "".join(f" ({note})" for note in self.image.source.notes)
        return (
            "it has interpreters and files of the copy can be executed; still no network, a private copy and "
            f"undo; building it may use the network now, and you are asked again when it changes{notes}"
        )

    async def is_built(self) -> bool:
        """Whether it is there and agreed to."""
        return await self.tools.is_built() and await asyncio.to_thread(self._is_ready)

    def _is_ready(self) -> bool:
        return self.image.is_built() and self.trust.trusts_image(self.project, self.image.digest())

    def agreed_tag(self) -> str:
        """The image's name; asked by the sandbox at each start, so that no caller can forget the yes. Blocks.

        Raises:
            SandboxUnavailable: If it is not built, or not agreed to as it is now.
        """
        if not self._is_ready():
            raise SandboxUnavailable(
                f"The project's own image ({self.image.source.origin}) is not built, or you have not "
                "agreed to it as it is now",
                hint=f"Look at it, then do both: {self.command}",
            )
        return self.image.tag()

    async def build(self, note: Callable[[str], None]) -> None:
        """Build what is missing, and keep the yes.

        Raises:
            SandboxUnavailable: If a step fails.
            ConfigError: If the answer cannot be kept.
        """
        if not await self.tools.is_built():
            await self.tools.build(note)
        if not await asyncio.to_thread(self.image.is_built):
            await self.image.build(note)
        digest = await asyncio.to_thread(self.image.digest)
        self.trust.trust_image(self.project, digest)


async def shell_image(settings: Settings, where: Places, project: Path) -> ShellImage:
    """The project profile's image on the engine of this machine.

    Raises:
        SandboxUnavailable: If there is no engine.
        ConfigError: If the project names no image, or its files cannot be used.
    """
    recipe = shell_recipe(settings, project)
    tools = await asyncio.to_thread(tools_image, settings)
    image = await asyncio.to_thread(project_image, tools.engine, recipe, project)
    return ShellImage(tools, image, project, TrustStore(where.trust_file))


async def shell_of(
    profile: str, settings: Settings, where: Places, project: Path
) -> tuple[ToolsImage, ImagePort, Shell | None]:
    """What a Docker sandbox of a profile is made with: tools image, what must be there and agreed to, shell.

    Without the user's yes to the image of the project profile the sandbox refuses to start.

    Raises:
        SandboxUnavailable: If there is no engine.
        ConfigError: If the project names no image, or its files cannot be used.
    """
    from agentui.sandbox.docker import Shell

    if profile == "project":
        found = await shell_image(settings, where, project)
        return found.tools, found, Shell(found.agreed_tag)
    tools = await asyncio.to_thread(tools_image, settings)
    return tools, tools, None
