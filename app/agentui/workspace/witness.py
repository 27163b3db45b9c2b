"""That nothing of the host changed since it last agreed with the base, told by one stat walk.

Selecting, hashing and comparing ask rules about every path. Where every name, type and mark is what it was, and
so is every file that the rules come from, their answers are the same too.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentui.workspace.gitindex import find_repository
from agentui.workspace.hosttree import mark_of
from agentui.workspace.manifest import HostView, is_git_path
from agentui.workspace.select import Selection
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.sources import RACY_NS, source_mark

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Witness:
    """What a look at the host saw: by folder, each name and its mark (only its mode where that is enough).

    `rules` stands for settings and repository, `sources` are marks of files outside of the walk.
    """

    rules: str
    sources: Mapping[str, str]
    folders: Mapping[str, Mapping[str, str]]
    files: int
    size_bytes: int
    left_out: tuple[str, ...]

    def holds(self, root: Path, settings: WorkspaceSettings) -> bool:
        """Whether the host is still as it was seen. Blocking: one stat walk of the folders that count."""
        if self.rules != _rules_of(root, settings):
            return False
        if any(source_mark(path) != mark for path, mark in self.sources.items()):
            return False
        base = os.path.join(os.fspath(root), "")
        return all(_is_as_seen(base + folder, names) for folder, names in self.folders.items())

    def text(self) -> str:
        """As one line of ASCII."""
        kept = [_FORMAT, self.rules, self.sources, self.folders, self.files, self.size_bytes, self.left_out]
        return json.dumps(kept)


def parse_witness(text: str | None) -> Witness | None:
    """The way back from `Witness.text`; ``None`` for what this version did not write."""
    if text is None:
        return None
    kept = json.loads(text)
    if kept[0] != _FORMAT:
        return None
    _, rules, sources, folders, files, size_bytes, left_out = kept
    return Witness(rules, sources, folders, files, size_bytes, tuple(left_out))


def witness_of(root: Path, settings: WorkspaceSettings, selection: Selection, view: HostView) -> Witness | None:
    """What was seen, to be asked later; ``None`` if it was not seen whole, or is too young to be relied on."""
    if not selection.is_whole or selection.entries.keys() != view.nodes.keys():
        return None
    settled_ns = selection.began_ns - RACY_NS
    folders: dict[str, dict[str, str]] = {}
    for folder, names in selection.seen.items():
        prefix = folder + b"/" if folder else b""
        is_git = is_git_path(folder)
        marks = folders[os.fsdecode(folder)] = {}
        for name, st in names.items():
            counts = is_git or name.startswith(b".git") or prefix + name in selection.entries
            if stat.S_ISDIR(st.st_mode) or not counts:
                marks[os.fsdecode(name)] = f"{st.st_mode:o}"
            elif st.st_ctime_ns > settled_ns:
                return None
            else:
                marks[os.fsdecode(name)] = mark_of(st)
    if "" in selection.sources.values():
        return None
    return Witness(
        _rules_of(root, settings), dict(selection.sources), folders, view.files, view.size_bytes, view.left_out
    )


def _rules_of(root: Path, settings: WorkspaceSettings) -> str:
    return repr(
        (
            *(settings.include, settings.exclude, settings.everything, settings.with_git),
            *(settings.global_ignore, find_repository(root)),
        )
    )


def _is_as_seen(folder: str, names: Mapping[str, str]) -> bool:
    found = 0
    try:
        # A link swapped in for a folder on the way shows as another mode above; here only marks are compared.
        with os.scandir(folder) as entries:
            for entry in entries:
                st, seen = entry.stat(follow_symlinks=False), names.get(entry.name)
                if seen is None or seen != (mark_of(st) if ":" in seen else f"{st.st_mode:o}"):
                    return False
                found += 1
    except OSError:
        return False
    return found == len(names)
