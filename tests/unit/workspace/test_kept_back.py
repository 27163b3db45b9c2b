from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agentui.workspace.gitindex import parse_index, skipping
from tests.unit.workspace.test_select import git
from tests.unit.workspace.trees import HOME, Place, write


def status(folder: Path) -> str:
    words = ["git", "-c", "safe.directory=*", "status", "--porcelain"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def skipped(folder: Path) -> set[str]:
    """What git itself says is marked."""
    words = ["git", "ls-files", "-t"]
    lines = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line[2:] for line in lines if line.startswith("S ")}


def commit(folder: Path) -> None:
    git(folder, "add", "-f", ".")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")


@pytest.fixture
def at(tmp_path: Path) -> Place:
    place = Place(tmp_path, HOME)
    git(place.project, "init", "-q")
    write(place.project, {"a": "1\n", ".env": "TOKEN=1\n", "deep/er/key.pem": "k\n", "deep/er/b": "b\n"})
    commit(place.project)
    return place


@pytest.mark.parametrize("version", ["2", "3", "4"])
async def test_git_in_the_copy_misses_no_file_that_was_kept_back(at: Place, version: str) -> None:
    git(at.project, "update-index", "--index-version", version)
    before = (at.project / ".git/index").read_bytes()
    await at.prepared()
    assert status(at.folder) == ""
    assert skipped(at.folder) == {".env", "deep/er/key.pem"}
    assert subprocess.run(["git", "fsck", "--strict"], cwd=at.folder, check=True, capture_output=True)
    assert (at.project / ".git/index").read_bytes() == before


async def test_what_the_user_deleted_is_deleted_in_the_copy_too(at: Place) -> None:
    (at.project / ".env").unlink()
    (at.project / "a").unlink()
    await at.prepared()
    assert status(at.folder) == " D .env\n D a\n"


async def test_marks_follow_the_users_own_commits_and_deletions(at: Place) -> None:
    workspace = await at.prepared()
    write(at.project, {"c.key": "k\n"})
    commit(at.project)
    await workspace.host_edits_in()
    assert status(at.folder) == ""
    assert skipped(at.folder) == {".env", "deep/er/key.pem", "c.key"}
    (at.project / "c.key").unlink()
    await workspace.host_edits_in()
    assert status(at.folder) == " D c.key\n"


async def test_a_file_that_is_copied_by_now_is_no_longer_marked(at: Place) -> None:
    workspace = await at.prepared()
    await workspace.aclose()
    at.settings = replace(HOME, include=(".env",))
    workspace = at.workspace()
    await workspace.prepare(at.events.append)
    assert (at.folder / ".env").read_text() == "TOKEN=1\n"
    assert skipped(at.folder) == {"deep/er/key.pem"}
    write(at.folder, {".env": "TOKEN=2\n"})
    assert status(at.folder) == " M .env\n"


async def test_a_copy_with_everything_has_no_marks(at: Place) -> None:
    at.settings = replace(HOME, everything=True)
    await at.prepared()
    assert skipped(at.folder) == set()
    assert status(at.folder) == ""


async def test_whole_folders_that_stay_behind_are_marked(at: Place) -> None:
    write(at.project, {".aws/config": "c\n", "assets/1/2": "2\n"})
    commit(at.project)
    at.settings = replace(HOME, exclude=("assets/",))
    await at.prepared()
    assert not (at.folder / "assets").exists()
    assert status(at.folder) == ""


async def test_submodules_and_nested_repositories_have_their_own_marks(at: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, {".env": "O=1\n", "o": "o\n"})
    git(other, "init", "-q")
    commit(other)
    git(at.project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    write(at.project, {"nested/.env": "N=1\n", "nested/n": "n\n"})
    git(at.project / "nested", "init", "-q")
    commit(at.project / "nested")
    commit(at.project)
    await at.prepared()
    for folder in ("sub", "nested"):
        assert not (at.folder / folder / ".env").exists()
        assert skipped(at.folder / folder) == {".env"}
        assert status(at.folder / folder) == ""
    assert skipped(at.folder) == {".env", "deep/er/key.pem"}


async def test_a_discard_of_what_git_wrote_keeps_the_marks(at: Place) -> None:
    workspace = await at.prepared()
    git(at.folder, "rm", "-q", "a")
    git(at.folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "agent")
    await workspace.changes()
    await workspace.discard(None)
    assert skipped(at.folder) == {".env", "deep/er/key.pem"}
    assert status(at.folder) == ""


def test_paths_in_a_merge_conflict_are_left_as_they_are(tmp_path: Path) -> None:
    def run(*words: str, check: bool = True) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=check, capture_output=True)

    run("init", "-q")
    write(tmp_path, {".env": "1\n"})
    run("add", "-f", ".env")
    run("commit", "-qm", "1")
    run("checkout", "-qb", "other")
    write(tmp_path, {".env": "2\n"})
    run("commit", "-qam", "2")
    run("checkout", "-q", "main")
    write(tmp_path, {".env": "3\n"})
    run("commit", "-qam", "3")
    run("merge", "-q", "other", check=False)
    data = (tmp_path / ".git/index").read_bytes()
    marked = skipping(data, {b".env"})
    assert parse_index(marked) == parse_index(data)
    (tmp_path / ".git/index").write_bytes(marked)
    assert status(tmp_path) == "UU .env\n"
    assert skipped(tmp_path) == set()
