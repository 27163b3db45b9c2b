"""A bound on the number of processes that holds for root too: one of the kernel's control groups.

The usual bound (RLIMIT_NPROC) exempts root. Making a group needs root and a writable hierarchy, so inside a
container there is often none. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "agentui-"
REMOVE_TIMEOUT_S = 1.0

_log = logging.getLogger(__name__)


class ProcessFence:
    """A group that holds at most `limit` processes and threads."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        _write(folder / "pids.max", str(limit))

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from now on is in too.

        Raises:
            OSError: If the kernel refuses.
        """
        _write(self.folder / "cgroup.procs", str(pid))

    def remove(self) -> None:
        """Remove the group, whose processes have ended."""
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        while not _is_removed(self.folder):
            if time.monotonic() > deadline:
                # The next one to be made tries again.
                _log.warning("the process group %s could not be removed", self.folder)
                return
            time.sleep(0.005)


def make_fence(limit: int, parents: Iterator[Path] | None = None) -> ProcessFence | None:
    """A new group, or ``None`` where none can be made. Removes those that dead sessions left."""
    for parent in _parents() if parents is None else parents:
        folder = parent / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            for old in parent.glob(f"{PREFIX}*-*"):
                if not Path(f"/proc/{old.name.split('-')[1]}").exists():
                    _is_removed(old)
            folder.mkdir()
        except OSError:
            continue
        try:
            return ProcessFence(folder, limit)
        except OSError:
            # It came without the controller of processes.
            _is_removed(folder)
    return None


def _write(file: Path, text: str) -> None:
    # The kernel makes these files; where it did not, none must be made.
    with file.open("r+") as stream:
        stream.write(text)


def _is_removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _parents() -> Iterator[Path]:
    """Groups below which one could be made, best first (Linux's cgroups(7), versions 1 and 2)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for line in mounts:
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4])
        kind, _, options = after.split()[:3]
        if kind == "cgroup" and "pids" in options.split(","):
            own = [path for _, controllers, path in groups if "pids" in controllers.split(",")]
            yield from (mount / path.lstrip("/") for path in own)
            yield mount
        elif kind == "cgroup2":
            own = [path for number, controllers, path in groups if (number, controllers) == ("0", "")]
            # Beside our own: one that holds processes takes no limits for groups below it. Only the root may.
            yield from (mount / os.path.dirname(path.lstrip("/")) for path in own if path.count("/") > 1)
            with contextlib.suppress(OSError):
                _write(mount / "cgroup.subtree_control", "+pids")
            yield mount
