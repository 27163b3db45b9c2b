from __future__ import annotations

import asyncio
import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.events import Event, WorkspaceSeeded
from agentui.sandbox.base import Entry
from agentui.sandbox.folder_copy import FolderCopy
from agentui.workspace.hosttree import HostTree
from agentui.workspace.manifest import look
from agentui.workspace.select import select
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.witness import Witness, parse_witness, witness_of
from agentui.workspace.workspace import Workspace
from tests.unit.workspace.strategies import Folder, build, evolved, rebuild, trees
from tests.unit.workspace.test_select import git
from tests.unit.workspace.trees import HOME, Place, carried, place, snapshot, write

LATER_NS = 10_000_000_000


def witnessed(project: Path, chosen: WorkspaceSettings, is_settled: bool = True) -> Witness | None:
    """What a look sees; `is_settled` as if it were taken ten seconds from now."""
    with HostTree(project) as tree:
        selection = select(tree, chosen)
        if is_settled:
            sources = {path: mark or "young" for path, mark in selection.sources.items()}
            began_ns = selection.began_ns + LATER_NS
            selection = dataclasses.replace(selection, began_ns=began_ns, sources=sources)
        return witness_of(project, chosen, selection, look(tree, selection, {}))


@pytest.fixture
def chosen(tmp_path: Path) -> WorkspaceSettings:
    (tmp_path / "ignore").write_text("*.user\n")
    return WorkspaceSettings(home=HOME.home, global_ignore=tmp_path / "ignore")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    files = {"a": "1", "d/b": "2", ".gitignore": "*.log\n", "d/left.log": "out", ".env": "S=1", "d/n/x": "3"}
    write(folder, files)
    os.symlink("a", folder / "link")
    return folder


def test_it_holds_while_nothing_changed_and_survives_being_written_down(
    project: Path, chosen: WorkspaceSettings
) -> None:
    (project / os.fsdecode(b"odd\n\x1b\xff")).write_text("x")
    settled = old_sources(witnessed(project, chosen))
    again = parse_witness(settled.text())
    assert again is not None
    assert again == settled
    assert again.holds(project, chosen)
    assert (again.files, again.size_bytes) == (5, 10)
    assert "d/left.log (ignored)" in again.left_out


def old_sources(witness: Witness | None) -> Witness:
    """The ignore file is younger than the two seconds; its age is not what is tested here."""
    assert witness is not None
    return dataclasses.replace(witness, sources={})


def other_content(project: Path) -> None:
    (project / "a").write_text("9")
    os.utime(project / "a", (7, 7))


def folder_for_file(project: Path) -> None:
    (project / "d/n/x").unlink()
    (project / "d/n/x").mkdir()


def link_for_folder(project: Path) -> None:
    os.symlink((project / "d/n").rename(project.parent / "n"), project / "d/n")


def other_target(project: Path) -> None:
    (project / "link").unlink()
    os.symlink("d", project / "link")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content of the same size": other_content,
    "a mode": lambda project: (project / "a").chmod(0o604),
    "a folder's mode": lambda project: (project / "d").chmod(0o700),
    "a new file": lambda project: (project / "d/n/new").write_text(""),
    "a new name that is left out": lambda project: (project / "d/n/new.log").write_text(""),
    "a file gone": lambda project: (project / "d/n/x").unlink(),
    "another kind under the same name": folder_for_file,
    "a folder swapped for a link": link_for_folder,
    "a link's target": other_target,
    "the ignore rules": lambda project: (project / ".gitignore").write_text("*.lob\n"),
    "a repository": lambda project: git(project, "init", "-q"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_does_not_hold_after_a_change_of(what: str, project: Path, chosen: WorkspaceSettings) -> None:
    (project / "d").chmod(0o755)
    witness = old_sources(witnessed(project, chosen))
    assert witness.holds(project, chosen)
    CHANGES[what](project)
    assert not witness.holds(project, chosen)


def test_what_is_left_out_may_change_its_content(project: Path, chosen: WorkspaceSettings) -> None:
    witness = old_sources(witnessed(project, chosen))
    (project / "d/left.log").write_text("much more")
    (project / ".env").write_text("S=22")
    assert witness.holds(project, chosen)


def test_it_does_not_hold_for_other_settings(project: Path, chosen: WorkspaceSettings) -> None:
    witness = old_sources(witnessed(project, chosen))
    assert not witness.holds(project, WorkspaceSettings(home=HOME.home, exclude=("d/",)))


def test_rules_that_lie_outside_of_the_walk_count_too(project: Path, chosen: WorkspaceSettings) -> None:
    git(project.parent, "init", "-q")
    inner = project / "d"
    write(project.parent, {".gitignore": "*.tmp\n"})
    seen = witnessed(inner, chosen)
    assert seen is not None
    outside = {Path(path).relative_to(project.parent).as_posix() for path in seen.sources}
    assert outside == {"ignore", ".gitignore", "project/.gitignore", ".git/index", ".git/info/exclude"}
    for path in outside:
        other = dataclasses.replace(seen, sources={os.fspath(project.parent / path): "other"}, folders={})
        assert not other.holds(inner, chosen)


def test_what_is_too_young_is_not_relied_on(project: Path) -> None:
    assert witnessed(project, WorkspaceSettings(home=HOME.home), is_settled=False) is None


def test_a_folder_that_went_away_meanwhile_makes_none(project: Path, chosen: WorkspaceSettings) -> None:
    with HostTree(project) as tree:
        selection = dataclasses.replace(select(tree, chosen), is_whole=False)
        assert witness_of(project, chosen, selection, look(tree, selection, {})) is None


def test_text_of_another_version_is_no_witness() -> None:
    assert parse_witness("[0, 1]") is None
    assert parse_witness(None) is None


class Unasked(FolderCopy):
    """A copy whose files nobody may ask for."""

    async def manifest(self) -> tuple[Entry, ...]:
        raise AssertionError("the copy was listed")


def tick(folder: Path) -> None:
    """Return when the file system's clock shows another time than before."""
    with tempfile.NamedTemporaryFile(dir=folder) as first:
        before = os.stat(first.name).st_ctime_ns
    while True:
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            if os.stat(probe.name).st_ctime_ns > before:
                return


@pytest.fixture
def nothing_is_too_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentui.workspace.witness.RACY_NS", 0)
    monkeypatch.setattr("agentui.workspace.sources.RACY_NS", 0)
    monkeypatch.setattr("agentui.workspace.manifest.RACY_NS", 0)


async def test_a_second_start_without_edits_asks_nothing_of_the_copy(
    tmp_path: Path, nothing_is_too_young: None
) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1", "d/b": "2"})
    tick(tmp_path)
    first = await p.prepared()
    await first.aclose()
    second = Workspace(p.project, Unasked(p.folder), p.state, HOME)
    events: list[Event] = []
    await second.prepare(events.append)
    [seeded] = [event for event in events if isinstance(event, WorkspaceSeeded)]
    assert (seeded.files, seeded.size_bytes, seeded.reused) == (2, 2, True)
    assert await second.host_edits_in() is None
    await second.aclose()


async def test_a_copy_that_was_emptied_is_made_anew_though_the_host_is_unchanged(
    tmp_path: Path, nothing_is_too_young: None
) -> None:
    p = Place(tmp_path, HOME)
    write(p.project, {"a": "1"})
    tick(tmp_path)
    await (await p.prepared()).aclose()
    (p.folder / "a").unlink()
    again = await p.prepared()
    assert snapshot(p.folder) == snapshot(p.project)
    await again.aclose()


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(st.data())
def test_whatever_the_user_does_is_noticed_after_nothing_was(
    nothing_is_too_young: None, data: st.DataObject
) -> None:
    before: Folder = data.draw(trees)
    after: Folder = data.draw(evolved(before, data.draw(trees)))
    with place() as p:
        build(p.project, before)
        tick(p.root)
        asyncio.run(_one_edits(p, after))


async def _one_edits(p: Place, after: Folder) -> None:
    workspace = await p.prepared()
    assert await workspace.host_edits_in() is None
    rebuild(p.project, after)
    tick(p.root)
    await workspace.host_edits_in()
    assert await workspace.changes() == ()
    # But for times: those of a file whose content is the same stay as they are.
    copy = {path: carried(what) for path, what in snapshot(p.folder).items()}
    host = {path: carried(what) for path, what in snapshot(p.project).items()}
    assert {path: what for path, what in host.items() if path in copy} == copy
    await workspace.aclose()
