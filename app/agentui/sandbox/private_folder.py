"""A folder in the system's temporary one that goes with its session, also when that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "agentui-host-"
_LOCK = "lock"


class PrivateFolder:
    """A new folder, locked until it is removed. Making one removes those of sessions that were killed.

    Everything here blocks.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(self) -> None:
        _remove_left()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        fresh = self.path / "lock.new"
        self._fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        # It gets its name when it is held: else another session could take it first, and the folder with it.
        fresh.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._fd)


def _remove_left() -> None:
    """Remove folders of ours that nobody holds. One without a lock is being made just now."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Others can write where we look: what is not ours, or is a link, is no business of ours.
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.getuid():
                continue
            fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)
