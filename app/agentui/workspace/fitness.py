"""Which folders may be a project at all."""

from __future__ import annotations

from pathlib import Path

from agentui.errors import ProjectUnfit


def refuse_unfit(project: Path, state: Path, home: Path | None) -> None:
    """Refuse projects whose copy would be the whole machine or hold our own state.

    Raises:
        ProjectUnfit: If `project` is no folder, the root, the home folder or above it, or overlaps `state`.
    """
    real, home = project.resolve(), (home or Path.home()).resolve()
    if not real.is_dir():
        raise ProjectUnfit(f"{project} is not a folder", hint="start in the folder of a project, or use -C DIR")
    if real == home or real in home.parents or real == Path(real.anchor):
        raise ProjectUnfit(
            f"{real} is too much to be copied for an agent", hint="start in the folder of one project"
        )
    held = state.resolve()
    if real == held or real in held.parents or held in real.parents:
        raise ProjectUnfit(f"{real} and agentui's own folder {held} lie inside each other")
