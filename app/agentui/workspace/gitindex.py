"""What git tracks in a folder, read without running git there: a repository's settings can run code.

The index is parsed from the format's description (Documentation/gitformat-index in git's sources), versions 2
to 4. Whatever cannot be understood counts as "no index": then only the ignore files decide.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_MAX_INDEX_BYTES = 256 * 1024 * 1024
_MAX_SMALL_FILE_BYTES = 64 * 1024
_HEADER_BYTES = 12
_STAT_BYTES = 40
_STAGE = 0x3000
_EXTENDED = 0x4000
_SKIP_WORKTREE = 0x4000
"""Among the extended flags."""
_SHA256_FORMAT = re.compile(rb"^[ \t]*objectformat[ \t]*=[ \t]*\"?sha256", re.IGNORECASE | re.MULTILINE)


class IndexUnreadable(Exception):
    """The index is not one we understand; the text says why."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: its working tree, its own directory, and the one it shares with other worktrees."""

    worktree: Path
    git_dir: Path
    common_dir: Path

    @property
    def exclude_file(self) -> Path:
        """The ignore rules that are not part of the tree."""
        return self.common_dir / "info" / "exclude"


def find_repository(folder: Path) -> Repository | None:
    """The repository whose working tree holds `folder`, looking upwards."""
    for candidate in (folder, *folder.parents):
        if repository := repository_at(candidate):
            return repository
    return None


def repository_at(worktree: Path) -> Repository | None:
    """The repository with exactly this working tree; follows the ``.git`` file of worktrees and submodules."""
    dot_git = worktree / ".git"
    try:
        kind = stat.S_IFMT(dot_git.lstat().st_mode)
        if kind == stat.S_IFDIR:
            git_dir = dot_git
        elif kind == stat.S_IFREG:
            target = git_file_target(_small(dot_git))
            if target is None:
                return None
            git_dir = (worktree / target).resolve()
        else:
            return None
        if not (git_dir / "HEAD").is_file():
            return None
        common = git_dir / "commondir"
        shared = _small(common).strip().decode("utf-8", "surrogateescape") if common.is_file() else "."
        return Repository(worktree, git_dir, (git_dir / shared).resolve())
    except (OSError, ValueError):
        return None


def git_file_target(content: bytes) -> str | None:
    """Where a ``.git`` file points to, ``None`` if it is none."""
    if not content.startswith(b"gitdir:"):
        return None
    return content[len(b"gitdir:") :].strip().decode("utf-8", "surrogateescape") or None


def tracked_paths(repository: Repository) -> frozenset[bytes]:
    """Paths in the index, relative to the working tree; submodules only by their folder.

    Raises:
        IndexUnreadable: If it is damaged, too large, split, or of another version; not if it is missing.
    """
    data = read_index(repository)
    return frozenset() if data is None else parse_index(data, hash_bytes(repository))


def read_index(repository: Repository) -> bytes | None:
    """The index as it is on disk, ``None`` if there is none.

    Raises:
        IndexUnreadable: If it cannot be read or is too large.
    """
    index = repository.git_dir / "index"
    try:
        if not index.exists():
            return None
        if index.stat().st_size > _MAX_INDEX_BYTES:
            raise IndexUnreadable("the index is too large")
        return index.read_bytes()
    except OSError as error:
        raise IndexUnreadable(str(error)) from error


def hash_bytes(repository: Repository) -> int:
    """Length of the repository's object names: 32 for SHA-256, else 20.

    Raises:
        IndexUnreadable: If its settings cannot be read.
    """
    config = repository.common_dir / "config"
    try:
        return 32 if config.is_file() and _SHA256_FORMAT.search(_small(config)) else 20
    except OSError as error:
        raise IndexUnreadable(str(error)) from error


def parse_index(data: bytes, hash_bytes: int = 20) -> frozenset[bytes]:
    """Paths of an index file's content. O(entries).

    Raises:
        IndexUnreadable: If it is damaged, split, or of an unknown version.
    """
    # Folders of a sparse index (mode 40000) are not on disk.
    return frozenset(
        entry.path
        for entry in _entries(data, hash_bytes)
        if entry.mode != stat.S_IFDIR and is_plain(entry.path)
    )


def skipping(data: bytes, paths: Collection[bytes], hash_bytes: int = 20) -> bytes:
    """An index file's content with `paths` marked as not in the working tree (git's skip-worktree).

    Git then takes them as they are committed, and neither misses the files nor deletes them in a commit.

    Raises:
        IndexUnreadable: As `parse_index`.
    """
    version = int.from_bytes(data[4:8], "big")
    # The mark is one of the flags that came with version 3.
    parts = [data[:4], max(version, 3).to_bytes(4, "big"), data[8:_HEADER_BYTES]]
    end = _HEADER_BYTES
    for entry in _entries(data, hash_bytes):
        parts.append(_marked(data, entry, version) if entry.path in paths else data[entry.start : entry.end])
        end = entry.end
    for at, size in _extensions(data, end, len(data) - hash_bytes):
        # Those that hold offsets of entries; they only save time.
        if data[at : at + 4] not in (b"EOIE", b"IEOT"):
            parts.append(data[at : at + size])
    content = b"".join(parts)
    return content + (hashlib.sha256 if hash_bytes == 32 else hashlib.sha1)(content).digest()


class _Entry(NamedTuple):
    """Where one entry lies in an index, and what it says. `name_at` is where its name's bytes begin."""

    start: int
    flags_at: int
    name_at: int
    end: int
    mode: int
    flags: int
    path: bytes


def _entries(data: bytes, hash_bytes: int) -> Iterator[_Entry]:
    """Each entry; refuses what is no index before the first, and a split one after the last."""
    if len(data) < _HEADER_BYTES + hash_bytes or data[:4] != b"DIRC":
        raise IndexUnreadable("not an index")
    version = int.from_bytes(data[4:8], "big")
    count = int.from_bytes(data[8:12], "big")
    if version not in (2, 3, 4):
        raise IndexUnreadable(f"index version {version}")
    end = len(data) - hash_bytes
    offset, previous = _HEADER_BYTES, b""
    for _ in range(count):
        entry = _entry(data, offset, end, version, hash_bytes, previous)
        offset, previous = entry.end, entry.path
        yield entry
    if any(data[at : at + 4] == b"link" for at, _ in _extensions(data, offset, end)):
        raise IndexUnreadable("a split index")


def _entry(data: bytes, start: int, end: int, version: int, hash_bytes: int, previous: bytes) -> _Entry:
    flags_at = start + _STAT_BYTES + hash_bytes
    if flags_at + 2 > end:
        raise IndexUnreadable("the index ends in an entry")
    mode = int.from_bytes(data[start + 24 : start + 28], "big")
    flags = int.from_bytes(data[flags_at : flags_at + 2], "big")
    name_at = after_strip = flags_at + 2
    if flags & _EXTENDED:
        if version < 3:
            raise IndexUnreadable("extended flags in version 2")
        name_at = after_strip = name_at + 2
    strip = 0
    if version == 4:
        strip, after_strip = _varint(data, name_at, end)
        if strip > len(previous):
            raise IndexUnreadable("a name is cut by more than it has")
    nul = data.find(b"\0", after_strip, end)
    if nul < 0:
        raise IndexUnreadable("a name without an end")
    path = data[after_strip:nul]
    if version == 4:
        return _Entry(start, flags_at, name_at, nul + 1, mode, flags, previous[: len(previous) - strip] + path)
    # Versions 2 and 3 pad each entry with 1 to 8 NULs to a multiple of eight.
    return _Entry(start, flags_at, name_at, start + ((nul - start) // 8 + 1) * 8, mode, flags, path)


def _marked(data: bytes, entry: _Entry, version: int) -> bytes:
    """An entry of version 3 or 4 made of one of any version, with the mark unless it is one of a conflict."""
    if entry.flags & _STAGE:
        return data[entry.start : entry.end]
    more = int.from_bytes(data[entry.flags_at + 2 : entry.name_at], "big") | _SKIP_WORKTREE
    flags = (entry.flags | _EXTENDED).to_bytes(2, "big") + more.to_bytes(2, "big")
    head = data[entry.start : entry.flags_at] + flags
    if version == 4:
        return head + data[entry.name_at : entry.end]
    whole = head + entry.path
    return whole + bytes(8 - len(whole) % 8)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    # Offset encoding as in pack files: each further byte adds one before shifting.
    value = -1
    for position in range(at, min(at + 9, end)):
        byte = data[position]
        value = ((value + 1) << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return value, position + 1
    raise IndexUnreadable("a length without an end")


def _extensions(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each extension begins, and its length with its head."""
    while at + 8 <= end:
        size = 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        yield at, size
        at += size


def is_plain(path: bytes) -> bool:
    """Whether a path is relative and has no empty, ``.`` or ``..`` component."""
    return all(part not in (b"", b".", b"..") for part in path.split(b"/"))


def _small(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_SMALL_FILE_BYTES)
