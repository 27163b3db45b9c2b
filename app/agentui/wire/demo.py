"""The demo: a fresh scratch project, and the simulated model server in a process of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentui.errors import BackendUnavailable
from agentui.paths import Places, private_folder

DEMO_TASK = "split report.py into modules with PEP 585 type hints"
_PREFIX, _LOCK = "scratch-", "lock"


@dataclass(slots=True)
class Demo:
    """A scratch project and the simulator in a process of its own."""

    folder: Path
    url: str
    process: asyncio.subprocess.Process

    async def aclose(self) -> None:
        """End the simulator; the scratch project stays, so that its tests can be run."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 3)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Scratch:
    """A scratch project of its own for each demo; `project` is where it lies. Locked until it is closed.

    Args:
        where: The user's folders.
        kept: The project of an earlier demo that goes on, instead of a fresh one.
    """

    def __init__(self, where: Places, kept: Path | None = None) -> None:
        from agentui.simulator.scratch import make_scratch_project

        root = private_folder(where.demo)
        with _locked(root / _LOCK) as may_change:
            assert may_change, "waited for"
            if kept is None:
                _remove_ended(root, where)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root)) if kept is None else kept.parent
            self._fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.project = folder / "shop"
        if kept is None:
            make_scratch_project(self.project)

    def close(self) -> None:
        """Let a later demo remove it; the latest one is kept, so that its tests can be run."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _remove_ended(root: Path, where: Places) -> None:
    """Remove the scratch projects of ended demos and what was kept for their undo, but for the latest."""
    ended: list[tuple[float, Path]] = []
    for folder in root.glob(f"{_PREFIX}*"):
        with _locked(folder / _LOCK, waits=False) as is_ended:
            if is_ended:
                ended.append((folder.stat().st_mtime, folder))
    for _, folder in sorted(ended)[:-1]:
        project = folder / "shop"
        for gone in (where.copy(project), where.workspace(project), where.trash(project), folder):
            shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _locked(file: Path, *, waits: bool = True) -> Iterator[bool]:
    """Hold a lock that the system frees with its process; yields whether it was to be had."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)


async def start_demo(project: Path, speed: float) -> Demo:
    """Start the simulator as a child that ends with us.

    Raises:
        BackendUnavailable: If it does not start.
    """
    # -P: a folder called `agentui` where the user stands must not be imported instead of us.
    program = [sys.executable, "-P", "-m", "agentui"]
    command = [*program, "simulate", "--port", "0", "--json", "--exit-with-parent", "--speed", str(speed)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        url = json.loads(line)["url"]
    except (TimeoutError, ValueError, KeyError) as error:
        process.kill()
        await process.wait()
        raise BackendUnavailable("the simulated model server did not start") from error
    return Demo(project, url, process)
