from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agentui.errors import WorkspaceError
from agentui.sandbox.none import NoSandbox
from agentui.view.notices import notice_of
from agentui.workspace.commits import HostRepository
from agentui.workspace.workspace import Workspace
from tests.unit.test_program import HANGS, is_gone
from tests.unit.workspace.trees import HOME, snapshot, write


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
async def at(tmp_path: Path) -> Place:
    return await Place.make(tmp_path)


class Place:
    """A project with a commit, and its copy in which commands run on this machine."""

    def __init__(self, root: Path) -> None:
        self.project, self.copy = root / "project", root / "copy"
        self.project.mkdir()
        git(self.project, "init", "-q")
        write(self.project, {"a": "1\n"})
        git(self.project, "add", ".")
        git(self.project, "commit", "-qm", "the user's")
        self.sandbox = NoSandbox(self.copy)
        self.workspace = Workspace(self.project, self.sandbox.copy, root / "state", HOME)

    @classmethod
    async def make(cls, root: Path) -> Place:
        place = cls(root)
        await place.sandbox.start(lambda text: None)
        await place.workspace.prepare(lambda event: None)
        return place


async def test_commits_come_as_objects_below_a_ref_and_no_branch_or_file_changes(at: Place) -> None:
    write(at.copy, {"a": "2\n"})
    git(at.copy, "commit", "-qam", "the agent's")
    git(at.copy, "checkout", "-qb", "other")
    git(at.copy, "commit", "-q", "--allow-empty", "-m", "another")
    before = {path: what for path, what in snapshot(at.project).items() if not path.startswith(b".git")}
    branches = git(at.project, "for-each-ref", "refs/heads")
    taken = await at.workspace.take_commits(at.sandbox)
    assert [line.partition(" ")[2] for line in taken.commits] == ["another", "the agent's"]
    refs = git(at.project, "for-each-ref", "--format=%(refname)", "refs/agentui").split()
    assert refs == [f"{taken.ref}/main", f"{taken.ref}/other"]
    assert git(at.project, "show", f"{taken.ref}/main:a") == "2\n"
    assert git(at.project, "for-each-ref", "refs/heads") == branches
    assert git(at.project, "status", "--porcelain") == ""
    after = {path: what for path, what in snapshot(at.project).items() if not path.startswith(b".git")}
    assert after == before
    assert not (at.project / ".git/FETCH_HEAD").exists()
    assert not (at.copy / ".git/agentui.bundle").exists()
    with pytest.raises(WorkspaceError, match="no commits"):
        await at.workspace.take_commits(at.sandbox)


async def test_no_hook_or_setting_of_the_copy_runs_on_the_host(at: Place, tmp_path: Path) -> None:
    ran = tmp_path / "RAN"
    git(at.copy, "commit", "-q", "--allow-empty", "-m", "evil\x1b[2J")
    script = f"#!/bin/sh\necho ran >>{ran}\n"
    for hook in ("reference-transaction", "post-fetch", "post-update", "pre-auto-gc"):
        for repository in (at.project, at.copy):
            write(repository, {f".git/hooks/{hook}": script})
            (repository / ".git/hooks" / hook).chmod(0o755)
    (at.copy / ".git/hooks/reference-transaction").unlink()
    taken = await at.workspace.take_commits(at.sandbox)
    assert len(taken.commits) == 1
    assert not ran.exists()


async def test_a_detached_head_and_a_damaged_bundle(at: Place) -> None:
    git(at.copy, "checkout", "-q", "--detach")
    git(at.copy, "commit", "-q", "--allow-empty", "-m", "loose")
    taken = await at.workspace.take_commits(at.sandbox)
    assert git(at.project, "log", "-1", "--format=%s", f"{taken.ref}/HEAD") == "loose\n"


async def with_a_secret(at: Place) -> None:
    """The user commits a file that is never copied, and one that is."""
    write(at.project, {".env": "TOKEN=1\n", "gone": "x\n"})
    git(at.project, "add", "-f", ".")
    git(at.project, "commit", "-qm", "with a secret")
    await at.workspace.prepare(lambda event: None)
    assert not (at.copy / ".env").exists()


async def test_a_tracked_file_that_the_copy_never_had_is_not_deleted_by_a_commit_of_everything(
    at: Place,
) -> None:
    await with_a_secret(at)
    before = (at.project / ".git/index").read_bytes()
    assert git(at.copy, "status", "--porcelain") == ""
    git(at.copy, "rm", "-q", "gone")
    git(at.copy, "add", "-A")
    git(at.copy, "commit", "-qam", "the agent's")
    taken = await at.workspace.take_commits(at.sandbox)
    assert taken.uncopied == ()
    assert git(at.project, "show", f"{taken.ref}/main:.env") == "TOKEN=1\n"
    assert (at.project / ".git/index").read_bytes() == before


async def test_what_the_copy_never_had_is_named_where_a_commit_deletes_it_after_all(at: Place) -> None:
    await with_a_secret(at)
    (at.copy / ".git/index").unlink()
    git(at.copy, "add", "-A")
    git(at.copy, "commit", "-qm", "the agent's")
    taken = await at.workspace.take_commits(at.sandbox)
    assert taken.uncopied == (".env",)
    assert ".env" in str(notice_of(taken))


async def test_a_project_without_a_repository_says_so(tmp_path: Path) -> None:
    project, copy = tmp_path / "project", tmp_path / "copy"
    write(project, {"a": "1"})
    sandbox = NoSandbox(copy)
    await sandbox.start(lambda text: None)
    workspace = Workspace(project, sandbox.copy, tmp_path / "state", HOME)
    await workspace.prepare(lambda event: None)
    git(copy, "init", "-q")
    git(copy, "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(WorkspaceError, match="in no git repository of yours"):
        await workspace.take_commits(sandbox)


def test_a_git_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"bin/git": f"#!/bin/sh\n{HANGS}\n"})
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr("agentui.workspace.commits.TIMEOUT_S", 0.5)
    with pytest.raises(WorkspaceError, match=r"git for-each-ref did not run .* timed out"):
        HostRepository(tmp_path).known()
    assert is_gone(int((tmp_path / "pid").read_text()))
