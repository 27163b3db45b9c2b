from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.errors import ApplyConflict, WorkspaceError
from agentui.sandbox.folder_copy import FolderCopy
from agentui.workspace.workspace import Workspace
from tests.unit.workspace.strategies import Folder, build, evolved, rebuild, trees
from tests.unit.workspace.trees import HOME, Place, agent_works, carried, place, snapshot, write, write_story


@st.composite
def stories(draw: st.DrawFn) -> tuple[Folder, Folder]:
    before = draw(trees)
    return before, draw(evolved(before, draw(trees)))


relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@relaxed
@given(stories())
def test_apply_then_undo_leaves_the_host_identical_to_the_bit(story: tuple[Folder, Folder]) -> None:
    before, after = story
    with place() as p:
        build(p.project, before)
        asyncio.run(_round(p, after))


async def _round(p: Place, after: Folder) -> None:
    untouched = snapshot(p.project, with_folder_times=True)
    workspace = await p.prepared()
    assert await workspace.changes() == ()
    assert snapshot(p.project, with_folder_times=True) == untouched
    rebuild(p.folder, after)
    changes = await workspace.changes()
    assert snapshot(p.project, with_folder_times=True) == untouched
    takes = [change for change in changes if change.rule in ("free", "ask")]
    if not takes:
        await workspace.aclose()
        return
    try:
        await workspace.apply(None, True, "user")
    except WorkspaceError:
        # Everything needed something that is never applied.
        assert snapshot(p.project, with_folder_times=True) == untouched
        await workspace.aclose()
        return
    applied = snapshot(p.project)
    copied = snapshot(p.folder)
    waiting = {os.fsencode(change.path) for change in await workspace.changes()}
    for path in applied.keys() | copied.keys():
        if not any(path == w or path.startswith(w + b"/") or w.startswith(path + b"/") for w in waiting):
            assert carried(applied.get(path)) == carried(copied.get(path)), path
    await workspace.undo()
    assert snapshot(p.project, with_folder_times=True) == untouched
    await workspace.redo()
    assert snapshot(p.project) == applied
    await workspace.undo()
    assert snapshot(p.project) == snapshot_without_folder_times(untouched)
    await workspace.aclose()


def snapshot_without_folder_times(found: dict[bytes, tuple[object, ...]]) -> dict[bytes, tuple[object, ...]]:
    return {path: (*what[:-1], 0) if what[0] == "dir" else what for path, what in found.items()}


def _save_gone(p: Place) -> None:
    (p.project / "gone.txt").write_text("the user typed this just now\n")


def _put_new(p: Place) -> None:
    write(p.project, {"new/by the user": "mine\n"})


def _swap_folder(p: Place) -> None:
    (p.project / "d").rename(p.root / "elsewhere")
    os.symlink(p.root / "elsewhere", p.project / "d")


@pytest.mark.parametrize("edit", [_save_gone, _put_new, _swap_folder])
async def test_an_edit_between_check_and_step_is_kept_and_stops_everything(
    edit: Callable[[Place], None], tmp_path: Path
) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    workspace = await p.prepared()
    agent_works(p)
    await workspace.changes()
    edited: list[dict[bytes, tuple[object, ...]]] = []

    def user_edits(point: str) -> None:
        if point == "planned":
            edit(p)
            edited.append(snapshot(tmp_path))

    workspace.on_point = user_edits
    with pytest.raises(ApplyConflict):
        await workspace.apply(None, True, "user")
    after = snapshot(tmp_path)
    ours = (b"state", b"copy")
    assert {path: what for path, what in after.items() if not path.startswith(ours)} == {
        path: what for path, what in edited[0].items() if not path.startswith(ours)
    }


async def test_an_edit_after_the_changes_were_shown_is_a_conflict_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    workspace = await p.prepared()
    agent_works(p)
    await workspace.changes()
    (p.project / "a.txt").write_text("the user was here\n")
    host = snapshot(p.project)
    with pytest.raises(ApplyConflict) as caught:
        await workspace.apply(None, True, "user")
    assert caught.value.paths == ("a.txt",)
    assert snapshot(p.project) == host
    # Now the conflict has been shown: the rest can go without it, and the user's version stays.
    applied = await workspace.apply(None, True, "user")
    assert "a.txt" not in [change.path for change in applied.changes]
    assert applied.waiting == 1
    assert (p.project / "a.txt").read_text() == "the user was here\n"


async def test_a_folder_swapped_for_a_link_is_a_conflict_and_the_link_is_not_followed(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"d/x": "x\n", "other": "o\n"})
    write(p.root, {"outside/x": "x\n"})
    workspace = await p.prepared()
    write(p.folder, {"d/x": "changed\n", "d/y": "new\n", "other": "changed\n"})
    shutil.rmtree(p.project / "d")
    os.symlink(p.root / "outside", p.project / "d")
    outside = snapshot(p.root / "outside")
    rules = {change.path: change.rule for change in await workspace.changes()}
    assert rules == {"d/x": "conflict", "d/y": "conflict", "other": "free"}
    await workspace.apply(None, True, "user")
    assert snapshot(p.root / "outside") == outside
    assert os.readlink(p.project / "d") == str(p.root / "outside")
    with pytest.raises(ApplyConflict):
        await workspace.apply(("d/x",), True, "user")


@pytest.mark.parametrize(
    ("link", "agents"),
    [
        ("left", "left/evil"),
        ("left", "left/deep/evil"),
        ("left/out", "left/out/evil"),
        ("left/out", "left/out/deep/evil"),
    ],
)
async def test_a_link_outwards_that_was_left_out_is_not_followed_where_the_agent_made_a_folder(
    link: str, agents: str, tmp_path: Path
) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {".gitignore": "left\n", "a": "1\n"})
    write(p.root, {"outside/x": "x\n", "outside/deep/y": "y\n"})
    (p.project / link).parent.mkdir(exist_ok=True)
    os.symlink(p.root / "outside", p.project / link)
    workspace = await p.prepared()
    assert b"left" not in snapshot(p.folder)
    write(p.folder, {agents: "from the agent\n", "a": "2\n"})
    outside, host = snapshot(p.root / "outside"), snapshot(p.project)
    await workspace.changes()
    await workspace.apply(("a",), True, "user")
    with pytest.raises(WorkspaceError):
        await workspace.apply((agents,), True, "user")
    with suppress(WorkspaceError):
        await workspace.apply(None, True, "user")
    assert snapshot(p.root / "outside") == outside
    assert os.readlink(p.project / link) == str(p.root / "outside")
    await workspace.undo()
    assert snapshot(p.project) == host
    assert snapshot(p.root / "outside") == outside


async def test_undo_of_a_file_edited_since_writes_nothing(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    workspace = await p.prepared()
    agent_works(p)
    await workspace.apply(None, True, "user")
    before = await workspace.undo_preview()
    assert before is not None
    assert before.conflicts == ()
    (p.project / "a.txt").write_text("edited later\n")
    host = snapshot(p.project)
    told = await workspace.undo_preview()
    assert told is not None
    assert told.conflicts == ("a.txt",)
    with pytest.raises(ApplyConflict) as caught:
        await workspace.undo()
    assert caught.value.paths == ("a.txt",)
    assert "then undo again" in caught.value.hint
    assert "discard" not in caught.value.hint
    assert snapshot(p.project) == host


async def test_several_applies_are_undone_and_redone_in_order(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "0\n", "b": "0\n"})
    workspace = await p.prepared()
    states = [snapshot(p.project)]
    for number in (1, 2, 3):
        write(p.folder, {"a": f"{number}\n", f"new{number}": "n\n"})
        await workspace.apply(None, False, "user")
        states.append(snapshot(p.project))
    for number in (2, 1, 0):
        preview = await workspace.undo_preview()
        assert preview is not None
        assert preview.removes == (f"new{number + 1}",)
        await workspace.undo()
        assert snapshot(p.project) == states[number]
        assert snapshot(p.folder).keys() == states[number].keys()
    with pytest.raises(WorkspaceError, match="no apply to undo"):
        await workspace.undo()
    await workspace.redo()
    await workspace.redo()
    assert snapshot(p.project) == states[2]
    write(p.folder, {"b": "another way\n"})
    await workspace.apply(None, False, "user")
    with pytest.raises(WorkspaceError, match="no apply to redo"):
        await workspace.redo()
    await workspace.undo()
    assert snapshot(p.project) == states[2]
    assert [past.state for past in await workspace.history()] == ["applied", "applied", "superseded", "undone"]


async def test_history_and_undo_outlive_the_process(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    before = snapshot(p.project)
    workspace = await p.prepared()
    agent_works(p)
    applied = await workspace.apply(None, True, "user")
    await workspace.aclose()
    again = p.workspace()
    assert [past.head.apply_id for past in await again.history()] == [applied.apply_id]
    assert [past.head.changes for past in await again.history()] == [applied.changes]
    await again.undo()
    assert snapshot(p.project) == before


async def test_emptying_the_trash_ends_the_chance_to_undo_and_says_how_much_was_freed(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "x" * 1000})
    workspace = await p.prepared()
    write(p.folder, {"a": "y"})
    await workspace.apply(None, False, "user")
    assert await workspace.empty_trash() == 1000
    with pytest.raises(WorkspaceError):
        await workspace.undo()


async def test_left_out_files_keep_their_folder_when_the_agent_deletes_it(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"d/x": "x\n", "d/.env": "KEY=1\n", "e/y": "y\n"})
    workspace = await p.prepared()
    before = snapshot(p.project, with_folder_times=True)
    shutil.rmtree(p.folder / "d")
    shutil.rmtree(p.folder / "e")
    await workspace.apply(None, False, "user")
    assert sorted(snapshot(p.project)) == [b"d", b"d/.env"]
    assert await workspace.changes() == ()
    await workspace.undo()
    assert snapshot(p.project, with_folder_times=True) == before


async def test_a_file_cannot_take_the_place_of_a_folder_with_left_out_files(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"d/x": "x\n", "d/.env": "KEY=1\n"})
    before = snapshot(p.project)
    workspace = await p.prepared()
    shutil.rmtree(p.folder / "d")
    write(p.folder, {"d": "file now\n"})
    await workspace.changes()
    with pytest.raises(ApplyConflict):
        await workspace.apply(None, False, "user")
    assert snapshot(p.project) == before


async def test_extended_attributes_and_inode_survive_apply_and_undo(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "one\n"})
    try:
        os.setxattr(p.project / "a", "user.note", b"kept")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    inode = (p.project / "a").stat().st_ino
    workspace = await p.prepared()
    write(p.folder, {"a": "two\n"})
    await workspace.apply(None, False, "user")
    assert os.getxattr(p.project / "a", "user.note") == b"kept"
    await workspace.undo()
    assert (p.project / "a").stat().st_ino == inode


async def test_paths_edited_while_contents_are_fetched_are_all_named(
    tmp_path: Path,
) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)

    class EditedMeanwhile(FolderCopy):
        is_armed = False

        async def fetch(self, paths: Sequence[bytes], into: Path) -> None:
            await super().fetch(paths, into)
            if self.is_armed:
                (p.project / "a.txt").chmod(0o600)
                (p.project / "gone.txt").write_text("saved\n")

    copy = EditedMeanwhile(p.folder)
    workspace = Workspace(p.project, copy, p.state, HOME)
    await workspace.prepare(p.events.append)
    agent_works(p)
    await workspace.changes()
    before = snapshot(p.project)
    copy.is_armed = True
    with pytest.raises(ApplyConflict) as caught:
        await workspace.apply(None, True, "user")
    assert caught.value.paths == ("a.txt", "gone.txt")
    after = snapshot(p.project)
    assert after.pop(b"a.txt")[1] == 0o600
    assert after.pop(b"gone.txt")[2] == b"saved\n"
    assert after.items() <= before.items()
