"""The Docker sandbox: a locked-down container for commands, a volume for the private copy.

Nothing of the host is mounted into either. What an engine cannot give (a read-only /proc, a noexec workspace)
is tried, given up with a note where it fails, and everything that is promised is tested through the sandbox at
each start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox import docker_labels as labels
from agentui.sandbox.base import Command, CommandResult, Copy, OnOutput, unfit
from agentui.sandbox.docker_container import Container, ContainerPlan, Role, open_container
from agentui.sandbox.docker_copy import DockerCopy
from agentui.sandbox.docker_exec import Execution
from agentui.sandbox.docker_stream import wait_until_started
from agentui.sandbox.docker_volume import (
    WorkspaceVolume,
    open_volume,
    remove_volume,
    remove_workspace_volumes,
    workspace_labels,
)
from agentui.sandbox.engine import Engine, explanation
from agentui.sandbox.image import ToolsImage
from agentui.sandbox.limits import SandboxLimits
from agentui.sandbox.research import WayOut
from agentui.sandbox.selftest import Check, CheckName, require_self_test
from agentui.sandbox.settle import settled

DEFAULT_UID = 1000
"""The image has a name for it. The copy is private, so the host's uid need not match."""
MEMORY_TIMEOUT_S = 1.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Shell:
    """An image of the project's that commands run in instead of the tools image: it has interpreters.

    `find_tag` names one that `ProjectImage` built; it is asked at the start, and may block. Files of the
    workspace can be executed in it.
    """

    find_tag: Callable[[], str]
    label: str = "project image, no network"


class DockerSandbox:
    """Commands in a container, on a copy in a volume.

    Args:
        engine: Where it runs. image: What the shell is made of. workspace_id: Names the volume; one that exists
        is used again with what it holds. Letters, digits, ``_.-``. session: Label for the clean-up. project:
        Label for people who look at ``docker ps``. limits: Upper bounds for the commands. uid: Whom the
        commands run as; never 0. is_throwaway: Remove the copy when closed. may_build: Build the image at the
        start if it is absent. Building may use the network. shell: The image of the commands, where that is
        not `image`; the copy is still worked on with `image`. over: Id of a workspace whose files this copy
        begins with; see `has_source`. way_out: The research profile's, with an image that has what it
        needs; opened and closed with the sandbox.
    """

    def __init__(
        self,
        engine: Engine,
        image: ToolsImage,
        workspace_id: str,
        *,
        session: str = "",
        project: str = "",
        limits: SandboxLimits | None = None,
        uid: int = DEFAULT_UID,
        is_throwaway: bool = False,
        may_build: bool = False,
        shell: Shell | None = None,
        over: str = "",
        way_out: WayOut | None = None,
    ) -> None:
        if uid == 0:
            raise ValueError("commands never run as root: give another uid")
        self._engine = engine
        self.image = image
        self.workspace_id = workspace_id
        self._limits = limits or SandboxLimits()
        self._uid = uid
        self._is_throwaway = is_throwaway
        self._may_build = may_build
        self._way_out = way_out
        self._shell = shell
        self._shell_tag: str | None = None
        self._over = over
        self._labels = {
            labels.OWNER: labels.owner_label(),
            labels.SESSION: session,
            labels.PROJECT: project,
            labels.WORKSPACE_ID: workspace_id,
        }
        self._volume: WorkspaceVolume | None = None
        self._container: Container | None = None
        self._execution: Execution | None = None
        # Podman ignores what its API is told of it, and has no other way.
        self._has_readonly_proc = not engine.facts.is_podman
        self._memory_bytes: int | None = None
        self._one_at_a_time = asyncio.Lock()
        self._freezing = asyncio.Lock()
        self._copy = DockerCopy(
            lambda: open_container(engine, self._plan("copy")),
            uid,
            lambda: self._volume.identity if self._volume is not None else None,
        )
        self.checks: tuple[Check, ...] = ()
        """What the self-test of the last start found."""

    @property
    def facts(self) -> SandboxFacts:
        """What it holds; the notes are complete after `start`."""
        return SandboxFacts(
            kind="docker",
            label=self._label(),
            is_isolated=True,
            network=self._way_out.label if self._way_out is not None else "none",
            image=self._shell_tag if self._shell else self.image.tag,
            memory_limit_bytes=self._limits.memory_bytes,
            cpus=min(self._limits.cpus, float(self._engine.facts.cpus or self._limits.cpus)),
            pids_limit=self._limits.pids,
            notes=self._notes(),
            has_interpreters=self._shell is not None,
        )

    @property
    def has_source(self) -> bool:
        """Whether the copy began with the files of the workspace it was to lie over; known after `start`."""
        return self._volume is not None and self._volume.has_source

    @property
    def copy(self) -> Copy:
        """The volume's files."""
        return self._copy

    async def start(self, note: Callable[[str], None]) -> None:
        """Make image, volume and container ready and test them through a command; closes again if that fails.

        Raises:
            SandboxUnavailable: If the image is absent and may not be built, or anything does not hold.
        """
        removed = await asyncio.to_thread(labels.remove_leftovers, self._engine)
        if removed:
            note(f"removed {removed} leftover(s) of sessions that are gone")
        if self._may_build and not await self.image.is_built():
            await self.image.build(note)
        await self._require_image()
        if self._shell is not None:
            self._shell_tag = await asyncio.to_thread(self._shell.find_tag)
        note("starting the container")
        try:
            if self._way_out is not None:
                await self._way_out.open(self._engine, self.image.tag, self._labels)
            # A cancel waits for it: what is made after the clean-up would be left.
            is_new = await settled(asyncio.to_thread(self._open_volume))
            if is_new:
                self._copy.warm_up()
            had_readonly_proc = self._has_readonly_proc
            await settled(asyncio.to_thread(self._open))
            if had_readonly_proc != self._has_readonly_proc:
                # Its container was made in the way that turned out not to work.
                await self._copy.aclose()
            note("testing the sandbox")
            given_up: list[CheckName] = [] if self._has_readonly_proc else ["proc"]
            if self._volume is None or not self._volume.is_noexec:
                given_up.append("noexec")
            if self._shell is not None:
                given_up.append("python")
            self.checks = await require_self_test(self, given_up)
            self._copy.is_empty = is_new
        except BaseException:
            await self.aclose()
            raise

    async def open_copy(self) -> None:
        """Make only the copy reachable: no command can run.

        Raises:
            SandboxUnavailable: If the image is absent, or the engine refuses.
        """
        await self._require_image()
        await asyncio.to_thread(self._open_volume)

    async def _require_image(self) -> None:
        if not await self.image.is_built():
            raise SandboxUnavailable(
                f"The sandbox image {self.image.tag} is not built yet",
                hint=f"Build it once: {self.image.command}",
            )

    async def remove_copy(self) -> None:
        """Remove the copy with all it holds, for good; works without the image.

        Raises:
            SandboxError: If something still uses it.
        """
        await self.aclose()
        # A killed session's container has ended, but holds the volume until it is removed.
        await asyncio.to_thread(labels.remove_leftovers, self._engine)
        await asyncio.to_thread(remove_workspace_volumes, self._engine, self.workspace_id)
        self._volume = None

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run a command; see the protocol. One at a time: a second caller waits.

        Refused if there is no container and the engine can start none.
        """
        if why := unfit(command):
            return CommandResult("refused", None, 0.0, command.cwd, why)
        async with self._one_at_a_time:
            self._copy.is_empty = False
            try:
                has_lost_way = self._way_out is not None and await self._way_out.mend(self._drop)
                result, is_gone = await self._run_once(command, on_output)
                if has_lost_way:
                    result = _with_message(result, "The way out was gone; this is from a new container.")
                if is_gone and result.outcome == "refused":
                    # It never started, so it may: the old container was gone before.
                    result, is_gone = await self._run_once(command, on_output)
                    return _with_message(
                        result, "The container was gone; this is from a new one, on the same copy."
                    )
            except SandboxError as error:
                text = f"The command did not run. {error.message}"
                return CommandResult("refused", None, 0.0, command.cwd, text)
        if is_gone:
            return _with_message(result, "The next command gets a new container on the same copy.")
        return result

    async def _run_once(self, command: Command, on_output: OnOutput) -> tuple[CommandResult, bool]:
        """The result, and whether the container is gone."""
        container = await asyncio.to_thread(self._container_now)
        execution = Execution(container, command, on_output, self._freezing)
        self._execution = execution
        try:
            return await execution.run(), execution.needs_new_container
        finally:
            self._execution = None
            if execution.needs_new_container:
                if self._container is container:
                    self._container = None
                await settled(asyncio.to_thread(container.close))

    async def freeze(self) -> bool:
        """Stop the running command and its clock."""
        async with self._freezing:
            execution, container = self._execution, self._container
            if execution is None or container is None or execution.clock.is_frozen:
                return False
            await execution.has_answer.wait()
            if execution.is_over or not execution.exec_id:
                return False
            frozen = await asyncio.to_thread(_pause, container, execution.exec_id)
            if frozen:
                execution.clock.freeze()
            return frozen

    async def thaw(self) -> None:
        """Let it go on."""
        async with self._freezing:
            execution, container = self._execution, self._container
            if execution is None or container is None or not execution.clock.is_frozen:
                return
            await asyncio.to_thread(_attempt, lambda: self._engine.api.unpause(container.id))
            execution.clock.thaw()

    async def memory_bytes(self) -> int | None:
        """Memory of the command container without idle file pages; the last known while frozen."""
        async with self._freezing:
            container, execution = self._container, self._execution
            if container is None:
                return None
            if execution is not None and execution.clock.is_frozen:
                return self._memory_bytes
            vitals = await asyncio.to_thread(container.keeper.vitals, MEMORY_TIMEOUT_S)
        self._memory_bytes = vitals.memory_bytes if vitals is not None else None
        return self._memory_bytes

    async def aclose(self) -> None:
        """End both containers; a running command is lost. The volume stays unless it is throwaway."""
        await asyncio.gather(self._copy.aclose(), asyncio.to_thread(self._drop))
        if self._way_out is not None:
            await self._way_out.aclose()
        # Also those that could not be removed while the engine was away.
        await asyncio.to_thread(labels.remove_own, self._engine, self._labels[labels.OWNER], self.workspace_id)
        if self._is_throwaway and self._volume is not None:
            await asyncio.to_thread(remove_volume, self._engine, self._volume)
            self._volume = None

    def _plan(self, role: Role) -> ContainerPlan:
        assert self._volume is not None, "the sandbox was not started"
        return ContainerPlan(
            image=self._shell_tag if self._shell_tag and role == "commands" else self.image.tag,
            volume=self._volume.name,
            role=role,
            uid=self._uid,
            limits=self._limits,
            labels={**self._labels, labels.ROLE: role},
            has_readonly_proc=self._has_readonly_proc,
            is_noexec=self._volume.is_noexec,
            relay_volume=self._way_out.volume if self._way_out is not None and role == "commands" else None,
        )

    def _open_volume(self) -> bool:
        """Whether it was made just now, and so holds nothing."""
        if self._volume is not None:
            return False
        volume_labels = workspace_labels(self._labels, self._is_throwaway)
        self._volume = open_volume(
            self._engine,
            self.image.tag,
            self.workspace_id,
            self._uid,
            volume_labels,
            may_execute=self._shell is not None,
            over=self._over,
        )
        return self._volume.is_new

    def _open(self) -> None:
        if self._container is not None:
            return
        container = open_container(self._engine, self._plan("commands"))
        problem = container.exec_problem()
        if problem and self._has_readonly_proc:
            # Where AppArmor or SELinux label each exec, the engine itself must write to /proc.
            _log.warning("no exec with a read-only /proc on this engine: %s", problem)
            container.close()
            self._has_readonly_proc = False
            container = open_container(self._engine, self._plan("commands"))
            problem = container.exec_problem()
        if problem:
            container.close()
            raise SandboxUnavailable(f"The engine starts containers but no command in them: {problem}")
        self._container = container

    def _container_now(self) -> Container:
        if self._container is not None and not self._container.keeper.is_alive:
            _log.warning("container %s is gone; starting another", self._container.id[:12])
            self._drop()
        if self._container is None:
            if self._volume is None:
                raise SandboxError("The sandbox is closed: no command can run")
            self._open()
        assert self._container is not None
        return self._container

    def _drop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _label(self) -> str:
        if self._way_out is not None:
            return f"docker, {self._way_out.label}"
        return self._shell.label if self._shell else "docker, no network"

    def _notes(self) -> tuple[str, ...]:
        notes: list[str] = []
        if not self._has_readonly_proc:
            why = "Podman cannot shut it" if self._engine.facts.is_podman else "this engine needs it so"
            notes.append(f"/proc is writable ({why}): native code can be put into a process")
        if self._volume is not None and not self._volume.is_noexec and self._shell is None:
            notes.append("files of the workspace can be executed: this engine has no noexec volumes")
        return tuple(notes)


def _with_message(result: CommandResult, text: str) -> CommandResult:
    return dataclasses.replace(result, message=f"{result.message} {text}".strip())


def _pause(container: Container, exec_id: str) -> bool:
    api = container.engine.api
    return _attempt(lambda: wait_until_started(container.engine, exec_id)) and _attempt(
        lambda: api.pause(container.id)
    )


def _attempt(call: Callable[[], object]) -> bool:
    """Whether an engine call went through and did not say no; a refusal is logged."""
    import requests
    from docker.errors import DockerException

    try:
        return call() is not False
    except (DockerException, requests.RequestException, OSError) as error:
        _log.warning("the engine refused: %s", explanation(error))
        return False
