"""Where an apply keeps what it took from the host, and what it is about to put there: numbered slots.

Moving is a rename where project and trash lie on one file system. Where they do not, the content is copied and
made durable first, then the original goes. Nothing of the host is ever unlinked without a copy in a slot.
Moving onto the host never overwrites: a name that exists meanwhile is an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentui.workspace.hosttree import HostChanged, HostTree, Node, entry_type

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_CHUNK_BYTES = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT_MODE = 0o1777
"""What a file brought from the copy may have of a mode: never setuid or setgid."""


def _silent(point: str) -> None:
    """Called where a crash would leave a state of its own; tests crash there."""


class Slots:
    """The slots of one apply. Blocking. Close after use.

    Raises:
        OSError: From every method, for what the file system refuses.
    """

    def __init__(self, folder: Path, label: str, on_point: Callable[[str], None] = _silent) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._label = label
        self._point = on_point

    def __enter__(self) -> Slots:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def lstat(self, slot: int) -> os.stat_result | None:
        """What lies in a slot."""
        return lstat_at(self.fd, _name(slot))

    def stage(self, slot: int, source: Path, node: Node, like: os.stat_result | None) -> None:
        """Move a fetched file into a slot, ready to be put: mode, time, owner set, content durable."""
        os.rename(source, _name(slot), dst_dir_fd=self.fd)
        fd = os.open(_name(slot), _READ, dir_fd=self.fd)
        try:
            _own(fd, like)
            os.fchmod(fd, node.mode & _KEPT_MODE)
            os.utime(fd, ns=(node.mtime_ns, node.mtime_ns))
            os.fsync(fd)
        finally:
            os.close(fd)

    def inherit(self, slot: int, node: Node, tree: HostTree, path: bytes) -> None:
        """Give a staged file the extended attributes of the host's file that it will replace."""
        with suppress(OSError), tree.parent(path) as (fd, name):
            source = os.open(name, _READ, dir_fd=fd)
            target = os.open(_name(slot), _READ, dir_fd=self.fd)
            try:
                copy_attributes(source, target)
                # An access list among them brings the mode of the file that had it.
                os.fchmod(target, node.mode & _KEPT_MODE)
            finally:
                os.close(source)
                os.close(target)

    def keep_folder(self, fd: int, name: bytes, slot: int) -> None:
        """Keep what a folder of the host is beside its name and mode, as far as we may: owner, attributes."""
        with suppress(FileExistsError):
            os.mkdir(_name(slot), 0o700, dir_fd=self.fd)
        _copy_folder(fd, name, self.fd, _name(slot))

    def dress_folder(self, fd: int, name: bytes, slot: int) -> None:
        """Give a folder that is on the host again what `keep_folder` kept."""
        _copy_folder(self.fd, _name(slot), fd, name)

    def stage_link(self, slot: int, node: Node) -> None:
        """Make a link in a slot, ready to be put."""
        os.symlink(node.link_target or b"", _name(slot), dir_fd=self.fd)
        os.utime(_name(slot), ns=(node.mtime_ns, node.mtime_ns), dir_fd=self.fd, follow_symlinks=False)

    def take(self, tree: HostTree, path: bytes, node: Node, slot: int) -> None:
        """Move a file or link of the host into a slot.

        Raises:
            HostChanged: If it is not `node` any more; then it is where it was.
        """
        with tree.parent(path) as (fd, name):
            st = lstat_at(fd, name)
            if st is None or not _looks_like(fd, name, st, node):
                raise HostChanged(path, "it changed on the host meanwhile")
            try:
                os.rename(name, _name(slot), src_dir_fd=fd, dst_dir_fd=self.fd)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy_in(fd, name, node, slot, path)
                return
            self._point("taken")
            moved = self.lstat(slot)
            # Between the look and the rename somebody may have written: what was moved decides.
            if moved is None or _identity(moved) != _identity(st):
                self._give_back(fd, name, slot)
                raise HostChanged(path, "it changed on the host in this moment")

    def _copy_in(self, fd: int, name: bytes, node: Node, slot: int, path: bytes) -> None:
        before = os.stat(name, dir_fd=fd, follow_symlinks=False)
        self._copy(fd, name, self.fd, _name(slot), node, path)
        self._point("copied in")
        # Aside first, then a look, then away: so a file saved in this very moment is seen, not lost.
        gone = self._temp(slot) + b".gone"
        os.rename(name, gone, src_dir_fd=fd, dst_dir_fd=fd)
        self._point("aside")
        aside = os.stat(gone, dir_fd=fd, follow_symlinks=False)
        if _identity(aside) != _identity(before):
            os.rename(gone, name, src_dir_fd=fd, dst_dir_fd=fd)
            os.unlink(_name(slot), dir_fd=self.fd)
            raise HostChanged(path, "it changed on the host in this moment")
        os.unlink(gone, dir_fd=fd)

    def put(self, tree: HostTree, path: bytes, node: Node, slot: int) -> None:
        """Move what is in a slot to the host, where nothing may lie.

        Raises:
            HostChanged: If something lies there.
        """
        with tree.parent(path) as (fd, name):
            if lstat_at(fd, name) is not None:
                raise HostChanged(path, "something was put there meanwhile")
            try:
                self._move_out(fd, name, node, slot, path)
            except FileExistsError as error:
                raise HostChanged(path, "something was put there in this moment") from error

    def _move_out(self, fd: int, name: bytes, node: Node, slot: int, path: bytes) -> None:
        try:
            # A hard link fails where a rename would overwrite.
            os.link(_name(slot), name, src_dir_fd=self.fd, dst_dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.EXDEV:
                self._copy_out(fd, name, node, slot, path)
            elif error.errno in _NO_HARD_LINKS:
                os.rename(_name(slot), name, src_dir_fd=self.fd, dst_dir_fd=fd)
                return
            else:
                raise
        self._point("put")
        os.unlink(_name(slot), dir_fd=self.fd)

    def _copy_out(self, fd: int, name: bytes, node: Node, slot: int, path: bytes) -> None:
        temp = self._temp(slot)
        with suppress(FileNotFoundError):
            os.unlink(temp, dir_fd=fd)
        self._copy(self.fd, _name(slot), fd, temp, node, path)
        self._point("copied out")
        try:
            os.link(temp, name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            os.unlink(temp, dir_fd=fd)
            raise
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            os.rename(temp, name, src_dir_fd=fd, dst_dir_fd=fd)
            return
        self._point("linked")
        os.unlink(temp, dir_fd=fd)
        _sync_names(fd)

    def _give_back(self, fd: int, name: bytes, slot: int) -> None:
        try:
            os.link(_name(slot), name, src_dir_fd=self.fd, dst_dir_fd=fd, follow_symlinks=False)
        except OSError:
            if lstat_at(fd, name) is not None:
                return  # both are kept: the newer where it is, the older in the trash
            os.rename(_name(slot), name, src_dir_fd=self.fd, dst_dir_fd=fd)
            return
        os.unlink(_name(slot), dir_fd=self.fd)

    def _copy(self, from_fd: int, name: bytes, to_fd: int, new: bytes, node: Node, path: bytes) -> None:
        """Copy a file or link to another file system: complete and durable under its name, or not at all."""
        part = new + b".part"
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=to_fd)
        if node.type == "link":
            os.symlink(os.readlink(name, dir_fd=from_fd), part, dir_fd=to_fd)
        else:
            _copy_file(from_fd, name, to_fd, part, path, self._point)
        st = os.stat(name, dir_fd=from_fd, follow_symlinks=False)
        os.utime(part, ns=(st.st_atime_ns, st.st_mtime_ns), dir_fd=to_fd, follow_symlinks=False)
        os.rename(part, new, src_dir_fd=to_fd, dst_dir_fd=to_fd)
        _sync_names(to_fd)

    def _temp(self, slot: int) -> bytes:
        return b".agentui-" + self._label.encode() + b"-" + str(slot).encode()

    def revert_take(self, tree: HostTree, path: bytes, node: Node, slot: int) -> str | None:
        """Make sure `path` is on the host again, wherever `take` was stopped; says what stood against it."""
        held = self.lstat(slot)
        if held is None:
            return None
        with tree.parent(path) as (fd, name):
            st = lstat_at(fd, name)
            gone = self._temp(slot) + b".gone"
            if st is None and lstat_at(fd, gone) is not None:
                os.rename(gone, name, src_dir_fd=fd, dst_dir_fd=fd)
                os.unlink(_name(slot), dir_fd=self.fd)
                return None
            if st is None:
                self._move_out(fd, name, node, slot, path)
                self._sweep(fd, slot)
                return None
            is_copy = _is_double(st, held) or (node.type == "file" and _has_hash(fd, name, node.sha256))
            if is_copy and _looks_like(fd, name, st, node):
                os.unlink(_name(slot), dir_fd=self.fd)
                return None
        return f"it was written anew meanwhile; the one before is kept as {self.folder / str(slot)}"

    def revert_put(self, tree: HostTree, path: bytes, node: Node, slot: int) -> str | None:
        """Make sure what was put is in its slot again, wherever `put` was stopped; says what prevented it."""
        with tree.parent(path) as (fd, name):
            self._sweep(fd, slot)
            st, held = lstat_at(fd, name), self.lstat(slot)
            if st is None:
                return None
            is_ours = _looks_like(fd, name, st, node)
            if held is not None and is_ours and _is_double(st, held):
                os.unlink(name, dir_fd=fd)
                return None
            if held is None and is_ours:
                self.take(tree, path, node, slot)
                return None
        if held is not None:
            return None  # never put: somebody else's
        return "it was changed meanwhile and was left as it is"

    def _sweep(self, fd: int, slot: int) -> None:
        for name in (self._temp(slot), self._temp(slot) + b".part"):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)


def lstat_at(fd: int, name: bytes) -> os.stat_result | None:
    """The entry `name` of a folder, ``None`` if there is none."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _name(slot: int) -> bytes:
    return str(slot).encode()


def _identity(st: os.stat_result) -> tuple[int, int, int]:
    return st.st_ino, st.st_size, st.st_mtime_ns


def _looks_like(fd: int, name: bytes, st: os.stat_result, node: Node) -> bool:
    """Whether an entry is `node`, by what a rename keeps: type, size and time, or the link's target."""
    if entry_type(st.st_mode) != node.type:
        return False
    if node.type == "link":
        return os.readlink(name, dir_fd=fd) == node.link_target
    if st.st_size != node.size_bytes:
        return False
    return st.st_mtime_ns == node.mtime_ns or _has_hash(fd, name, node.sha256)


def _has_hash(fd: int, name: bytes, sha256: bytes) -> bool:
    file = os.open(name, _READ, dir_fd=fd)
    with os.fdopen(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest() == sha256


def _is_double(st: os.stat_result, held: os.stat_result) -> bool:
    """Whether host and slot can hold one file since a move between them was cut: one inode, or a full copy."""
    return os.path.samestat(st, held) or st.st_dev != held.st_dev


def _own(fd: int, like: os.stat_result | None) -> None:
    """Give a new file the owner of the one it replaces, as far as we may."""
    if like is None:
        return
    st = os.fstat(fd)
    with suppress(PermissionError):
        if st.st_gid != like.st_gid:
            os.fchown(fd, -1, like.st_gid)
        if st.st_uid != like.st_uid:
            os.fchown(fd, like.st_uid, -1)


def _copy_folder(from_fd: int, name: bytes, to_fd: int, new: bytes) -> None:
    """Copy a folder's owner and attributes to another folder; one that its mode closes to us has none."""
    with suppress(OSError):
        source = os.open(name, _READ | os.O_DIRECTORY, dir_fd=from_fd)
        try:
            target = os.open(new, _READ | os.O_DIRECTORY, dir_fd=to_fd)
            try:
                _own(target, os.fstat(source))
                copy_attributes(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)


def _copy_file(
    from_fd: int, name: bytes, to_fd: int, part: bytes, path: bytes, point: Callable[[str], None]
) -> None:
    source = os.open(name, _READ, dir_fd=from_fd)
    try:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise HostChanged(path, "it is no regular file any more")
        target = os.open(part, _NEW, 0o600, dir_fd=to_fd)
        try:
            while chunk := os.read(source, _CHUNK_BYTES):
                _write_all(target, chunk)
            point("half copied")
            _own(target, before)
            copy_attributes(source, target)
            os.fchmod(target, stat.S_IMODE(before.st_mode))
            os.fsync(target)
        finally:
            os.close(target)
        if _identity(os.fstat(source)) != _identity(before):
            raise HostChanged(path, "it was written to in this moment")
    finally:
        os.close(source)


def _sync_names(fd: int) -> None:
    """Make a folder's names durable; `fd` may be one that only resolves paths."""
    with suppress(OSError):
        folder = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def copy_attributes(source: int, target: int) -> None:
    """Copy extended attributes between open files, as far as both file systems take them. Linux only."""
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))
