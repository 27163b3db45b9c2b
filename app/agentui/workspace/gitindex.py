"""What git tracks in a folder, read without running git there: a repository's settings can run code.

The index is parsed from the format's description (Documentation/gitformat-index in git's sources), versions 2
to 4. Whatever cannot be understood counts as "no index": then only the ignore files decide.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

_MAX_INDEX_BYTES = 256 * 1024 * 1024
_MAX_SMALL_FILE_BYTES = 64 * 1024
_HEADER_BYTES = 12
_STAT_BYTES = 40
_EXTENDED = 0x4000
_GITLINK = 0o160000
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
    index = repository.git_dir / "index"
    try:
        if not index.exists():
            return frozenset()
        if index.stat().st_size > _MAX_INDEX_BYTES:
            raise IndexUnreadable("the index is too large")
        data = index.read_bytes()
        config = repository.common_dir / "config"
        is_sha256 = config.is_file() and _SHA256_FORMAT.search(_small(config)) is not None
    except OSError as error:
        raise IndexUnreadable(str(error)) from error
    return parse_index(data, 32 if is_sha256 else 20)


def parse_index(data: bytes, hash_bytes: int = 20) -> frozenset[bytes]:
    """Paths of an index file's content. O(entries).

    Raises:
        IndexUnreadable: If it is damaged, split, or of an unknown version.
    """
    if len(data) < _HEADER_BYTES + hash_bytes or data[:4] != b"DIRC":
        raise IndexUnreadable("not an index")
    version = int.from_bytes(data[4:8], "big")
    count = int.from_bytes(data[8:12], "big")
    if version not in (2, 3, 4):
        raise IndexUnreadable(f"index version {version}")
    end = len(data) - hash_bytes
    paths: set[bytes] = set()
    offset, previous = _HEADER_BYTES, b""
    for _ in range(count):
        offset, previous, mode = _entry(data, offset, end, version, hash_bytes, previous)
        # Folders of a sparse index (mode 40000) are not on disk.
        if mode != stat.S_IFDIR and is_plain(previous):
            paths.add(previous)
    if _has_extension(data, offset, end, b"link"):
        raise IndexUnreadable("a split index")
    return frozenset(paths)


def _entry(
    data: bytes, start: int, end: int, version: int, hash_bytes: int, previous: bytes
) -> tuple[int, bytes, int]:
    flags_at = start + _STAT_BYTES + hash_bytes
    if flags_at + 2 > end:
        raise IndexUnreadable("the index ends in an entry")
    mode = int.from_bytes(data[start + 24 : start + 28], "big")
    flags = int.from_bytes(data[flags_at : flags_at + 2], "big")
    name_at = flags_at + 2
    if flags & _EXTENDED:
        if version < 3:
            raise IndexUnreadable("extended flags in version 2")
        name_at += 2
    strip = 0
    if version == 4:
        strip, name_at = _varint(data, name_at, end)
        if strip > len(previous):
            raise IndexUnreadable("a name is cut by more than it has")
    nul = data.find(b"\0", name_at, end)
    if nul < 0:
        raise IndexUnreadable("a name without an end")
    name = previous[: len(previous) - strip] + data[name_at:nul] if version == 4 else data[name_at:nul]
    if version == 4:
        return nul + 1, name, mode
    # Versions 2 and 3 pad each entry with 1 to 8 NULs to a multiple of eight.
    return start + ((nul - start) // 8 + 1) * 8, name, mode


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    # Offset encoding as in pack files: each further byte adds one before shifting.
    value = -1
    for position in range(at, min(at + 9, end)):
        byte = data[position]
        value = ((value + 1) << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return value, position + 1
    raise IndexUnreadable("a length without an end")


def _has_extension(data: bytes, at: int, end: int, wanted: bytes) -> bool:
    while at + 8 <= end:
        if data[at : at + 4] == wanted:
            return True
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    return False


def is_plain(path: bytes) -> bool:
    """Whether a path is relative and has no empty, ``.`` or ``..`` component."""
    return all(part not in (b"", b".", b"..") for part in path.split(b"/"))


def _small(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_SMALL_FILE_BYTES)
