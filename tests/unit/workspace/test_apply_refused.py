"""What a disk refuses while an apply writes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agentui.errors import WorkspaceError
from tests.unit.workspace.trees import HOME, Place, agent_works, snapshot, write, write_story


async def test_disk_full_in_mid_apply_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    before = snapshot(p.project, with_folder_times=True)
    workspace = await p.prepared()
    agent_works(p)
    await workspace.changes()
    real = os.mkdir

    def full(path: object, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if path == b"new" and mode == 0o700:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, mode, dir_fd=dir_fd)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(WorkspaceError, match="nothing was changed"):
        await workspace.apply(None, True, "user")
    monkeypatch.undo()
    assert snapshot(p.project, with_folder_times=True) == before
    assert await workspace.history() == ()
    await workspace.apply(None, True, "user")
    assert snapshot(p.project) == snapshot(p.folder)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "can only be read"), (errno.EACCES, "may not write"), (errno.EPERM, "may not write")],
)
async def test_a_project_that_cannot_be_written_is_told_in_a_sentence(
    number: int, words: str, tmp_path: Path
) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a\udcff": "1\n"})
    before = snapshot(p.project, with_folder_times=True)
    workspace = await p.prepared()
    write(p.folder, {"a\udcff": "2\n"})

    def refuse(point: str) -> None:
        if point == "before take":
            raise OSError(number, os.strerror(number), b"a\xff")

    workspace.on_point = refuse
    with pytest.raises(WorkspaceError) as caught:
        await workspace.apply(None, True, "user")
    assert words in caught.value.message
    assert "nothing was changed" in caught.value.message
    assert "Errno" not in caught.value.message
    assert "b'" not in caught.value.message
    assert snapshot(p.project, with_folder_times=True) == before
    await workspace.aclose()


async def test_a_file_copied_aside_within_one_device_that_cannot_go_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bind mount: one device number, but no rename leads out of it; and here it cannot be written.
    p = Place(tmp_path, HOME)
    write(p.project, {"a.txt": "1\n"})
    before = snapshot(p.project, with_folder_times=True)
    workspace = await p.prepared()
    write(p.folder, {"a.txt": "2\n"})
    rename = os.rename

    def bound(src: bytes, dst: bytes, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        if src == b"a.txt":
            number = errno.EROFS if dst_dir_fd == src_dir_fd else errno.EXDEV
            raise OSError(number, os.strerror(number))
        rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", bound)
    with pytest.raises(WorkspaceError, match="can only be read; nothing was changed"):
        await workspace.apply(None, True, "user")
    monkeypatch.undo()
    assert snapshot(p.project, with_folder_times=True) == before
    assert await workspace.history() == ()
    await workspace.aclose()
