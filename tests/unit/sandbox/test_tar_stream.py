from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.errors import SandboxError
from agentui.sandbox.tar_stream import parents, tar_parts, unpack_files

NAME = st.binary(min_size=1, max_size=120).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
TREE = st.dictionaries(
    st.lists(NAME, min_size=1, max_size=3).map(b"/".join),
    st.tuples(st.binary(max_size=1500), st.integers(0, 2**33 * 10**9), st.integers(0, 0o777)),
    max_size=6,
)


def quiet(files: int, size_bytes: int) -> None:
    """Progress that nobody looks at."""


def read_whole(name: bytes, content: BinaryIO) -> None:
    content.read()


def archive_of(root: Path, paths: list[bytes]) -> bytes:
    return b"".join(tar_parts(root, paths, 1000, quiet))


@settings(max_examples=40, deadline=None)
@given(TREE)
def test_any_tree_survives_tarfile_and_gnu_tar(tree: dict[bytes, tuple[bytes, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "in"
        root.mkdir()
        made: dict[bytes, tuple[bytes, int, int]] = {}
        for path, (content, mtime_ns, mode) in tree.items():
            full = os.path.join(os.fsencode(root), path)
            try:
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "xb") as file:
                    file.write(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue
            os.chmod(full, mode | 0o400)
            os.utime(full, ns=(mtime_ns, mtime_ns))
            made[path] = (content, mtime_ns, mode | 0o400)
        data = archive_of(root, list(made))
        check_with_tarfile(data, made)
        check_with_gnu_tar(data, made, Path(folder))


def check_with_tarfile(data: bytes, made: dict[bytes, tuple[bytes, int, int]]) -> None:
    got: dict[bytes, bytes] = {}

    def write(name: bytes, content: BinaryIO) -> None:
        got[name] = content.read()

    assert unpack_files(io.BytesIO(data), set(made), write) == set(made)
    assert got == {path: content for path, (content, _, _) in made.items()}


def check_with_gnu_tar(data: bytes, made: dict[bytes, tuple[bytes, int, int]], folder: Path) -> None:
    tar = shutil.which("gtar") or shutil.which("tar")
    if tar is None or b"GNU tar" not in subprocess.run([tar, "--version"], capture_output=True).stdout:
        return
    out = folder / "out"
    out.mkdir()
    command = [tar, "-x", "-p", "--no-same-owner", "--warning=no-timestamp", "-C", str(out), "-f", "-"]
    done = subprocess.run(command, input=data, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    for path, (content, mtime_ns, mode) in made.items():
        full = os.path.join(os.fsencode(out), path)
        status = os.lstat(full)
        with open(full, "rb") as file:
            assert file.read() == content
        assert (status.st_mtime_ns, status.st_mode & 0o777) == (mtime_ns, mode)


def test_parents_are_named_outermost_first() -> None:
    assert list(parents(b"a/b/c")) == [b"a", b"a/b"]
    assert list(parents(b"a")) == []


def test_links_are_stored_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("../secret")
    (root / "long").symlink_to("l" * 200)
    data = archive_of(root, [b"link", b"long"])
    assert b"secret\0" not in data.replace(b"../secret", b"")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(m.name, m.issym(), m.linkname) for m in archive] == [
            ("link", True, "../secret"),
            ("long", True, "l" * 200),
        ]


def test_special_files_are_left_out_and_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "f").write_bytes(b"x")
    with tarfile.open(fileobj=io.BytesIO(archive_of(tmp_path, [b"pipe", b"f"]))) as archive:
        assert archive.getnames() == ["f"]


def test_a_sparse_file_keeps_its_apparent_size(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 * 1024 * 1024 + 17)
    with tarfile.open(fileobj=io.BytesIO(archive_of(tmp_path, [b"sparse"]))) as archive:
        assert [(m.name, m.size) for m in archive] == [("sparse", 3 * 1024 * 1024 + 17)]


def test_an_archive_that_ends_early_is_not_taken_for_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 5000)
    data = archive_of(tmp_path, [b"f"])[:3000]
    with pytest.raises(SandboxError, match="not arrive whole"):
        unpack_files(io.BytesIO(data), {b"f"}, read_whole)


def test_what_was_not_asked_for_is_passed_over(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    got: list[bytes] = []
    came = unpack_files(
        io.BytesIO(archive_of(tmp_path, [b"a", b"b"])), {b"b"}, lambda name, _: got.append(name)
    )
    assert (came, got) == ({b"b"}, [b"b"])
