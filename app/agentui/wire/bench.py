"""A private copy, and a sandbox on it, for one command of the command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.config.settings import Settings
from agentui.errors import SandboxUnavailable, UsageError
from agentui.events import Event, SandboxFacts
from agentui.paths import Places, private_folder, project_key
from agentui.run.ports import Workshop
from agentui.sandbox.absent_copy import AbsentCopy
from agentui.sandbox.base import Command, CommandResult, OnOutput
from agentui.sandbox.folder_copy import FolderCopy
from agentui.wire.workshops import CopyPlace, Workshops, own_place
from agentui.workspace.copystate import remove_tree
from agentui.workspace.lock import ProjectLock
from agentui.workspace.record import WorkspaceRecord, forget_copies, read_record, read_records
from agentui.workspace.settings import CopyKind
from agentui.workspace.workspace import Workspace

if TYPE_CHECKING:
    from agentui.sandbox.docker import DockerSandbox


class Bench:
    """One copy of one project. Open what is needed, then `aclose`."""

    def __init__(self, settings: Settings, where: Places, project: Path, place: CopyPlace) -> None:
        self.project = project
        self.place = place
        self._settings = settings
        self._workshops = Workshops(
            settings, where, project, f"cli-{os.getpid()}", place=place, emit=self._tell
        )
        self._emit: Callable[[Event], None] | None = None
        self._workshop: Workshop | None = None
        self._workspace: Workspace | None = None
        self._copy_owner: DockerSandbox | None = None

    @property
    def facts(self) -> SandboxFacts:
        """What the sandbox is."""
        return self._opened().sandbox.facts

    @property
    def is_known(self) -> bool:
        """Whether this workspace was ever used. Blocks for a look at the disk."""
        return read_record(self.place.state) is not None

    def _opened(self) -> Workshop:
        assert self._workshop is not None, "the bench was not opened"
        return self._workshop

    @property
    def workspace(self) -> Workspace:
        """The copy's changes and the project's applies."""
        assert self._workspace is not None, "the bench was not opened"
        return self._workspace

    def _tell(self, event: Event) -> None:
        if self._emit is not None:
            self._emit(event)

    async def open(self, note: Callable[[str], None], emit: Callable[[Event], None]) -> None:
        """Start the sandbox and bring the copy up to date with the project.

        Raises:
            SandboxUnavailable: If no command can be run safely.
            WorkspaceError: If the copy cannot be made, or another agentui works on it.
        """
        self._emit = emit
        self._workshop = workshop = await self._workshops.open()
        assert isinstance(workshop.workspace, Workspace)
        self._workspace = workshop.workspace
        await self._recover(note)
        await workshop.sandbox.start(note)
        await self.workspace.prepare(emit)

    async def open_changes(self, note: Callable[[str], None]) -> None:
        """Reach the copy without a place for commands.

        Raises:
            SandboxUnavailable: If its engine is not there.
            WorkspaceError: If another agentui works on it.
        """
        if self._kind() == "folder":
            self._workspace = self._workshops.workspace(FolderCopy(private_folder(self.place.files)), "folder")
            await self._recover(note)
        else:
            sandbox = await self._docker_sandbox()
            self._copy_owner = sandbox
            self._workspace = self._workshops.workspace(sandbox.copy, "volume")
            await self._recover(note)
            await sandbox.open_copy()

    async def _recover(self, note: Callable[[str], None]) -> None:
        """Take the project before its copy is mounted: two mounts of one copy at once would harm it."""
        if recovered := await self.workspace.recover():
            note(recovered)

    async def _docker_sandbox(self) -> DockerSandbox:
        return (await self._workshops.docker())[0]

    def _kind(self) -> CopyKind:
        """Which copy is meant where a project has two: the sandbox that was asked for decides."""
        record = read_record(self.place.state)
        if self._settings.sandbox not in ("auto", "docker"):
            return "folder"
        return "folder" if record is not None and record.kinds == ("folder",) else "volume"

    def _absent_kind(self) -> CopyKind:
        """Which copy is left out; of a project that has none it must not look like one in an engine."""
        record = read_record(self.place.state)
        return "volume" if record is not None and "volume" in record.kinds else "folder"

    async def open_history(self, note: Callable[[str], None]) -> None:
        """Reach the project's applies; the copy too, if its engine is there.

        Raises:
            WorkspaceError: If another agentui works on it.
        """
        try:
            await self.open_changes(note)
        except SandboxUnavailable as error:
            note(f"the copy follows at the next start: {error.message}")
            if self._workspace is not None:
                await self._workspace.aclose()
            self._workspace = self._workshops.workspace(AbsentCopy(error), self._absent_kind())
            await self._recover(note)

    async def open_trash(self) -> None:
        """Reach only what applies replaced."""
        absent = AbsentCopy(SandboxUnavailable("the copy was not opened"))
        self._workspace = self._workshops.workspace(absent, self._absent_kind())

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run one command."""
        return await self._opened().sandbox.run(command, on_output)

    async def aclose(self) -> None:
        """End the sandbox; a throwaway copy goes with it."""
        if self._workspace is not None:
            await self._workspace.aclose()
        if self._workshop is not None:
            await self._workshop.sandbox.aclose()
        if self._copy_owner is not None:
            await self._copy_owner.aclose()
        if self.place.is_throwaway:
            await asyncio.to_thread(_remove_throwaway, self.place)

    async def remove(self) -> None:
        """Remove the copy for good; what applies replaced on the host stays for undo.

        Raises:
            SandboxUnavailable: If its engine is not there.
            SandboxError: If something still uses it.
            WorkspaceError: If another agentui works on it.
        """
        record = await asyncio.to_thread(read_record, self.place.state)
        if record is None:
            return
        with _locked(self.place.state):
            if "volume" in record.kinds:
                await (await self._docker_sandbox()).remove_copy()
            if "folder" in record.kinds and self.place.files.is_dir():
                await FolderCopy(self.place.files).clear()
                await asyncio.to_thread(remove_tree, self.place.files)
            await asyncio.to_thread(forget_copies, record)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = ProjectLock(folder / "lock")
    lock.take()
    try:
        yield
    finally:
        lock.free()


def open_bench(
    settings: Settings,
    where: Places,
    project: Path,
    *,
    workspace_id: str | None = None,
    is_kept: bool = True,
    everything: bool = False,
) -> Bench:
    """The bench on a workspace: the named one, else the project's own, else (not kept) a new one.

    Raises:
        UsageError: If there is no workspace of that name.
    """
    if workspace_id is not None:
        record = find_workspace(where, workspace_id)
        files = where.cache / "copies" / record.workspace_id
        place = CopyPlace(record.workspace_id, record.folder, files, everything or record.everything)
        return Bench(settings, where, record.project, place)
    if not is_kept:
        return Bench(settings, where, project, _throwaway(where, project, everything))
    record_of_own = read_record(where.workspace(project))
    was_everything = record_of_own is not None and record_of_own.everything
    place = replace(own_place(where, project), everything=everything or was_everything)
    return Bench(settings, where, project, place)


def find_workspace(where: Places, workspace_id: str) -> WorkspaceRecord:
    """The workspace of that name.

    Raises:
        UsageError: If there is none.
    """
    known = {record.workspace_id: record for record in list_workspaces(where)}
    if workspace_id not in known:
        raise UsageError(
            f"there is no workspace {workspace_id!r}", hint="agentui sandbox list shows those there are"
        )
    return known[workspace_id]


def list_workspaces(where: Places) -> list[WorkspaceRecord]:
    """Every workspace that is kept. Blocking."""
    return read_records(where.workspaces)


def _throwaway(where: Places, project: Path, everything: bool) -> CopyPlace:
    """A new place; those that killed processes left are removed."""
    home = private_folder(where.throwaway)
    for folder in home.iterdir():
        if not _is_alive(folder.name.rpartition("-")[2]):
            remove_tree(folder)
    name = f"{project_key(project)}-{secrets.token_hex(4)}-{os.getpid()}"
    folder = private_folder(home / name)
    return CopyPlace(name, private_folder(folder / name), folder / "copy", everything, is_throwaway=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _remove_throwaway(place: CopyPlace) -> None:
    with contextlib.suppress(OSError):
        remove_tree(place.state.parent)
