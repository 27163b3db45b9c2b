"""A tar archive of chosen paths of a host tree, written piece by piece, and one read back. Blocks.

Names are bytes from end to end. `tarfile` can neither write a name that is not UTF-8 in a form every reader
takes, nor times to the nanosecond without losing such names; the format needs little: ustar blocks with pax
records before them.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from agentui.errors import SandboxError
from agentui.sandbox.base import OnBytes

BLOCK = 512
READ_BYTES = 1024 * 1024
PERMISSIONS = 0o777
"""What is kept of a mode: never setuid, setgid or sticky bits."""
SEEN = {"file": PERMISSIONS | 0o6000}
"""What is shown of the mode of an entry, where that is more: rules must see the bits that never come back."""
_OCTAL_LIMIT = 8**11
"""From here on a number does not fit into ustar's eleven octal digits."""
END = bytes(20 * BLOCK)
"""Two empty blocks end an archive; readers take them in records of twenty."""


def tar_parts(
    root: Path, paths: Sequence[bytes], uid: int, progress: OnBytes, present: Collection[bytes] = ()
) -> Iterator[bytes]:
    """The archive of `paths` below `root`, owned by `uid`; parents of a path come before it.

    Parents in `present` are left out: they are there already, and keep their mode.
    Links are stored as links and never followed. Paths that vanished or are neither file, folder nor link are
    left out. A file that shrinks or grows meanwhile is stored with the size it had at first, filled with NUL.
    """
    base = os.fsencode(root)
    folders: set[bytes] = set(present)
    files_done = bytes_done = 0
    for path in paths:
        for parent in parents(path):
            if parent not in folders:
                folders.add(parent)
                yield from _folder_parts(base, parent, uid)
        full = os.path.join(base, path)
        try:
            status = os.lstat(full)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            if path not in folders:
                folders.add(path)
                yield header(path, b"5", status, uid)
        elif stat.S_ISLNK(status.st_mode):
            yield header(path, b"2", status, uid, link=os.readlink(full))
        elif stat.S_ISREG(status.st_mode):
            for part in _file_parts(full, path, uid):
                yield part
                bytes_done += len(part)
        files_done += 1
        progress(files_done, bytes_done)
    yield END


def parents(path: bytes) -> Iterator[bytes]:
    """The folders above a relative path, outermost first, the root left out."""
    at = path.find(b"/")
    while at > 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


def header(path: bytes, kind: bytes, status: os.stat_result, uid: int, link: bytes = b"") -> bytes:
    """The blocks before an entry's content: pax records for what ustar cannot say exactly, then ustar."""
    size = status.st_size if kind == b"0" else 0
    seconds, fraction_ns = divmod(status.st_mtime_ns, 10**9)
    records = b""
    if fraction_ns or not 0 <= seconds < _OCTAL_LIMIT:
        records += _record(b"mtime", _decimal(status.st_mtime_ns))
    if len(path) > 100:
        records += _record(b"path", path)
    if len(link) > 100:
        records += _record(b"linkpath", link)
    if size >= _OCTAL_LIMIT:
        records += _record(b"size", b"%d" % size)
    blocks = b""
    if records:
        blocks = _block(b"pax", b"x", len(records), 0o644, 0, max(seconds, 0), b"") + _padded(records)
    return blocks + _block(path, kind, size, status.st_mode & PERMISSIONS, uid, max(seconds, 0), link)


def unpack_files(stream: BinaryIO, wanted: set[bytes], write: Callable[[bytes, BinaryIO], None]) -> set[bytes]:
    """Hand each regular file of an archive that is in `wanted` to `write`; returns the names that came.

    Whatever else the archive holds is passed over.

    Raises:
        SandboxError: If it ends early or is none.
    """
    came: set[bytes] = set()
    try:
        with tarfile.open(
            fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape", bufsize=READ_BYTES
        ) as archive:
            for member in archive:
                name = os.fsencode(member.name)
                content = archive.extractfile(member) if member.isreg() and name in wanted else None
                if content is not None:
                    write(name, content)  # type: ignore[arg-type]
                    came.add(name)
    except (tarfile.TarError, EOFError) as error:
        raise SandboxError(f"The files of the private copy did not arrive whole: {error}") from error
    return came


def _folder_parts(base: bytes, path: bytes, uid: int) -> Iterator[bytes]:
    try:
        status = os.lstat(os.path.join(base, path))
    except OSError:
        return
    if stat.S_ISDIR(status.st_mode):
        yield header(path, b"5", status, uid)


def _file_parts(full: bytes, path: bytes, uid: int) -> Iterator[bytes]:
    try:
        # O_NONBLOCK: a FIFO that took the file's place must not hold us.
        descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"{os.fsdecode(full)} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return
        first = header(path, b"0", status, uid)
        left = status.st_size
        while left > 0:
            data = os.read(descriptor, min(left, READ_BYTES)) or bytes(min(left, READ_BYTES))
            left -= len(data)
            yield first + data if left > 0 else first + _padded(data, status.st_size)
            first = b""
        if first:
            yield first
    finally:
        os.close(descriptor)


def _block(name: bytes, kind: bytes, size: int, mode: int, uid: int, mtime_s: int, link: bytes) -> bytes:
    fields = (
        name[:100].ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % uid,
        b"%011o\0" % (size if size < _OCTAL_LIMIT else 0),
        b"%011o\0" % min(mtime_s, _OCTAL_LIMIT - 1),
        b"        ",
        kind,
        link[:100].ljust(100, b"\0"),
        b"ustar\x0000",
    )
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value` and a newline, where LENGTH counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    return sign + b"%d.%09d" % divmod(abs(nanoseconds), 10**9)


def _padded(data: bytes, size: int | None = None) -> bytes:
    """`data` with NUL up to a whole block; `size` is the content's when `data` is only its last piece."""
    return data + bytes(-(len(data) if size is None else size) % BLOCK)
