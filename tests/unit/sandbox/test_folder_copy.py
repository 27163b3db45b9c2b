"""A copy in a folder, with trees that only commands would make."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentui.errors import SandboxError
from agentui.sandbox import folder_copy
from agentui.sandbox.folder_copy import FolderCopy
from agentui.workspace.copystate import remove_tree

LEVELS = 2_500
"""Deeper than Python's stack, and than a path can name."""


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "copy"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for level in range(LEVELS):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        if level % 100 == 99:
            os.chmod("d", 0o500, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    (folder / "beside").write_text("b")
    yield folder
    # pytest's own cleaning goes down by recursion.
    remove_tree(folder)


async def test_a_tree_deeper_than_a_path_can_name_is_listed_as_far_as_it_has_names(deep: Path) -> None:
    entries = {entry.path: entry for entry in await FolderCopy(deep).manifest()}
    assert entries[b"beside"].type == "file"
    assert 1_500 < len(entries) < LEVELS
    assert all(entry.type == "dir" for path, entry in entries.items() if path != b"beside")


async def test_such_a_tree_is_removed_and_nothing_else(deep: Path) -> None:
    await FolderCopy(deep).remove([b"d"])
    assert os.listdir(deep) == ["beside"]


async def test_a_copy_with_such_a_tree_is_cleared_and_taken_away(deep: Path) -> None:
    copy = FolderCopy(deep)
    os.mkdir(deep / "closed", 0o000)
    assert [stat.S_IMODE(os.lstat(deep / "closed").st_mode), len(await copy.manifest()) > 1_500] == [0, True]
    assert stat.S_IMODE(os.lstat(deep / "closed").st_mode) == 0
    remove_tree(deep)
    assert not deep.exists()
    remove_tree(deep)


async def test_more_entries_than_memory_may_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_copy, "MAX_ENTRIES", 3)
    for name in "abc":
        (tmp_path / name).write_text(name)
    assert len(await FolderCopy(tmp_path).manifest()) == 3
    (tmp_path / "d").mkdir()
    with pytest.raises(SandboxError, match="too many"):
        await FolderCopy(tmp_path).manifest()
