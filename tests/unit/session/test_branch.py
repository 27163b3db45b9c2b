from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agentui.session.branch import read_branch


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_the_branch_is_found_also_from_a_folder_below(repository: Path) -> None:
    assert read_branch(repository) == "main"
    git(repository, "checkout", "-q", "-b", "feature/x-1")
    (repository / "a" / "b").mkdir(parents=True)
    assert read_branch(repository / "a" / "b") == "feature/x-1"


def test_a_worktree_has_its_own_branch(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert read_branch(tmp_path / "side") == "side"
    assert read_branch(repository) == "main"


def test_without_a_branch_the_commit_is_named(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    found = read_branch(repository)
    assert found is not None
    assert len(found) == 7


def test_outside_git_there_is_none(tmp_path: Path) -> None:
    assert read_branch(tmp_path) is None


def test_odd_files_in_the_place_of_git_are_no_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".git")
    assert read_branch(tmp_path) is None
    (tmp_path / "a" / ".git").mkdir(parents=True)
    assert read_branch(tmp_path / "a") is None
    (tmp_path / "a" / ".git" / "HEAD").write_bytes(b"\xff\x00 nonsense")
    assert read_branch(tmp_path / "a") is None
