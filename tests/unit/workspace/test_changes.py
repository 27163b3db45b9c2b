from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agentui.errors import WorkspaceError
from agentui.events import WorkspaceSeeded, WorkspaceSeedProgressed
from agentui.sandbox.folder_copy import FolderCopy
from agentui.workspace.settings import SeedTooLarge, WorkspaceSettings
from agentui.workspace.workspace import Workspace
from tests.unit.workspace.trees import HOME, Place, snapshot, write


async def test_every_kind_of_change_is_named(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"m": "1\n2\n", "d": "1\n", "x": "1", "t": "1", "gone/a": "1", "quiet": None})
    os.symlink("m", p.project / "l")
    workspace = await p.prepared()
    write(p.folder, {"m": "1\n3\n4\n", "new/a/b": "n\n", "hollow": None})
    (p.folder / "d").unlink()
    (p.folder / "x").chmod(0o600)
    (p.folder / "t").unlink()
    (p.folder / "t").mkdir()
    (p.folder / "l").unlink()
    os.symlink("x", p.folder / "l")
    shutil.rmtree(p.folder / "gone")
    (p.folder / "quiet").chmod(0o700)
    found = {c.path: (c.kind, c.added_lines, c.removed_lines) for c in await workspace.changes()}
    assert found == {
        "m": ("modified", 2, 1),
        "d": ("deleted", 0, 1),
        "x": ("mode", 0, 0),
        "t": ("type", 0, 1),
        "l": ("link", None, None),
        "gone/a": ("deleted", 0, 1),
        "new/a/b": ("added", 1, 0),
        "hollow": ("added", None, None),
        "quiet": ("mode", None, None),
    }


@pytest.mark.parametrize(("name", "levels", "shown"), [("d", 400, 121), ("d" * 200, 19, 19)])
async def test_what_lies_deeper_than_may_be_applied_is_one_folder_and_goes_with_it(
    name: str, levels: int, shown: int, tmp_path: Path
) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1"})
    workspace = await p.prepared()
    write(p.folder, {f"{'/'.join([name] * levels)}/f": "x", "b": "2"})
    assert {change.path: change.rule for change in await workspace.changes()} == {
        "b": "free",
        "/".join([name] * shown): "never",
    }
    await workspace.apply(None, True, "user")
    assert sorted(path.name for path in p.project.iterdir()) == ["a", "b"]
    await workspace.discard(None)
    assert sorted(path.name for path in p.folder.iterdir()) == ["a", "b"]


async def test_touching_and_rewriting_the_same_content_is_no_change(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "same", "b": "same"})
    workspace = await p.prepared()
    os.utime(p.folder / "a", ns=(1, 1))
    (p.folder / "b").unlink()
    write(p.folder, {"b": "same"})
    assert await workspace.changes() == ()


class CountingCopy(FolderCopy):
    fetched = 0

    async def fetch(self, paths: object, into: Path) -> None:
        type(self).fetched += len(list(paths))  # type: ignore[call-overload]
        await super().fetch(paths, into)  # type: ignore[arg-type]


async def test_a_look_without_news_fetches_nothing(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1\n", "b": "1\n"})
    copy = CountingCopy(p.folder)
    workspace = Workspace(p.project, copy, p.state, HOME)
    await workspace.prepare(p.events.append)
    await workspace.changes()
    assert copy.fetched == 0
    write(p.folder, {"a": "2\n"})
    first = await workspace.changes()
    fetched = copy.fetched
    assert fetched > 0
    assert await workspace.changes() == first
    assert copy.fetched == fetched


async def test_ignored_new_files_wait_as_one_line_and_do_not_stop_an_automatic_apply(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {".gitignore": "build/\n*.tmp\n", "a": "1\n"})
    workspace = await p.prepared()
    write(p.folder, {"a": "2\n", "build/x.o": "xx", "build/sub/y.o": "y", "z.tmp": "z"})
    changes = await workspace.changes()
    assert [(c.path, c.rule) for c in changes] == [("a", "free"), ("build", "ask"), ("z.tmp", "ask")]
    assert changes[1].size_bytes == 3
    assert workspace.auto_blocker(changes) is None
    applied = await workspace.apply(None, True, "auto")
    assert [change.path for change in applied.changes] == ["a"]
    assert applied.waiting == 2
    assert workspace.auto_blocker(await workspace.changes()) == "every change waits for you"
    assert "build/sub/y.o" in await workspace.diff_text("build")
    # By name the user may have them.
    await workspace.apply(("build",), False, "user")
    assert (p.project / "build" / "sub" / "y.o").exists()
    assert await workspace.host_edits_in() is None
    assert (p.folder / "build" / "x.o").exists()
    await workspace.undo()
    assert not (p.project / "build").exists()


async def test_an_automatic_apply_asks_for_the_ask_list_conflicts_and_mass_deletion(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    # Git's own files are many, and no part of the tree that a tenth is taken of.
    write(p.project, {f"f{n}": "1\n" for n in range(30)} | {f".git/objects/{n:02}/x": "o" for n in range(90)})
    workspace = await p.prepared()
    assert workspace.auto_blocker(()) is not None
    write(p.folder, {"f0": "2\n"})
    assert workspace.auto_blocker(await workspace.changes()) is None
    write(p.folder, {"Makefile": "all:\n"})
    assert "Makefile" in (workspace.auto_blocker(await workspace.changes()) or "")
    (p.folder / "Makefile").unlink()
    for n in range(1, 5):
        write(p.folder, {f"f{n}": ""})
    assert "4 of 30" in (workspace.auto_blocker(await workspace.changes()) or "")
    for n in range(1, 5):
        write(p.folder, {f"f{n}": "1\n"})
    write(p.project, {"f0": "3\n"})
    assert "f0" in (workspace.auto_blocker(await workspace.changes()) or "")


async def test_the_ask_list_needs_a_yes_also_by_name(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1\n"})
    workspace = await p.prepared()
    write(p.folder, {"a": "2\n", ".vscode/tasks.json": "{}", "run.sh": "x"})
    (p.folder / "run.sh").chmod(0o755)
    with pytest.raises(WorkspaceError, match="needs your yes"):
        await workspace.apply((".vscode/tasks.json",), False, "user")
    await workspace.apply(None, False, "user")
    assert sorted(snapshot(p.project)) == [b"a"]
    with pytest.raises(WorkspaceError, match="2 wait"):
        await workspace.apply(None, False, "user")
    await workspace.apply((".vscode", "run.sh"), True, "user")
    assert (p.project / "run.sh").stat().st_mode & 0o777 == 0o755


async def test_what_is_never_applied_stays_also_by_name(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1\n"})
    before = snapshot(p.project)
    workspace = await p.prepared()
    os.mkfifo(p.folder / "pipe")
    os.symlink("/etc/passwd", p.folder / "out")
    write(p.folder, {".agentui/config.toml": "x"})
    rules = {c.path: c.rule for c in await workspace.changes()}
    assert set(rules.values()) == {"never"}
    for path in rules:
        with pytest.raises(WorkspaceError, match="never applied"):
            await workspace.apply((path,), True, "user")
    with pytest.raises(WorkspaceError, match="nothing to apply"):
        await workspace.apply(None, True, "user")
    assert snapshot(p.project) == before
    await workspace.discard(None)
    assert await workspace.changes() == ()


async def test_one_file_can_be_applied_with_the_folders_it_needs(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"was a file": "1", "d/x": "1", "d/y": "1"})
    workspace = await p.prepared()
    (p.folder / "was a file").unlink()
    write(p.folder, {"was a file/now/n": "n", "was a file/m": "m", "new/deep/a": "a", "new/b": "b"})
    (p.folder / "d" / "x").unlink()
    await workspace.apply(("new/deep/a", "was a file/now/n", "d"), False, "user")
    assert sorted(snapshot(p.project)) == [
        *(b"d", b"d/y", b"new", b"new/deep", b"new/deep/a"),
        *(b"was a file", b"was a file/now", b"was a file/now/n"),
    ]
    assert [c.path for c in await workspace.changes()] == ["new/b", "was a file/m"]
    with pytest.raises(WorkspaceError, match="no change"):
        await workspace.apply(("nothing here",), False, "user")


async def test_a_binary_a_large_and_a_huge_file_are_shown_without_their_content(tmp_path: Path) -> None:
    p = Place(tmp_path, WorkspaceSettings(home=Path("/nowhere"), max_file_bytes=10_000_000))
    write(p.project, {"b": b"\0\1", "l": "x"})
    workspace = await p.prepared()
    write(p.folder, {"b": b"\0\2\3", "l": "y" * 3_000_000})
    with (p.folder / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    changes = {c.path: c for c in await workspace.changes()}
    assert (changes["b"].added_lines, changes["b"].removed_lines) == (None, None)
    assert await workspace.diff_text("b") == "Binary file: 2 bytes became 3 bytes.\n"
    assert "too large" in await workspace.diff_text("l")
    assert changes["huge"].rule == "never"


async def test_hostile_names_are_kept_exactly(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    workspace = await p.prepared()
    names = [b"new\nline", b"esc\x1b[31m", b"\xff\xfe", b"-rf", b" "]
    for name in names:
        (Path(os.fsdecode(os.path.join(os.fsencode(p.folder), name)))).write_bytes(b"x\n")
    changes = await workspace.changes()
    assert sorted(c.path.encode("utf-8", "surrogateescape") for c in changes) == sorted(names)
    await workspace.apply(tuple(c.path for c in changes), False, "user")
    assert sorted(os.listdir(os.fsencode(p.project))) == sorted(names)


async def test_a_second_process_is_refused_with_its_pid(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1"})
    workspace = await p.prepared()
    with pytest.raises(WorkspaceError, match=str(os.getpid())):
        await p.workspace().changes()
    await workspace.aclose()
    other = p.workspace()
    assert await other.changes() == ()
    await other.aclose()


async def test_a_project_above_the_limit_raises_the_question_before_anything_is_copied(tmp_path: Path) -> None:
    p = Place(tmp_path, WorkspaceSettings(home=Path("/nowhere"), max_seed_bytes=1000))
    write(p.project, {"big/data": "x" * 2000})
    with pytest.raises(SeedTooLarge):
        await p.prepared()
    assert os.listdir(p.folder) == []
    p.settings = WorkspaceSettings(home=Path("/nowhere"), max_seed_bytes=None)
    workspace = p.workspace()
    with pytest.raises(WorkspaceError):
        await workspace.prepare(p.events.append)  # the first one still holds the lock


async def test_seeding_tells_progress_and_ends_with_what_was_left_out(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {f"f{n}": "x" * 10 for n in range(50)} | {".env": "K=1"})
    await p.prepared()
    assert isinstance(p.events[0], WorkspaceSeedProgressed)
    seeded = p.events[-1]
    assert isinstance(seeded, WorkspaceSeeded)
    assert (seeded.files, seeded.size_bytes, seeded.reused) == (50, 500, False)
    assert seeded.left_out == (".env (secret: environment with secrets)",)


async def test_a_seed_cut_short_is_begun_anew(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1", "b": "1"})

    class Broken(FolderCopy):
        async def seed(self, root: Path, paths: object, progress: object) -> None:
            write(self.folder, {"a": "half"})
            raise OSError("the disk went away")

    workspace = Workspace(p.project, Broken(p.folder), p.state, HOME)
    with pytest.raises(WorkspaceError, match="the disk went away"):
        await workspace.prepare(p.events.append)
    await workspace.aclose()
    again = await p.prepared()
    assert snapshot(p.folder) == snapshot(p.project)
    assert await again.changes() == ()


async def test_a_new_folder_with_nothing_but_what_is_never_applied_stays_too(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1\n"})
    workspace = await p.prepared()
    write(p.folder, {"sub/.git/config": "x", "deep/er/.git/HEAD": "x", "both/.git/HEAD": "x", "both/f": "f"})
    write(p.folder, {"empty/inner": None, "mixed/.git/HEAD": "x", "mixed/empty": None})
    rules = {change.path: change.rule for change in await workspace.changes()}
    assert rules["sub"] == rules["deep/er"] == "never"
    await workspace.apply(None, True, "user")
    assert sorted(snapshot(p.project)) == [
        b"a", b"both", b"both/f", b"empty", b"empty/inner", b"mixed", b"mixed/empty"
    ]  # fmt: skip
    await workspace.aclose()
