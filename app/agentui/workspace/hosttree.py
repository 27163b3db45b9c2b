"""The host's project, reached only through directory descriptors: no link in a path is ever followed.

A path is resolved component by component with ``O_NOFOLLOW``, anew for each operation, so a folder that was
swapped for a link between two looks is noticed and never walked through.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentui.sandbox.base import EntryType

_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A descriptor that only resolves paths: it needs no read permission on the folder. Linux only.
_WALK_DIR = _OPEN_DIR | getattr(os, "O_PATH", 0)
_CHUNK_BYTES = 1 << 20


class NotPlain(Exception):
    """A path leads through a link or through something that is no directory, namely `path`."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class HostChanged(Exception):
    """Something on the host is not what it was when it was last looked at."""

    def __init__(self, path: bytes, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what


@dataclass(frozen=True, slots=True)
class Node:
    """What one path is, apart from where it lies: enough to say whether two trees agree there.

    `sha256` is empty for everything but regular files, and for files whose content is not compared (`.git`).
    """

    type: EntryType
    mode: int
    size_bytes: int = 0
    mtime_ns: int = 0
    sha256: bytes = b""
    link_target: bytes | None = None

    def same_content(self, other: Node) -> bool:
        """Whether type, bytes and link target agree; modes and times may differ."""
        return (self.type, self.sha256, self.link_target) == (other.type, other.sha256, other.link_target)

    def same_as(self, other: Node) -> bool:
        """Whether applying one over the other would change nothing; times do not count, nor a link's mode."""
        return self.same_content(other) and (self.type == "link" or self.mode == other.mode)


def same_node(a: Node | None, b: Node | None) -> bool:
    """`Node.same_as`, where both may be absent."""
    if a is None or b is None:
        return a is b
    return a.same_as(b)


def entry_type(mode: int) -> EntryType:
    """The type of an entry by its ``st_mode``."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISFIFO(mode):
        return "fifo"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def mark_of(st: os.stat_result) -> str:
    """A text that changes whenever content or mode may have changed: size, times, inode, mode."""
    return f"{st.st_size}:{st.st_mtime_ns}:{st.st_ctime_ns}:{st.st_ino}:{st.st_mode:o}"


class HostTree:
    """An open project folder. Blocking; use it from a worker thread and close it.

    Raises:
        OSError: From every method, for what the file system refuses.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> HostTree:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """A descriptor of the folder `path` (empty: the root), good for ``dir_fd=`` and nothing else.

        Raises:
            NotPlain: If a component is a link or not a directory.
            FileNotFoundError: If a component is missing.
        """
        fd = os.dup(self.fd)
        components = path.split(b"/") if path else []
        try:
            for depth, component in enumerate(components, 1):
                try:
                    below = os.open(component, _WALK_DIR, dir_fd=fd)
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
                        raise NotPlain(b"/".join(components[:depth])) from error
                    raise
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Descriptor of the folder that holds `path`, and the name in it; see `folder`."""
        head, _, name = path.rpartition(b"/")
        with self.folder(head) as fd:
            yield fd, name

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The entry itself (empty: the root), ``None`` if it or a folder above it is missing.

        Raises:
            NotPlain: If the way there leads through a link.
        """
        if not path:
            return os.fstat(self.fd)
        try:
            with self.parent(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def lstat_or_none(self, path: bytes) -> os.stat_result | None:
        """As `lstat`; ``None`` also where the path leads through something that is no folder."""
        try:
            return self.lstat(path)
        except NotPlain:
            return None

    def node(self, path: bytes, st: os.stat_result | None = None) -> Node | None:
        """What `path` is, with its content's hash: reads the whole file.

        Raises:
            NotPlain: If the way there leads through a link.
            HostChanged: If it changed while it was read.
        """
        st = st or self.lstat(path)
        if st is None:
            return None
        kind = entry_type(st.st_mode)
        digest = self.sha256(path, st) if kind == "file" else b""
        target = self.readlink(path) if kind == "link" else None
        return node_of(st, digest, target)

    def readlink(self, path: bytes) -> bytes:
        """The target of the link `path`, as it is written."""
        with self.parent(path) as (fd, name):
            return os.readlink(name, dir_fd=fd)

    def sha256(self, path: bytes, st: os.stat_result) -> bytes:
        """Hash of the file that `st` was taken of.

        Raises:
            HostChanged: If another file lies there by now, or it was written to meanwhile.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks(path, st):
            digest.update(chunk)
        return digest.digest()

    def read(self, path: bytes, st: os.stat_result) -> bytes:
        """Content of the file that `st` was taken of; as `sha256`."""
        return b"".join(self.chunks(path, st))

    def chunks(self, path: bytes, st: os.stat_result) -> Iterator[bytes]:
        """The file's bytes, a megabyte at a time; as `sha256`."""
        with self.parent(path) as (fd, name):
            # Not blocking: a FIFO put there meanwhile must not hang us.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        try:
            if mark_of(os.fstat(file)) != mark_of(st):
                raise HostChanged(path, "it was replaced while it was read")
            while chunk := os.read(file, _CHUNK_BYTES):
                yield chunk
            if mark_of(os.fstat(file)) != mark_of(st):
                raise HostChanged(path, "it was written to while it was read")
        finally:
            os.close(file)

    def names(self, path: bytes) -> list[bytes]:
        """Names in a folder; empty if there is none."""
        try:
            with self.folder(path) as fd:
                real = os.open(b".", _OPEN_DIR, dir_fd=fd)
        except FileNotFoundError:
            return []
        try:
            return [os.fsencode(name) for name in os.listdir(real)]
        finally:
            os.close(real)

    def set_mtime(self, path: bytes, mtime_ns: int) -> None:
        """Set the modification time of an entry itself (empty: the root)."""
        if not path:
            os.utime(self.fd, ns=(mtime_ns, mtime_ns))
            return
        with self.parent(path) as (fd, name):
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=fd, follow_symlinks=False)

    def sync_folder(self, path: bytes) -> None:
        """Make the names in a folder durable; a folder that cannot be opened is left to the system."""
        with suppress(OSError, NotPlain), self.folder(path) as fd:
            real = os.open(b".", _OPEN_DIR, dir_fd=fd)
            try:
                os.fsync(real)
            finally:
                os.close(real)


def chmod_at(fd: int, name: bytes, mode: int) -> None:
    """Set permission bits of `name` in the folder `fd`; refuses links."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except PermissionError:
        # Our own, but unreadable: only its name is left to change it by.
        if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            raise
        os.chmod(name, mode, dir_fd=fd)
        return
    try:
        os.fchmod(file, mode)
    finally:
        os.close(file)


def node_of(st: os.stat_result, sha256: bytes = b"", link_target: bytes | None = None) -> Node:
    """A node from a stat result; the size of what is no file counts as 0."""
    kind = entry_type(st.st_mode)
    size = st.st_size if kind == "file" else 0
    return Node(kind, stat.S_IMODE(st.st_mode), size, st.st_mtime_ns, sha256, link_target)
