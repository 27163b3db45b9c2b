"""One process at a time works on a project's copy and applies its changes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agentui.errors import ProjectBusy


class ProjectLock:
    """An advisory lock on a file; the system frees it when the process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock, or keep it. Does not wait.

        Raises:
            ProjectBusy: If another process (or another workspace of this one) holds it; names its pid.
        """
        if self._fd is not None:
            return
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise ProjectBusy(
                f"another agentui (process {holder or 'unknown'}) works on this project",
                hint="end that one first",
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd

    def free(self) -> None:
        """Let others have it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
