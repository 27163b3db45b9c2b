"""Unpacking what npm packed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from agentui.harness.pi.install import _unpack


def archive(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    place = folder / "pack.tgz"
    with tarfile.open(place, "w:gz") as packed:
        for info, content in members:
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return place


def file(name: str, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_a_package_replaces_the_one_before_with_its_files_and_their_modes(tmp_path: Path) -> None:
    target = tmp_path / "modules" / "pi"
    target.mkdir(parents=True)
    (target / "old").touch()
    _unpack(
        archive(
            tmp_path,
            (file("package/package.json"), b"{}"),
            (file("package/bin/pi", 0o4755), b"#!node"),
            (file("package/x", 0), b""),
        ),
        target,
    )
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*")) == [
        "bin",
        "bin/pi",
        "package.json",
        "x",
    ]
    assert (target / "bin/pi").stat().st_mode & 0o7777 == 0o755
    assert (target / "package.json").stat().st_mode & 0o7777 == 0o644
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["../out", "/tmp/agentui-out", "package/../../out"])
def test_a_file_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "modules" / "pi"
    with pytest.raises(tarfile.TarError, match="outside"):
        _unpack(archive(tmp_path, (file(name), b"x")), target)
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/agentui-out").exists()


def test_links_are_not_made_so_that_nothing_is_written_through_them(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "modules" / "pi"
    _unpack(archive(tmp_path, (link("package/way", str(outside)), b""), (file("package/way/in"), b"x")), target)
    assert (target / "way").is_dir()
    assert not (target / "way").is_symlink()
    assert list(outside.iterdir()) == []
