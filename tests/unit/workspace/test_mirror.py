"""Files carried from one private copy into another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentui.sandbox.folder_copy import FolderCopy
from agentui.workspace.mirror import mirror, write_back


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path, Path]:
    folders = tmp_path / "from", tmp_path / "to", tmp_path / "scratch"
    for folder in folders:
        folder.mkdir()
    return folders


async def facts(folder: Path) -> list[tuple[object, ...]]:
    """Everything of a tree but the times of folders."""
    return sorted(
        (e.path, e.type, e.mode, e.link_target, (e.size_bytes, e.mtime_ns) if e.type == "file" else None)
        for e in await FolderCopy(folder).manifest()
    )


async def test_a_mirror_has_names_modes_times_and_links_of_the_source(copies: tuple[Path, Path, Path]) -> None:
    source, target, scratch = copies
    (source / "a/b").mkdir(parents=True)
    (source / "empty").mkdir(mode=0o750)
    (source / "a/b/new\nline").write_text("x")
    os.utime(source / "a/b/new\nline", ns=(10**18, 10**18))
    Path(os.fsdecode(os.fsencode(source) + b"/\xff")).write_bytes(b"bad name")
    (source / "run").write_text("#!/bin/bash\n")
    (source / "run").chmod(0o755)
    (source / "out").symlink_to("/etc/passwd")
    (source / "a/closed").mkdir()
    (source / "a/closed/in").write_text("y")
    os.mkfifo(source / "pipe")
    await mirror(FolderCopy(source), FolderCopy(target), scratch)
    (source / "pipe").unlink()
    assert await facts(target) == await facts(source)
    assert list(scratch.iterdir()) == []


async def test_only_what_the_globs_name_and_what_differs_is_written(copies: tuple[Path, Path, Path]) -> None:
    source, target, scratch = copies
    for root in (source, target):
        (root / "docs").mkdir()
        (root / "docs/same").write_text("same")
        os.utime(root / "docs/same", ns=(5, 5))
        (root / "docs/old").write_text("old")
        (root / "src").write_text("src")
    (source / "src").write_text("changed")
    (source / "docs/old").unlink()
    (source / "docs/fresh").write_text("fresh")
    (source / "docs/.GIT").mkdir()
    (source / "docs/.GIT/config").write_text("x")
    kept = (target / "docs/same").stat().st_ino
    written, removed = await write_back(FolderCopy(source), FolderCopy(target), ["docs/"], scratch)
    assert (written, removed) == (["docs/fresh"], ["docs/old"])
    assert (target / "src").read_text() == "src"
    assert (target / "docs/same").stat().st_ino == kept
    assert sorted(path.name for path in (target / "docs").iterdir()) == ["fresh", "same"]


async def test_a_folder_that_became_a_file_is_one_after_writing_back(copies: tuple[Path, Path, Path]) -> None:
    source, target, scratch = copies
    (target / "x").mkdir()
    (target / "x/in").write_text("in")
    (source / "x").write_text("now a file")
    written, removed = await write_back(FolderCopy(source), FolderCopy(target), ["*"], scratch)
    assert (written, removed) == (["x"], ["x/in"])
    assert (target / "x").read_text() == "now a file"


async def test_a_link_of_the_source_never_leads_the_writing_out_of_the_target(
    copies: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    source, target, scratch = copies
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "docs").symlink_to(outside)
    (source / "docs").mkdir()
    (source / "docs/a").write_text("a")
    await write_back(FolderCopy(source), FolderCopy(target), ["**"], scratch)
    assert list(outside.iterdir()) == []
    assert (target / "docs/a").read_text() == "a"
