"""Reach entries below a folder without following links that somebody put there. Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO

LIFT_DEPTH = 64

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def parent_of(
    root: int, path: bytes, *, make: bool = False, will_write: bool = False
) -> Iterator[tuple[int, bytes]]:
    """The open folder that holds `path`, and the path's last part.

    Folders on the way that their owner may not enter are opened for the time being.

    Args:
        root: Descriptor of the folder that `path` is relative to.
        path: Relative, without empty, ``.`` or ``..`` parts.
        make: Make missing folders, and replace what stands in a folder's place.
        will_write: Also open the folder itself for writing.

    Raises:
        OSError: If a part above is missing or no real folder, and `make` is off.
        ValueError: If `path` is not of that form.
    """
    *folders, leaf = path.split(b"/")
    if any(part in (b"", b".", b"..") for part in (*folders, leaf)):
        raise ValueError(f"not a path below a folder: {path!r}")
    with contextlib.ExitStack() as closing:
        here = os.dup(root)
        closing.callback(os.close, here)
        for part in folders:
            here = _step(here, part, make, closing)
            closing.callback(os.close, here)
        if will_write:
            _open_for_writing(here, closing)
        yield here, leaf


def write_below(root: int, path: bytes, content: BinaryIO) -> None:
    """Write a new file, private to us; folders above are made.

    Raises:
        OSError: If it exists or cannot be written.
    """
    with parent_of(root, path, make=True) as (folder, leaf):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(leaf, flags, 0o600, dir_fd=folder), "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)


def remove_below(folder: int, name: bytes) -> None:
    """Remove an entry of an open folder with all it holds, never following a link; missing is no error.

    However deep it is: what lies deeper than `LIFT_DEPTH` is moved up first, so that neither the stack nor the
    descriptors of the process run out.

    Raises:
        OSError: If something in it cannot be removed even after its folder was made writable.
    """
    waiting = [name]
    while waiting:
        _remove(folder, waiting.pop(), 0, folder, waiting)


def _remove(folder: int, name: bytes, depth: int, top: int, waiting: list[bytes]) -> None:
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if status.st_mode & 0o700 != 0o700:
        # Not a link, as was just seen; without these bits its owner can neither list, empty nor move it.
        os.chmod(name, 0o700, dir_fd=folder)
    if depth == LIFT_DEPTH:
        lifted = b".agentui-removed-" + secrets.token_hex(8).encode()
        os.rename(name, lifted, src_dir_fd=folder, dst_dir_fd=top)
        waiting.append(lifted)
        return
    below = os.open(name, _FOLDER, dir_fd=folder)
    try:
        for child in os.listdir(below):
            _remove(below, os.fsencode(child), depth + 1, top, waiting)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=folder)


def _open_for_writing(folder: int, closing: contextlib.ExitStack) -> None:
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    if mode & 0o300 != 0o300:
        os.fchmod(folder, mode | 0o700)
        closing.callback(os.fchmod, folder, mode)


def _open_closed(here: int, part: bytes, closing: contextlib.ExitStack) -> int:
    """Enter a folder of ours that its mode forbids us; the mode comes back when `closing` ends."""
    status = os.lstat(part, dir_fd=here)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), part)
    os.chmod(part, 0o700, dir_fd=here)
    below = os.open(part, _FOLDER, dir_fd=here)
    closing.callback(os.fchmod, below, stat.S_IMODE(status.st_mode))
    return below


def _step(here: int, part: bytes, make: bool, closing: contextlib.ExitStack) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=here)
    except FileNotFoundError:
        if not make:
            raise
    except PermissionError:
        return _open_closed(here, part, closing)
    except OSError as error:
        if not make or error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        # A file or a link where a folder is needed.
        remove_below(here, part)
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, 0o755, dir_fd=here)
    return os.open(part, _FOLDER, dir_fd=here)
