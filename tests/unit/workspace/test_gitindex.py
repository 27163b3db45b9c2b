from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.workspace.gitindex import IndexUnreadable, parse_index, repository_at, tracked_paths
from tests.unit.workspace.test_select import git
from tests.unit.workspace.trees import write

NAMES = ["a", "dir/b", "dir/bc", "dir/bcd/e f", "x" * 200 + "/long", "z\ty", "é"]


def _repository(folder: Path, version: int, *arguments: str) -> frozenset[bytes]:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q", *arguments)
    write(folder, {name: "1" for name in NAMES})
    git(folder, "add", ".")
    git(folder, "update-index", "--index-version", str(version))
    repository = repository_at(folder)
    assert repository is not None
    return tracked_paths(repository)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_every_version_gives_what_git_lists(version: int, tmp_path: Path) -> None:
    assert _repository(tmp_path, version) == {name.encode() for name in NAMES}


def test_settings_of_empty_lines_only_are_read_in_linear_time(tmp_path: Path) -> None:
    repository = repository_at(tmp_path) if _repository(tmp_path, 2) else None
    assert repository is not None
    (repository.common_dir / "config").write_bytes(b"\n" * 200_000)  # what is quadratic here takes minutes
    assert tracked_paths(repository) == {name.encode() for name in NAMES}


def test_extended_flags_and_sha256_are_understood(tmp_path: Path) -> None:
    found = _repository(tmp_path, 2, "--object-format=sha256")
    assert found == {name.encode() for name in NAMES}
    write(tmp_path, {"intended": "1"})
    git(tmp_path, "add", "-N", "intended")
    repository = repository_at(tmp_path)
    assert repository is not None
    assert b"intended" in tracked_paths(repository)


def test_a_split_index_is_refused_rather_than_read_by_half(tmp_path: Path) -> None:
    _repository(tmp_path, 2)
    git(tmp_path, "update-index", "--split-index")
    repository = repository_at(tmp_path)
    assert repository is not None
    with pytest.raises(IndexUnreadable, match="split"):
        tracked_paths(repository)


def test_an_index_cannot_name_paths_outside(tmp_path: Path) -> None:
    _repository(tmp_path, 2)
    data = (tmp_path / ".git" / "index").read_bytes()
    hostile = data.replace(b"dir/b\0", b"../.b\0")
    assert hostile != data
    assert b"../.b" not in parse_index(hostile)


@given(st.binary(max_size=400), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_damaged_bytes_never_do_more_than_be_refused(rest: bytes, version: int, count: int) -> None:
    data = b"DIRC" + version.to_bytes(4, "big") + count.to_bytes(4, "big") + rest
    try:
        found = parse_index(data)
    except IndexUnreadable:
        return
    assert len(found) <= count


@given(st.data())
def test_a_cut_index_is_refused(data: st.DataObject) -> None:
    whole = _INDEX
    # The end of the last name; only padding and the checksum follow.
    cut = data.draw(st.integers(0, whole.rindex(b"name\0") + 4))
    with pytest.raises(IndexUnreadable):
        parse_index(whole[:cut] + b"\0" * 20)


def _make_index() -> bytes:
    entry = (
        bytes(24) + (0o100644).to_bytes(4, "big") + bytes(12) + bytes(20) + (4).to_bytes(2, "big") + b"name\0"
    )
    entry += bytes(-len(entry) % 8)
    return b"DIRC" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + entry * 3 + bytes(20)


_INDEX = _make_index()


def test_the_made_index_is_good() -> None:
    assert parse_index(_INDEX) == {b"name"}


def test_git_is_never_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _repository(tmp_path, 2)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    repository = repository_at(tmp_path)
    assert repository is not None
    assert tracked_paths(repository)
