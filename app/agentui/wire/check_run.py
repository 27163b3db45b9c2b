"""One check from the command line, without a session."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from agentui.config.settings import Settings
from agentui.errors import WorkspaceError
from agentui.paths import Places, git_folder, private_folder, project_key
from agentui.sandbox.base import CommandResult, Copy, OnOutput
from agentui.wire.checks import open_checks
from agentui.workspace.checks import CheckCall, Checks
from agentui.workspace.lock import ProjectLock
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.user_ignore import user_ignore_file


async def run_check(
    settings: Settings,
    where: Places,
    project: Path,
    command: str,
    on_output: OnOutput,
    note: Callable[[str], None],
    *,
    is_fresh: bool,
) -> CommandResult:
    """Run ``check NAME …`` on the project's private copy; with `is_fresh`, or without a copy, on a fresh one.

    `note` says which. A session that works on the copy has it to itself: then the check gets a fresh one too.
    What a check writes back into a fresh copy goes with it.

    Raises:
        WorkspaceError: If the project cannot be copied.
    """
    if not is_fresh and (result := await _on_workspace(settings, where, project, command, on_output, note)):
        return result
    note("on a fresh copy of the folder")
    with tempfile.TemporaryDirectory(prefix="check-", dir=private_folder(where.cache)) as folder:
        copy = await seed_folder(settings, where, project, Path(folder))
        checks = open_checks(settings, where, project, "", copy, "")
        return await _run(checks, command, on_output)


async def _on_workspace(
    settings: Settings,
    where: Places,
    project: Path,
    command: str,
    on_output: OnOutput,
    note: Callable[[str], None],
) -> CommandResult | None:
    """The result on the private copy; ``None`` if there is none to use now."""
    from agentui.sandbox.docker import DockerSandbox
    from agentui.sandbox.docker_volume import has_workspace
    from agentui.wire.servers import tools_image

    state = where.workspace(project)
    if not (state / "lock").exists():
        return None
    tools = await asyncio.to_thread(tools_image, settings)
    workspace_id = project_key(project)
    if not await asyncio.to_thread(has_workspace, tools.engine, workspace_id):
        return None
    lock = ProjectLock(state / "lock")
    try:
        await asyncio.to_thread(lock.take)
    except WorkspaceError as error:
        note(f"the private copy is in use ({error.message})")
        return None
    try:
        note("on the private copy, with the agent's changes")
        holder = DockerSandbox(tools.engine, tools, workspace_id, uid=os.getuid() or 1000)
        await holder.open_copy()
        try:
            checks = open_checks(settings, where, project, "", holder.copy, workspace_id)
            return await _run(checks, command, on_output)
        finally:
            await holder.aclose()
    finally:
        lock.free()


async def _run(checks: Checks, command: str, on_output: OnOutput) -> CommandResult:
    call = checks.called(command) or CheckCall("", problem="no check is configured for this project")
    return await checks.run(call, on_output)


async def seed_folder(settings: Settings, where: Places, project: Path, folder: Path) -> Copy:
    """Copy a project to ``copy`` in `folder`, as an agent would get it.

    Raises:
        WorkspaceError: If the project cannot be copied.
    """
    from agentui.sandbox.folder_copy import FolderCopy
    from agentui.workspace.workspace import Workspace

    copy = FolderCopy(private_folder(folder / "copy"))
    chosen = WorkspaceSettings(
        include=settings.seed_include,
        exclude=settings.seed_exclude,
        global_ignore=user_ignore_file(where.home, git_folder()),
        home=where.home,
    )
    workspace = Workspace(project, copy, private_folder(folder / "state"), chosen)
    try:
        await workspace.prepare(lambda event: None)
    finally:
        await workspace.aclose()
    return copy
