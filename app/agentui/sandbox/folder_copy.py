"""A private copy that is a plain folder of the host, for the sandboxes that run on the host itself.

Commands there can put links anywhere, so every path is walked folder by folder without following any.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from agentui.errors import SandboxError
from agentui.sandbox.base import MAX_ENTRIES, TOO_MANY, TOO_MANY_HINT, Entry, EntryType, OnBytes
from agentui.sandbox.folder_files import parent_of, remove_below, write_below
from agentui.sandbox.settle import settled
from agentui.sandbox.tar_stream import PERMISSIONS, SEEN, parents

PROGRESS_FILES = 100
T = TypeVar("T")
_TYPES: tuple[tuple[Callable[[int], bool], EntryType], ...] = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "dir"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
)


class FolderCopy:
    """The files below `folder`, which must exist when a method is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def manifest(self) -> tuple[Entry, ...]:
        """Every entry but the root; opens folders that the commands closed, and closes them again."""
        entries = await self._in_thread(
            lambda _root, _stop: tuple(itertools.islice(_walk(os.fsencode(self.folder)), MAX_ENTRIES + 1))
        )
        if len(entries) > MAX_ENTRIES:
            raise SandboxError(TOO_MANY, hint=TOO_MANY_HINT)
        return entries

    async def identity(self) -> str | None:
        """The folder's own number; ``None`` while nothing lies in it."""
        return await self._in_thread(lambda here, _stop: _identity_of(here))

    async def seed(self, root: Path, paths: Sequence[bytes], progress: OnBytes) -> None:
        """Bring host paths in; see the protocol. Progress comes on the event loop.

        Raises:
            SandboxError: If something cannot be read or written.
        """
        loop = asyncio.get_running_loop()

        def report(files: int, size_bytes: int) -> None:
            if files % PROGRESS_FILES == 0 or files == len(paths):
                loop.call_soon_threadsafe(progress, files, size_bytes)

        await self._in_thread(lambda here, stop: _seed(root, paths, here, report, stop))

    async def fetch(self, paths: Sequence[bytes], into: Path) -> None:
        """Write regular files of the copy below `into`.

        Raises:
            SandboxError: If one of them is not there, or no regular file.
        """
        await self._in_thread(lambda here, stop: _fetch(here, paths, into, stop))

    async def remove(self, paths: Sequence[bytes]) -> None:
        """Remove entries, folders with all they hold; missing ones are no error."""

        def work(here: int, stop: threading.Event) -> None:
            for path in paths:
                if stop.is_set():
                    return
                try:
                    with parent_of(here, path, will_write=True) as (folder, leaf):
                        remove_below(folder, leaf)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    # A link above it (ELOOP): the path as named does not exist.
                    if not _has_link_above(here, path):
                        raise SandboxError(f"{_shown(path)} cannot be removed: {error.strerror}") from error

        await self._in_thread(work)

    async def clear(self) -> None:
        """Remove everything."""

        def work(here: int, _stop: threading.Event) -> None:
            for name in os.listdir(here):
                remove_below(here, os.fsencode(name))

        await self._in_thread(work)

    async def _in_thread(self, work: Callable[[int, threading.Event], T]) -> T:
        """Run `work` with the open folder; a cancel makes it stop early and is raised when it has."""
        stop = threading.Event()

        def open_and_work() -> T:
            try:
                here = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise SandboxError(f"The private copy {self.folder} is not there: {error.strerror}") from error
            try:
                return work(here, stop)
            except OSError as error:
                raise SandboxError(f"The private copy {self.folder} could not be worked on: {error}") from error
            finally:
                os.close(here)

        running = asyncio.ensure_future(asyncio.to_thread(open_and_work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.set()
            await settled(_done(running))
            raise


async def _done(running: asyncio.Future[T]) -> None:
    await asyncio.wait({running})


def _identity_of(folder: int) -> str | None:
    st = os.fstat(folder)
    with os.scandir(folder) as entries:
        return f"{st.st_dev}:{st.st_ino}" if next(entries, None) is not None else None


def _walk(base: bytes) -> Iterator[Entry]:
    """Every entry, folders before what they hold; without what lies deeper than a path can name."""
    with contextlib.ExitStack() as closing:
        # Not by recursion: commands can make folders deeper than the stack.
        folders = [b""]
        while folders:
            prefix = folders.pop()
            for child in _children(os.path.join(base, prefix) if prefix else base, closing):
                path = prefix + b"/" + child.name if prefix else child.name
                try:
                    status = child.stat(follow_symlinks=False)
                    yield _entry(path, child.path, status)
                except OSError as error:
                    if error.errno != errno.ENAMETOOLONG:
                        raise
                    continue
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)


def _children(folder: bytes, closing: contextlib.ExitStack) -> list[os.DirEntry[bytes]]:
    """What lies in a folder; one that its mode closes is open until `closing` ends."""
    try:
        return list(os.scandir(folder))
    except PermissionError:
        mode = stat.S_IMODE(os.lstat(folder).st_mode)
        os.chmod(folder, mode | 0o700)
        closing.callback(os.chmod, folder, mode)
        return list(os.scandir(folder))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return []
        raise


def _entry(path: bytes, full: bytes, status: os.stat_result) -> Entry:
    type_ = _type(status.st_mode)
    size, mtime, ctime = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return Entry(
        path=path,
        type=type_,
        mode=status.st_mode & SEEN.get(type_, PERMISSIONS),
        size_bytes=size,
        mtime_ns=mtime,
        fingerprint=f"{size} {mtime} {ctime} {status.st_ino}",
        link_target=os.readlink(full) if type_ == "link" else None,
    )


def _type(mode: int) -> EntryType:
    for test, name in _TYPES:
        if test(mode):
            return name
    return "device"


def _seed(root: Path, paths: Sequence[bytes], here: int, report: OnBytes, stop: threading.Event) -> None:
    base = os.fsencode(root)
    listed = set(paths)
    folders: dict[bytes, os.stat_result] = {}
    size_bytes = 0
    for count, path in enumerate(paths, 1):
        if stop.is_set():
            return
        for folder in parents(path):
            if folder not in folders:
                # One that is only on the way keeps what the commands made of it.
                own = None if folder in listed else _folder_here(here, folder)
                _bring_folder(base, folder, here, folders)
                if own is not None and folder in folders:
                    folders[folder] = own
        try:
            status = os.lstat(os.path.join(base, path))
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            _bring_folder(base, path, here, folders)
        else:
            _bring(os.path.join(base, path), path, status, here)
            size_bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
        report(count, size_bytes)
    # Last and innermost first: filling a folder changes its time, and a closed one cannot be filled.
    for path, status in sorted(folders.items(), reverse=True):
        with parent_of(here, path) as (parent, leaf):
            os.chmod(leaf, status.st_mode & PERMISSIONS, dir_fd=parent)
            os.utime(leaf, ns=(status.st_mtime_ns, status.st_mtime_ns), dir_fd=parent)


def _folder_here(here: int, path: bytes) -> os.stat_result | None:
    try:
        with parent_of(here, path) as (folder, leaf):
            status = os.lstat(leaf, dir_fd=folder)
    except OSError:
        return None
    return status if stat.S_ISDIR(status.st_mode) else None


def _bring_folder(base: bytes, path: bytes, here: int, folders: dict[bytes, os.stat_result]) -> None:
    try:
        status = os.lstat(os.path.join(base, path))
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        return
    with parent_of(here, path + b"/x", make=True) as (folder, _):
        os.fchmod(folder, 0o700)
    folders[path] = status


def _bring(source: bytes, path: bytes, status: os.stat_result, here: int) -> None:
    times = (status.st_mtime_ns, status.st_mtime_ns)
    with parent_of(here, path, make=True, will_write=True) as (folder, leaf):
        if stat.S_ISLNK(status.st_mode):
            remove_below(folder, leaf)
            os.symlink(os.readlink(source), leaf, dir_fd=folder)
            os.utime(leaf, ns=times, dir_fd=folder, follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            with open(
                os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
            ) as content:
                remove_below(folder, leaf)
                write_below(folder, leaf, content)
            os.chmod(leaf, status.st_mode & PERMISSIONS, dir_fd=folder)
            os.utime(leaf, ns=times, dir_fd=folder)


def _fetch(here: int, paths: Sequence[bytes], into: Path, stop: threading.Event) -> None:
    target = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path in paths:
            if stop.is_set():
                return
            try:
                with parent_of(here, path) as (folder, leaf):
                    _fetch_one(folder, leaf, target, path)
            except OSError as error:
                raise SandboxError(
                    f"{_shown(path)} cannot be read in the private copy: {error.strerror}"
                ) from error
    finally:
        os.close(target)


def _fetch_one(folder: int, leaf: bytes, target: int, path: bytes) -> None:
    status = os.lstat(leaf, dir_fd=folder)
    if not stat.S_ISREG(status.st_mode):
        raise SandboxError(f"{_shown(path)} is not a regular file in the private copy any more")
    is_closed = not status.st_mode & 0o400
    if is_closed:
        os.chmod(leaf, status.st_mode & PERMISSIONS | 0o400, dir_fd=folder)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(leaf, flags, dir_fd=folder), "rb") as content:
            write_below(target, path, content)
    finally:
        if is_closed:
            os.chmod(leaf, status.st_mode & PERMISSIONS, dir_fd=folder)


def _has_link_above(here: int, path: bytes) -> bool:
    return any(_is_link(here, folder) for folder in parents(path))


def _is_link(here: int, path: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path, dir_fd=here).st_mode)
    except OSError:
        return False


def _shown(path: bytes) -> str:
    return os.fsdecode(path).encode("unicode_escape").decode("ascii")


def make_folder(folder: Path) -> None:
    """Make a private folder for a copy.

    Raises:
        SandboxError: If it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SandboxError(
            f"The folder {folder} for the private copy cannot be made: {error.strerror}"
        ) from error
