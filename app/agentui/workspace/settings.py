"""What a project may decide about its private copy, and the question a very large project raises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentui.errors import WorkspaceError
from agentui.text import human_copy_size

CopyKind = Literal["volume", "folder"]
"""What keeps the files of a copy; a project may have one of each."""

DEFAULT_SEED_BYTES = 500_000_000
MAX_DEPTH = 120
"""Folders deeper than this are neither copied for the agent nor brought back."""


@dataclass(frozen=True, slots=True)
class WorkspaceSettings:
    """The ``[seed]`` table and its neighbours, as values.

    `include` and `exclude` are patterns in the form of a ``.gitignore``, relative to the project; include takes
    even ignored files and secrets, exclude wins over everything. `everything` seeds those without a pattern.
    `max_seed_bytes` None means the user has agreed to any size. `folds_case` None means: find out.
    `global_ignore` is the user's own ignore file (git's ``core.excludesFile``), if there is one.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    everything: bool = False
    with_git: bool = True
    max_seed_bytes: int | None = DEFAULT_SEED_BYTES
    max_file_bytes: int = 512 * 1024 * 1024
    folds_case: bool | None = None
    global_ignore: Path | None = None
    home: Path | None = None


@dataclass(frozen=True, slots=True)
class FolderSize:
    """How much of the seed lies below a folder; `path` as in `Change.path`, ``.`` for the project itself."""

    path: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SeedQuestion:
    """A project too large to be copied without a yes; `folders` are the largest, at most two levels deep."""

    files: int
    size_bytes: int
    limit_bytes: int
    folders: tuple[FolderSize, ...]

    def tree(self) -> str:
        """The question's figures as lines, folders below their parents, the largest first."""
        size = human_copy_size(self.size_bytes)
        lines = [f"{self.files:,} files, {size}; leave some out with [seed] exclude"]
        tops = [folder for folder in self.folders if "/" not in folder.path]
        for top in tops:
            inner = [folder for folder in self.folders if folder.path.startswith(top.path + "/")]
            lines += [_size_line(top, 0), *(_size_line(folder, 1) for folder in inner)]
        return "\n".join(lines)


def _size_line(folder: FolderSize, depth: int) -> str:
    name = folder.path.rpartition("/")[2] if depth else folder.path
    return f"{human_copy_size(folder.size_bytes):>12} {folder.files:7,} files  {'  ' * depth}{name}"


class SeedTooLarge(WorkspaceError):
    """The project is larger than may be copied unasked; nothing was copied.

    Ask the user, then prepare again with `max_seed_bytes` None or with more `exclude` patterns.
    """

    def __init__(self, question: SeedQuestion) -> None:
        largest = ", ".join(f"{f.path} {human_copy_size(f.size_bytes)}" for f in question.folders[:3])
        super().__init__(
            f"the project has {human_copy_size(question.size_bytes)} to copy, "
            f"more than the {human_copy_size(question.limit_bytes)} that are copied unasked ({largest})",
            hint=f"leave folders out with [seed] exclude, or agree to the size: "
            f"--seed-limit {question.size_bytes // 2**20 + 1}m",
        )
        self.question = question
