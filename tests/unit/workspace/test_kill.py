from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.workspace import apply
from agentui.workspace.hosttree import HostTree
from agentui.workspace.journal import Unit
from agentui.workspace.plan import Plan
from agentui.workspace.undo import History
from tests.unit.workspace.strategies import Folder, build, evolved, rebuild, trees
from tests.unit.workspace.trees import (
    HOME,
    Crash,
    CrashAt,
    Place,
    agent_works,
    place,
    snapshot,
    write_story,
)


@dataclass
class Scene:
    """A project and its applies just before something is done to them, to be played again and again."""

    project: Path
    applies: Path
    before: dict[bytes, tuple[object, ...]]
    forward: bool

    def play(self, folder: Path, applies: Path, point: int) -> tuple[Path, History, list[str], bool]:
        project = folder / "project"
        shutil.copytree(self.project, project, symlinks=True)
        shutil.copytree(self.applies, applies, symlinks=True)
        history = History(applies)
        crash = CrashAt(point)
        unit = Unit(sorted(applies.iterdir())[0])
        with HostTree(project) as tree:
            try:
                apply.run(tree, unit, unit.read_plan(), self.forward, crash)
            except Crash:
                return project, history, crash.names, True
        return project, history, crash.names, False


async def _scene(root: Path, action: str) -> Scene:
    p = Place(root, HOME)
    write_story(p)
    workspace = await p.prepared()
    agent_works(p)
    await workspace.changes()
    if action == "apply":
        workspace.on_point = CrashAt(0)
        with pytest.raises(Crash):
            await workspace.apply(None, True, "user")
    else:
        await workspace.apply(None, True, "user")
    if action == "redo":
        await workspace.undo()
    await workspace.aclose()
    return Scene(p.project, p.state / "applies", snapshot(p.project), action != "undo")


@pytest.mark.parametrize("disks", [1, 2])
@pytest.mark.parametrize("action", ["apply", "undo", "redo"])
def test_killed_at_any_step_the_host_is_as_before_or_as_after(action: str, disks: int, tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if disks == 2 and (not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev):
        pytest.skip("there is no second file system here")
    scene = asyncio.run(_scene(tmp_path, action))
    point = 0
    while True:
        folder = tmp_path / f"play{point}"
        folder.mkdir()
        applies = (shm / f"{tmp_path.name}-{os.getpid()}-{point}") if disks == 2 else folder / "applies"
        try:
            project, history, names, crashed = scene.play(folder, applies, point)
            if not crashed:
                assert snapshot(project) != scene.before
                break
            _check_recovery(scene, project, history, names)
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(applies, ignore_errors=True)
        point += 1
    assert point > 30


def _check_recovery(scene: Scene, project: Path, history: History, names: list[str]) -> None:
    with HostTree(project) as tree:
        said = history.recover(tree)
        assert history.recover(tree) is None
        found = snapshot(project)
        if names[-1] == "ended":
            assert said is None
            assert found != scene.before
            return
        assert said is not None
        assert "taken back" in said
        assert "except" not in said
        assert found == scene.before, names[-3:]
        assert not [path for path in found if b".agentui-" in path]


@pytest.mark.parametrize("second", [0, 1, 2, 3, 5, 8])
def test_killed_again_while_recovering_still_ends_as_before(second: int, tmp_path: Path) -> None:
    scene = asyncio.run(_scene(tmp_path, "apply"))
    (tmp_path / "play").mkdir()
    project, history, _, crashed = scene.play(tmp_path / "play", tmp_path / "applies", 25)
    assert crashed
    unit = history.units()[0]
    plan, progress = unit.read_plan(), unit.progress()
    ops = plan.direction(True)[: progress.announced]
    with HostTree(project) as tree:
        # The first recovery came only so far: it took back the last steps, and its own end was not recorded.
        done = unit.folder / "journal.jsonl"
        journal = done.read_bytes()
        partial = replace(progress, announced=progress.announced)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Plan, "direction", lambda self, forward: ops[len(ops) - 2 * second :])
            apply.recover(tree, unit, partial)
        done.write_bytes(journal)
        assert history.recover(tree) is not None
    assert snapshot(project) == scene.before


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.data())
def test_random_trees_survive_a_kill_at_a_random_step(data: st.DataObject) -> None:
    before: Folder = data.draw(trees)
    after: Folder = data.draw(evolved(before, data.draw(trees)))
    point = data.draw(st.integers(0, 60))
    with place() as p:
        build(p.project, before)
        asyncio.run(_crash_once(p, after, point))


async def _crash_once(p: Place, after: Folder, point: int) -> None:
    untouched = snapshot(p.project, with_folder_times=True)
    workspace = await p.prepared()
    rebuild(p.folder, after)
    await workspace.changes()
    crash = CrashAt(point)
    workspace.on_point = crash
    try:
        await workspace.apply(None, True, "user")
    except Crash:
        pass
    except Exception:
        assert snapshot(p.project, with_folder_times=True) == untouched
    await workspace.aclose()
    again = p.workspace()
    await again.recover()
    if crash.names and crash.names[-1] != "ended":
        assert snapshot(p.project, with_folder_times=True) == untouched
    elif crash.names:
        await again.undo()
        assert snapshot(p.project, with_folder_times=True) == untouched
    await again.aclose()


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.unit.workspace.trees import HOME, Place

async def main():
    p = Place(Path(sys.argv[1]), HOME)
    workspace = p.workspace()
    left = int(sys.argv[2])
    def kill(point):
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    workspace.on_point = kill
    await workspace.apply(None, True, "user")

asyncio.run(main())
"""


@pytest.mark.case("app-killed-mid-apply")
@pytest.mark.parametrize("point", [0, 9, 24])
async def test_a_killed_process_leaves_a_host_that_the_next_start_mends(point: int, tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    before = snapshot(p.project)
    workspace = await p.prepared()
    agent_works(p)
    await workspace.aclose()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(point)], env=environment, check=False
    )
    assert child.returncode == -signal.SIGKILL
    again = await p.prepared()
    assert snapshot(p.project) == before
    assert await again.changes() != ()
    await again.apply(None, True, "user")
    assert {path: what[:-1] for path, what in snapshot(p.project).items()} == {
        path: what[:-1] for path, what in snapshot(p.folder).items()
    }
    await again.aclose()


async def test_an_undo_that_was_cut_leaves_the_next_one_as_exact_as_the_first(tmp_path: Path) -> None:
    p = Place(tmp_path, HOME)
    write_story(p)
    before = snapshot(p.project, with_folder_times=True)
    root_mtime_ns = p.project.stat().st_mtime_ns
    workspace = await p.prepared()
    agent_works(p)
    await workspace.changes()
    await workspace.apply(None, True, "user")
    applied = snapshot(p.project)
    workspace.on_point = CrashAt(20)
    with pytest.raises(Crash):
        await workspace.undo()
    await workspace.aclose()
    again = p.workspace()
    assert "an undo that was cut short was taken back" in str(await again.recover())
    assert snapshot(p.project) == applied
    await again.undo()
    assert snapshot(p.project, with_folder_times=True) == before
    assert p.project.stat().st_mtime_ns == root_mtime_ns
    await again.aclose()
