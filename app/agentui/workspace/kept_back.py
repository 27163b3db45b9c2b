"""Tracked files that the host has and the copy does not (a ``.env``, say): the copy's git is told so.

Else it takes them for deleted, and so does whoever commits everything. The mark lies in the index that the copy
gets; the host's is only read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentui.workspace.gitindex import IndexUnreadable, Repository, hash_bytes, read_index, skipping
from agentui.workspace.select import Selection


@dataclass(frozen=True, slots=True)
class KeptBack:
    """What a repository tracks and the copy does not have; `paths` are relative to its working tree."""

    repository: Repository
    paths: frozenset[bytes]

    def mark(self) -> str:
        """A text that changes with the paths."""
        return hashlib.sha256(b"\0".join(sorted(self.paths))).hexdigest()[:16]


def kept_back(selection: Selection, held: Container[bytes]) -> dict[bytes, KeptBack]:
    """Tracked files that are on the host but not among `held`, by the path of their index. O(tracked paths)."""
    found: dict[bytes, KeptBack] = {}
    for index, tracked in selection.indexes.items():
        missing = [path for path in tracked.paths if tracked.prefix + path not in held]
        if paths := frozenset(path for path in missing if _is_on_host(tracked.prefix + path, selection)):
            found[index] = KeptBack(tracked.repository, paths)
    return found


def _is_on_host(path: bytes, selection: Selection) -> bool:
    """By what was seen; what lies in a folder that was not looked into counts as there."""
    folder, _, name = path.rpartition(b"/")
    while folder not in selection.seen:
        folder, _, name = folder.rpartition(b"/")
    return name in selection.seen[folder]


def write_marked(folder: Path, indexes: Mapping[bytes, KeptBack]) -> list[bytes]:
    """Write indexes with their marks below `folder`; returns those that could be understood. Blocking."""
    written: list[bytes] = []
    for path, kept in indexes.items():
        source, target = kept.repository.git_dir / "index", folder / os.fsdecode(path)
        try:
            st, data = source.stat(), read_index(kept.repository)
            content = None if data is None else skipping(data, kept.paths, hash_bytes(kept.repository))
        except (IndexUnreadable, OSError):
            # It changed since it was looked at; the next look brings it.
            continue
        if content is None:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(st.st_mode & 0o777)
        # Git compares the times of files with this one.
        os.utime(target, ns=(st.st_mtime_ns, st.st_mtime_ns))
        written.append(path)
    return written
