"""What an undo gives back beside names, contents and times: owners, attributes, special bits, odd dates."""

from __future__ import annotations

import os
import shutil
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.workspace.trees import HOME, Place, snapshot, write


async def test_a_removed_folder_comes_back_with_its_owner_and_its_attributes(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"d/e/f": "x", "plain": None, "keep": "k"})
    (p.project / "d").chmod(0o3775)
    # In a folder that hands its group on, one without that bit.
    (p.project / "d/e").chmod(0o755)
    with suppress(OSError):
        os.setxattr(p.project / "d", "user.note", b"kept")
    if os.geteuid() == 0:
        os.chown(p.project / "d/e", 1234, 1235)
    before = snapshot(p.project, with_folder_times=True)
    workspace = await p.prepared()
    shutil.rmtree(p.folder / "d")
    (p.folder / "plain").rmdir()
    (p.folder / "plain").write_text("now a file\n")
    await workspace.apply(None, True, "user")
    assert not (p.project / "d").exists()
    await workspace.undo()
    assert snapshot(p.project, with_folder_times=True) == before
    await workspace.redo()
    await workspace.undo()
    assert snapshot(p.project) == {p: (*w[:-1], 0) if w[0] == "dir" else w for p, w in before.items()}


@pytest.mark.parametrize("mode", [0o1644, 0o2755, 0o4755], ids=oct)
async def test_bits_that_do_not_come_into_the_copy_are_no_obstacle_to_an_undo(
    mode: int, tmp_path: Path
) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"content": "1\n", "mode": "1\n", "free": "1\n"})
    for name in ("content", "mode"):
        (p.project / name).chmod(mode)
    before = snapshot(p.project)
    workspace = await p.prepared()
    write(p.folder, {"content": "2\n", "free": "2\n"})
    (p.folder / "mode").chmod(0o600)
    # A program that runs as its owner is never changed by an apply.
    assert {c.path: c.rule for c in await workspace.changes()} == {
        "content": "never" if mode & 0o6000 else "free",
        "mode": "never" if mode & 0o6000 else "free",
        "free": "free",
    }
    await workspace.apply(None, True, "user")
    await workspace.undo()
    assert snapshot(p.project) == before


def _access_list(mode_of_other: int) -> bytes:
    """What the kernel keeps of an access list (linux/posix_acl_xattr.h): tag, permissions, id of each entry."""
    none = 0xFFFFFFFF
    entries = [(1, 6, none), (2, 6, 1234), (4, 4, none), (16, 6, none), (32, mode_of_other, none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


async def test_an_access_list_does_not_bring_back_the_mode_that_was_changed(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"f": "1\n"})
    try:
        os.setxattr(p.project / "f", "system.posix_acl_access", _access_list(4))
    except (AttributeError, OSError):
        pytest.skip("no access lists here")
    before = snapshot(p.project)
    workspace = await p.prepared()
    write(p.folder, {"f": "2\n"})
    (p.folder / "f").chmod(0o600)
    await workspace.apply(None, True, "user")
    assert (p.project / "f").stat().st_mode & 0o777 == 0o600
    await workspace.undo()
    assert snapshot(p.project) == before


@pytest.mark.parametrize("mtime_ns", [-(2**61), -1_500_000_000, 2**63, 13_569_465_600 * 10**9])
async def test_a_file_of_any_date_is_copied_applied_and_undone(mtime_ns: int, tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"f": "1\n", "gone": "1\n"})
    for name in ("f", "gone"):
        os.utime(p.project / name, ns=(mtime_ns, mtime_ns))
    before = snapshot(p.project)
    workspace = await p.prepared()
    write(p.folder, {"f": "2\n", "new": "n\n"})
    (p.folder / "gone").unlink()
    for name in ("f", "new"):
        os.utime(p.folder / name, ns=(mtime_ns, mtime_ns))
    await workspace.apply(None, True, "user")
    assert await workspace.changes() == ()
    await workspace.aclose()
    again = await p.prepared()
    assert await again.changes() == ()
    await again.undo()
    assert snapshot(p.project) == before
