from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.events import HostEditsCopied, WorkspaceConflicted, WorkspaceSeeded
from tests.unit.workspace.strategies import Folder, build, evolved, rebuild, trees
from tests.unit.workspace.test_select import git
from tests.unit.workspace.trees import HOME, Place, place, snapshot, write

TEXT = "".join(f"line {n}\n" for n in range(10))


async def test_what_the_user_edits_comes_into_the_copy(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1", "b": "1", "d/x": "1", "d/y": "1", "f": "1"})
    workspace = await p.prepared()
    assert await workspace.host_edits_in() is None
    write(p.project, {"a": "2", "new/deep/n": "n", "empty": None})
    (p.project / "b").unlink()
    shutil.rmtree(p.project / "d")
    (p.project / "f").unlink()
    write(p.project, {"f/now": "a folder"})
    (p.project / "a").chmod(0o600)
    os.symlink("a", p.project / "link")
    told = await workspace.host_edits_in()
    assert told == HostEditsCopied(("a", "b", "d/x", "d/y", "empty", "f/now", "link", "new/deep/n"))
    assert snapshot(p.folder) == snapshot(p.project)
    assert await workspace.changes() == ()
    assert await workspace.host_edits_in() is None


async def test_edits_of_both_in_different_places_are_merged(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": TEXT, "other": "1"})
    workspace = await p.prepared()
    write(p.folder, {"a": TEXT.replace("line 8", "the agent's")})
    write(p.project, {"a": TEXT.replace("line 1", "the user's"), "other": "2"})
    told = await workspace.host_edits_in()
    assert told == HostEditsCopied(("other",), ("a",))
    both = TEXT.replace("line 1", "the user's").replace("line 8", "the agent's")
    assert (p.folder / "a").read_text() == both
    [change] = await workspace.changes()
    assert (change.path, change.rule, change.added_lines, change.removed_lines) == ("a", "free", 1, 1)
    assert "the user's" not in "".join(
        line for line in (await workspace.diff_text("a")).splitlines() if line[:1] in "+-"
    )
    await workspace.apply(None, False, "user")
    assert (p.project / "a").read_text() == both
    await workspace.undo()
    assert (p.project / "a").read_text() == TEXT.replace("line 1", "the user's")


async def test_edits_of_both_in_one_place_are_a_conflict_and_both_are_kept(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": TEXT})
    workspace = await p.prepared()
    write(p.folder, {"a": TEXT.replace("line 5", "the agent's")})
    write(p.project, {"a": TEXT.replace("line 5", "the user's")})
    assert await workspace.host_edits_in() == WorkspaceConflicted(("a",))
    assert await workspace.host_edits_in() is None
    assert "the agent's" in (p.folder / "a").read_text()
    assert "the user's" in (p.project / "a").read_text()
    [change] = await workspace.changes()
    assert change.rule == "conflict"
    diff = await workspace.diff_text("a")
    assert "-the user's" in diff
    assert "+the agent's" in diff
    # The user goes on editing the conflict: that is news.
    write(p.project, {"a": TEXT.replace("line 5", "again the user's")})
    assert await workspace.host_edits_in() == WorkspaceConflicted(("a",))
    # The agent takes the user's version: no conflict any more.
    write(p.folder, {"a": TEXT.replace("line 5", "again the user's")})
    assert await workspace.host_edits_in() is None
    assert await workspace.changes() == ()


async def test_copied_and_conflicting_edits_are_told_one_after_the_other(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": TEXT, "b": "1"})
    workspace = await p.prepared()
    write(p.folder, {"a": "agent\n"})
    write(p.project, {"a": "user\n", "b": "2"})
    assert await workspace.host_edits_in() == HostEditsCopied(("b",))
    assert await workspace.host_edits_in() == WorkspaceConflicted(("a",))
    assert await workspace.host_edits_in() is None


async def test_a_folder_the_user_deletes_keeps_what_the_agent_made_in_it(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"d/x": "1", "d/y": "1", "e/z": "1"})
    workspace = await p.prepared()
    write(p.folder, {"d/agent": "new", "d/y": "changed"})
    shutil.rmtree(p.project / "d")
    shutil.rmtree(p.project / "e")
    assert await workspace.host_edits_in() == HostEditsCopied(("d/x", "e/z"))
    assert await workspace.host_edits_in() == WorkspaceConflicted(("d/y",))
    assert sorted(snapshot(p.folder)) == [b"d", b"d/agent", b"d/y"]
    rules = {change.path: change.rule for change in await workspace.changes()}
    assert rules == {"d/agent": "free", "d/y": "conflict"}


async def test_a_folder_the_agent_replaced_is_not_swept_away_by_a_new_file_of_the_user(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"d/x": "1"})
    workspace = await p.prepared()
    shutil.rmtree(p.folder / "d")
    write(p.folder, {"d": "the agent's file"})
    write(p.project, {"d/new": "2"})
    await workspace.host_edits_in()
    assert (p.folder / "d").read_text() == "the agent's file"
    assert (p.project / "d" / "new").read_text() == "2"


async def test_left_out_files_are_never_deleted(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {".gitignore": "*.log\n", "x.log": "1", ".env": "K=1", "a": "1"})
    workspace = await p.prepared()
    assert await workspace.changes() == ()
    write(p.project, {"y.log": "1", ".env": "K=2"})
    assert await workspace.host_edits_in() is None
    # The agent makes a file where the host has one that it never saw.
    write(p.folder, {".env": "K=agent"})
    [change] = await workspace.changes()
    assert change.rule == "conflict"
    assert (p.project / ".env").read_text() == "K=2"
    await workspace.discard((".env",))
    assert not (p.folder / ".env").exists()


async def test_a_kept_copy_is_brought_up_to_date_and_keeps_the_agents_work(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1", "b": "1"})
    workspace = await p.prepared()
    write(p.folder, {"a": "agent"})
    await workspace.aclose()
    write(p.project, {"b": "2"})
    again = await p.prepared()
    seeded = [event for event in p.events if isinstance(event, WorkspaceSeeded)]
    assert [event.reused for event in seeded] == [False, True]
    assert (p.folder / "b").read_text() == "2"
    assert [change.path for change in await again.changes()] == ["a"]


async def test_an_emptied_copy_is_made_anew(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1"})
    workspace = await p.prepared()
    (p.folder / "a").unlink()
    assert [change.kind for change in await workspace.changes()] == ["deleted"]
    await workspace.aclose()
    again = await p.prepared()
    assert (p.folder / "a").read_text() == "1"
    assert await again.changes() == ()


async def test_discard_brings_the_hosts_version_back(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1", "b": "1", "d/x": "1", "d/e/y": "1"})
    workspace = await p.prepared()
    shutil.rmtree(p.folder / "d")
    write(p.folder, {"a": "agent", "b": "agent", "new/n": "n"})
    write(p.project, {"a": "user"})
    discarded = await workspace.discard(("a", "d", "new"))
    assert discarded.paths == ("a", "d/e/y", "d/x", "new/n")
    assert [change.path for change in await workspace.changes()] == ["b"]
    await workspace.discard(None)
    assert snapshot(p.folder) == snapshot(p.project)


def commits(folder: Path) -> list[str]:
    log = subprocess.run(["git", "log", "--format=%s"], cwd=folder, capture_output=True, text=True, check=True)
    return log.stdout.splitlines()


async def test_git_in_the_copy_works_and_never_comes_back(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    git(p.project, "init", "-q")
    write(p.project, {"a": "1\n"})
    git(p.project, "add", ".")
    git(p.project, "commit", "-qm", "first")
    workspace = await p.prepared()
    git(p.folder, "status")
    assert await workspace.changes() == ()
    write(
        p.folder, {"a": "2\n", ".git/hooks/pre-commit": "#!/bin/sh\ntouch /tmp/x\n", "sub/.git/config": "[x]\n"}
    )
    git(p.folder, "commit", "-qam", "second", "--no-verify")
    host = snapshot(p.project / ".git")
    rules = {change.path: (change.kind, change.rule) for change in await workspace.changes()}
    assert rules == {
        ".git": ("modified", "never"),
        "a": ("modified", "free"),
        "sub/.git": ("added", "never"),
        "sub": ("added", "never"),
    }
    await workspace.apply(None, True, "user")
    assert snapshot(p.project / ".git") == host
    assert not (p.project / "sub" / ".git").exists()
    # The user's own commits do not overwrite the agent's.
    write(p.project, {"b": "1\n"})
    git(p.project, "add", "b")
    git(p.project, "commit", "-qm", "the user's")
    await workspace.host_edits_in()
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=p.folder, capture_output=True, text=True, check=True
    )
    assert log.stdout.split() == ["second", "first"]
    await workspace.discard((".git",))
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=p.folder, capture_output=True, text=True, check=True
    )
    assert log.stdout.splitlines() == ["the user's", "first"]


async def test_commits_of_the_user_come_over_while_the_agent_made_none(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    git(p.project, "init", "-q")
    write(p.project, {"a": "1\n"})
    git(p.project, "add", ".")
    git(p.project, "commit", "-qm", "first")
    workspace = await p.prepared()
    git(p.project, "commit", "-q", "--allow-empty", "-m", "second")
    assert await workspace.host_edits_in() is None
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=p.folder, capture_output=True, text=True, check=True
    )
    assert log.stdout.split() == ["second", "first"]
    assert await workspace.changes() == ()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.data())
def test_edits_of_both_sides_never_lose_anything(data: st.DataObject) -> None:
    base: Folder = data.draw(trees)
    ours: Folder = data.draw(evolved(base, data.draw(trees)))
    theirs: Folder = data.draw(evolved(base, data.draw(trees)))
    with place() as p:
        build(p.project, base)
        asyncio.run(_both_edit(p, ours, theirs))


async def _both_edit(p: Place, ours: Folder, theirs: Folder) -> None:
    workspace = await p.prepared()
    base = snapshot(p.project)
    rebuild(p.project, ours)
    rebuild(p.folder, theirs)
    host, agent = snapshot(p.project, with_folder_times=True), snapshot(p.folder)
    await workspace.host_edits_in()
    # The host is the user's alone.
    assert snapshot(p.project, with_folder_times=True) == host
    copy = snapshot(p.folder)
    for path, what in agent.items():
        # Whatever content only the agent has is still in its copy.
        if what[0] != "dir" and _content(what) not in (_content(base.get(path)), _content(host.get(path))):
            assert _content(copy.get(path)) == _content(what), path
    changed = {os.fsencode(change.path) for change in await workspace.changes()}
    for path in copy.keys() | host.keys():
        if _content(copy.get(path)) != _content(host.get(path)):
            assert any(path == c or path.startswith(c + b"/") or c.startswith(path + b"/") for c in changed), (
                path
            )
    # What both have left is stable: a second look brings nothing more.
    assert not isinstance(await workspace.host_edits_in(), HostEditsCopied)
    assert snapshot(p.folder) == copy
    await workspace.aclose()


def _content(what: tuple[object, ...] | None) -> object:
    if what is None:
        return None
    return what[0] if what[0] == "dir" else (what[0], what[1] if what[0] == "link" else what[2])


async def test_the_state_is_readable_for_its_owner_only(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1"})
    old = os.umask(0)
    try:
        workspace = await p.prepared()
        write(p.folder, {"a": "2"})
        assert await workspace.changes()
    finally:
        os.umask(old)
    files = [path for path in p.state.rglob("*") if path.is_file()]
    assert {"workspace.json", "base-folder.sqlite3"} <= {path.name for path in files}
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []
