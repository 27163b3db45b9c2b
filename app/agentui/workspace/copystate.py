"""The copy's side of the comparison: its entries, and the content of those whose entry says too little."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentui.errors import WorkspaceError
from agentui.sandbox.base import Copy, Entry
from agentui.sandbox.folder_files import remove_below
from agentui.workspace.baseline import Known
from agentui.workspace.folding import fold_path
from agentui.workspace.hosttree import Node
from agentui.workspace.settings import MAX_DEPTH
from agentui.workspace.threads import in_thread

_CHUNK_BYTES = 1 << 20
MAX_PATH_BYTES = 800 if sys.platform == "darwin" else 3800
"""Systems take 1,024 or 4,096 for a whole path; the project's own is part of that."""


def host_can_hold(path: bytes) -> bool:
    """Whether the host takes such a path at all: not the longest ones, and macOS none that is not UTF-8."""
    if len(path) > MAX_PATH_BYTES:
        return False
    if sys.platform != "darwin":
        return True
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class CopyState:
    """Reads a copy through its `Copy`. `scratch` is a folder of ours for what is fetched for a moment.

    Hashes are remembered by fingerprint, which commands in the sandbox cannot forge.
    """

    def __init__(self, copy: Copy, scratch: Path) -> None:
        self.copy = copy
        self._scratch = scratch
        self._hashes: dict[bytes, tuple[str, bytes]] = {}

    async def manifest(self) -> dict[bytes, Entry]:
        """Every entry by its path, but what lies in folders too deep to be applied. O(entries)."""
        return {entry.path: entry for entry in await self.copy.manifest() if not _is_below_the_last(entry.path)}

    async def hashes(self, entries: Sequence[Entry]) -> dict[bytes, bytes]:
        """SHA-256 of regular files; fetches those not hashed before."""
        wanted = [e for e in entries if self._hashes.get(e.path, ("", b""))[0] != e.fingerprint]
        async with self.fetched([entry.path for entry in wanted]) as files:
            digests = await in_thread(hash_files, files)
        for entry in wanted:
            if entry.path not in digests:
                raise WorkspaceError(f"{entry.path!r} of the copy was not handed out")
            self._hashes[entry.path] = (entry.fingerprint, digests[entry.path])
        return {entry.path: self._hashes[entry.path][1] for entry in entries}

    async def contents(self, paths: Collection[bytes]) -> dict[bytes, bytes]:
        """The bytes of small regular files."""
        async with self.fetched(paths) as files:
            return await in_thread(lambda: {path: read_plain(file) for path, file in files.items()})

    @asynccontextmanager
    async def fetched(self, paths: Iterable[bytes]) -> AsyncIterator[dict[bytes, Path]]:
        """Files of the copy as files of the host, for as long as the block lasts."""
        batches = _without_twins(paths)
        if not batches:
            yield {}
            return
        folder = Path(await in_thread(lambda: tempfile.mkdtemp(prefix="fetch-", dir=self._scratch)))
        try:
            files: dict[bytes, Path] = {}
            for number, batch in enumerate(batches):
                into = folder / str(number)
                into.mkdir(mode=0o700)
                await self.copy.fetch(batch, into)
                files.update((path, into / os.fsdecode(path)) for path in batch)
            yield files
        finally:
            await in_thread(lambda: remove_tree(folder))


def _is_below_the_last(path: bytes) -> bool:
    """Whether even its folder is too deep, or has too long a path: that one stands for all it holds.

    Each look asks about every folder above a path, and no command line can name what is longer.
    """
    return path.count(b"/") > MAX_DEPTH or path.rfind(b"/") > MAX_PATH_BYTES


def node_of_entry(entry: Entry, sha256: bytes = b"") -> Node:
    """A copy's entry as a node; the hash where it is known."""
    size = entry.size_bytes if entry.type == "file" else 0
    return Node(entry.type, entry.mode, size, entry.mtime_ns, sha256, entry.link_target)


def is_untouched(entry: Entry | None, known: Known | None) -> bool:
    """Whether an entry is surely what it was when it was last compared."""
    if entry is None or known is None:
        return entry is None and known is None
    if entry.type != known.node.type or (entry.type != "link" and entry.mode != known.copy_mode):
        return False
    match entry.type:
        case "link":
            return entry.link_target == known.node.link_target
        case "dir":
            return True
        case _:
            return entry.fingerprint == known.copy_mark


def needs_hash(entry: Entry, known: Known) -> bool:
    """Whether only the content can tell if the file is the known one."""
    return (
        entry.type == known.node.type == "file"
        and entry.fingerprint != known.copy_mark
        and entry.size_bytes == known.node.size_bytes
    )


def marked(known: Known, entry: Entry) -> Known:
    """A known path with the copy's present entry taken as equal to it."""
    return Known(known.node, known.host_mark, entry.fingerprint, entry.mode)


def _without_twins(paths: Iterable[bytes]) -> list[list[bytes]]:
    """Batches in which no two names can fall together on the host."""
    batches: list[dict[str, bytes]] = []
    for path in paths:
        key = fold_path(path)
        for batch in batches:
            if key not in batch:
                batch[key] = path
                break
        else:
            batches.append({key: path})
    return [list(batch.values()) for batch in batches]


def hash_files(files: Mapping[bytes, Path]) -> dict[bytes, bytes]:
    """SHA-256 of fetched files. Blocking.

    Raises:
        WorkspaceError: If one is not a regular file.
    """
    digests: dict[bytes, bytes] = {}
    for path, file in files.items():
        digest = hashlib.sha256()
        fd = _open_plain(file)
        try:
            while chunk := os.read(fd, _CHUNK_BYTES):
                digest.update(chunk)
        finally:
            os.close(fd)
        digests[path] = digest.digest()
    return digests


def read_plain(file: Path) -> bytes:
    """Content of a fetched file; refuses anything but a regular file."""
    fd = _open_plain(file)
    with os.fdopen(fd, "rb") as stream:
        return stream.read()


def _open_plain(file: Path) -> int:
    st = file.lstat()
    if not stat.S_ISREG(st.st_mode):
        raise WorkspaceError(f"the copy handed out {file.name!r}, which is not a regular file")
    if not st.st_mode & stat.S_IRUSR:
        # Taken over with the mode the agent gave it; the fetched file is ours to read.
        file.chmod(0o600)
    return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours, whatever modes lie in it and however deep; missing is no error."""
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        remove_below(parent, os.fsencode(folder.name))
    finally:
        os.close(parent)
