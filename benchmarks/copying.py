"""The private copy and the commands in it, against `cp -a`, a stat walk and `docker exec` in the same run."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Command, Copy
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.docker_copy import DockerCopy
from agentui.sandbox.docker_labels import WORKSPACE_ID
from agentui.sandbox.engine import find_engine
from agentui.sandbox.folder_copy import FolderCopy
from agentui.sandbox.image import DEFAULT_BASE, ToolsImage
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.workspace import Workspace

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, which is what is felt, and of this process's own CPU time, which is steady."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class CopyTimes:
    """Seconds for a tree: what the system needs itself, and what the workspace does."""

    cp_s: float
    walk: Spent
    seed_s: float
    second_start: Spent
    diff_s: float
    apply_s: float
    undo_s: float


@dataclass(frozen=True, slots=True)
class ExecTimes:
    """Seconds of each run of ``true``: by us, and by the engine's own command line."""

    ours_s: tuple[float, ...]
    bare_s: tuple[float, ...]


def docker_sandbox() -> DockerSandbox:
    """A throwaway sandbox on the local engine.

    Raises:
        SandboxUnavailable: If there is no engine.
    """
    image = ToolsImage(find_engine(), os.environ.get("AGENTUI_BASE_IMAGE") or DEFAULT_BASE)
    return DockerSandbox(image.engine, image, f"bench-{uuid.uuid4().hex[:8]}", is_throwaway=True)


def make_tree(root: Path, files: int, size_bytes: int) -> None:
    """A project of `files` files with `size_bytes` in all; some few hold most of it."""
    content = random.Random(7).randbytes(1 << 20)
    small = min(4096, size_bytes // files)
    large = max(size_bytes - small * files, 0) // 8
    for number in range(files):
        folder = root / f"d{number % 200:03d}" / f"e{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        start = (number * 997) % (len(content) - small)
        (folder / f"f{number}.txt").write_bytes(content[start : start + small])
    for number in range(8):
        with (root / f"large{number}.bin").open("wb") as file:
            for at in range(0, large, len(content)):
                file.write(content[: min(len(content), large - at)])


def stat_walk(root: Path) -> int:
    """Look at every entry once."""
    seen = 0
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            os.lstat(os.path.join(folder, name))
            seen += 1
    return seen


@contextmanager
def _tree(files: int, size_bytes: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="agentui-bench-"))
    try:
        (folder / "project").mkdir()
        make_tree(folder / "project", files, size_bytes)
        yield folder
    finally:
        shutil.rmtree(folder)


def copy_times(files: int, size_bytes: int, changed: int) -> tuple[str, CopyTimes]:
    """Measure once; also says on what kind of copy."""
    with _tree(files, size_bytes) as folder:
        return asyncio.run(_copy_times(folder, changed))


async def _copy_times(folder: Path, changed: int) -> tuple[str, CopyTimes]:
    project = folder / "project"
    began = time.perf_counter()
    subprocess.run(["cp", "-a", str(project), str(folder / "cp")], check=True)
    cp_s = time.perf_counter() - began
    walks = [_spent(lambda: stat_walk(project)) for _ in range(ROUNDS)]
    try:
        sandbox = docker_sandbox()
    except SandboxUnavailable:
        (folder / "copy").mkdir()
        return "folder", await _work(folder, FolderCopy(folder / "copy"), None, changed, cp_s, _best(walks))
    try:
        await sandbox.open_copy()
        return "docker", await _work(folder, sandbox.copy, sandbox, changed, cp_s, _best(walks))
    finally:
        await sandbox.aclose()


def _spent(work: Callable[[], object]) -> Spent:
    cpu_s = time.process_time()
    wall_s = _timed(work)
    return Spent(wall_s, time.process_time() - cpu_s)


def _best(rounds: list[Spent]) -> Spent:
    return Spent(min(one.wall_s for one in rounds), min(one.cpu_s for one in rounds))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _work(
    folder: Path, copy: Copy, sandbox: DockerSandbox | None, changed: int, cp_s: float, walk: Spent
) -> CopyTimes:
    def opened() -> Workspace:
        settings = WorkspaceSettings(home=Path("/nowhere"), max_seed_bytes=None)
        return Workspace(folder / "project", copy, folder / "state", settings)

    async def timed(work: Callable[[], Awaitable[object]]) -> float:
        began = time.perf_counter()
        await work()
        return time.perf_counter() - began

    first = opened()
    seed_s = await timed(lambda: first.prepare(lambda event: None))
    await first.aclose()
    seconds: list[Spent] = []
    for _ in range(ROUNDS):
        if isinstance(copy, DockerCopy):
            # A start finds no helper container of an earlier session.
            await copy.aclose()
        workspace = opened()
        began_s, cpu_s = time.perf_counter(), time.process_time()
        await workspace.prepare(lambda event: None)
        seconds.append(Spent(time.perf_counter() - began_s, time.process_time() - cpu_s))
        await workspace.aclose()
    workspace = opened()
    await _change(folder, copy, changed)
    diff_s = await timed(workspace.changes)
    apply_s = await timed(lambda: workspace.apply(None, True, "user"))
    undo_s = await timed(workspace.undo)
    await workspace.aclose()
    return CopyTimes(cp_s, walk, seed_s, _best(seconds), diff_s, apply_s, undo_s)


async def _change(folder: Path, copy: Copy, changed: int) -> None:
    """Other content for some of the files."""
    files = sorted(path for path in (folder / "cp").rglob("*.txt"))[:changed]
    for file in files:
        file.write_bytes(b"changed\n" + file.read_bytes()[:1000])
    paths = [os.fsencode(file.relative_to(folder / "cp")) for file in files]
    await copy.seed(folder / "cp", paths, lambda *_: None)


def exec_times(count: int) -> ExecTimes:
    """Run ``true`` by turns in the sandbox and by ``docker exec``.

    Raises:
        SandboxUnavailable: If there is no engine or image.
    """
    return asyncio.run(_exec_times(count))


async def _exec_times(count: int) -> ExecTimes:
    sandbox = docker_sandbox()
    ours: list[float] = []
    bare: list[float] = []
    try:
        await sandbox.start(lambda text: None)
        label = [f"{WORKSPACE_ID}={sandbox.workspace_id}", "agentui.role=commands"]
        (record,) = sandbox.image.engine.api.containers(filters={"label": label})
        words = ["docker", "exec", "-u", "1000", record["Id"], "bash", "-c", "true"]
        for _ in range(count):
            began = time.perf_counter()
            await sandbox.run(Command("true"), lambda chunk: None)
            ours.append(time.perf_counter() - began)
            bare.append(_timed(lambda: subprocess.run(words, check=True, capture_output=True)))
    finally:
        await sandbox.aclose()
    return ExecTimes(tuple(ours), tuple(bare))


def run_times(count: int) -> ExecTimes:
    """`agentui sandbox run -- true` on a new copy of a tiny project, and `docker run` of its image, by turns.

    Raises:
        SandboxUnavailable: If there is no engine, or the image is not built.
    """
    image = docker_sandbox().image
    if not asyncio.run(image.is_built()):
        raise SandboxUnavailable(f"{image.tag} is not built")
    with tempfile.TemporaryDirectory(prefix="agentui-bench-") as folder:
        (Path(folder) / "a").write_text("x")
        with tempfile.TemporaryDirectory(prefix="agentui-bench-home-") as home:
            words = [sys.executable, "-m", "agentui", "sandbox", "run", "--sandbox", "docker", "-C", folder]
            environment = {**os.environ, "AGENTUI_HOME": home}
            bare = [
                "docker",
                "run",
                "--rm",
                "--init",
                "--network",
                "none",
                image.tag,
                "/bin/bash",
                "-c",
                "true",
            ]
            ours_s, bare_s = [], []
            for _ in range(count):
                ours = partial(subprocess.run, [*words, "--", "true"], check=True, env=environment)
                ours_s.append(_timed(ours))
                bare_s.append(_timed(partial(subprocess.run, bare, check=True)))
    return ExecTimes(tuple(ours_s), tuple(bare_s))
