"""The branch of a project, read from its files: no git is ever run in the user's tree."""

from __future__ import annotations

import re
from pathlib import Path

_MAX_BYTES = 4096
_REF = re.compile(r"ref: refs/heads/(\S.*)")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def read_branch(project: Path) -> str | None:
    """The branch that `project` is on, seven digits of the commit where it is on none; ``None`` outside git.

    Looks in the folders above too, and follows the ``.git`` file of a worktree or submodule. The name is as
    found: whoever shows it cleans it.
    """
    for folder in (project, *project.parents):
        git = _git_folder(folder / ".git")
        if git is not None:
            return _head(git)
    return None


def _git_folder(dot_git: Path) -> Path | None:
    if dot_git.is_dir():
        return dot_git
    line = _first_line(dot_git)
    if line is None or not line.startswith("gitdir:"):
        return None
    return dot_git.parent / line.removeprefix("gitdir:").strip()


def _head(git: Path) -> str | None:
    line = _first_line(git / "HEAD") or ""
    if match := _REF.fullmatch(line):
        return match[1]
    return line[:7] if _HASH.fullmatch(line) else None


def _first_line(path: Path) -> str | None:
    try:
        # Not a pipe or device that somebody left there: reading one could wait for ever.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.readline(_MAX_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None
