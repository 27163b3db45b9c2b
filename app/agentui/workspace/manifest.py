"""The host's side of the comparison: what each selected path is now, hashed only where it may have changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agentui.workspace.baseline import MAX_TEXT_BYTES, Known
from agentui.workspace.folding import folds_to
from agentui.workspace.hosttree import HostChanged, HostTree, Node, NotPlain, entry_type, mark_of, node_of
from agentui.workspace.ignore import text_of
from agentui.workspace.kept_back import KeptBack, kept_back
from agentui.workspace.select import Selection
from agentui.workspace.sources import RACY_NS


@dataclass(slots=True)
class HostView:
    """Every selected path of the host with a mark, and contents worth keeping for a merge, by hash.

    `kept_back` are tracked files that are there but not selected, by the path of their repository's index.
    """

    nodes: dict[bytes, Node] = field(default_factory=dict)
    marks: dict[bytes, str] = field(default_factory=dict)
    texts: dict[bytes, bytes] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    kept_back: Mapping[bytes, KeptBack] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Size of all files. O(entries)."""
        return sum(node.size_bytes for node in self.nodes.values())

    @property
    def files(self) -> int:
        """Count of regular files. O(entries)."""
        return sum(node.type == "file" for node in self.nodes.values())


def look(
    tree: HostTree,
    selection: Selection,
    known: Mapping[bytes, Known],
    progress: Callable[[int, int], None] = lambda files, size: None,
) -> HostView:
    """Say what each selected path is. Blocking; reads only files whose mark differs from the known one.

    `progress` gets files and bytes looked at so far. Paths that cannot be read, or change all the time, are
    left out and named.
    """
    view = HostView()
    left_out = list(selection.left_out)
    files = size = 0
    for path, st in selection.entries.items():
        before = known.get(path)
        mark = mark_of(st)
        if before is not None and before.host_mark == mark:
            view.nodes[path], view.marks[path] = before.node, mark
        else:
            try:
                view.nodes[path] = _read(tree, path, st, view.texts)
            except (HostChanged, NotPlain, OSError) as error:
                left_out.append(f"{text_of(path)} (not read: {_reason(error)})")
                continue
            view.marks[path] = mark_of(st) if is_git_path(path) else settled_mark(st)
        files, size = files + 1, size + st.st_size
        progress(files, size)
    view.left_out = tuple(left_out)
    view.kept_back = kept_back(selection, view.nodes.keys() | known.keys())
    for index, kept in view.kept_back.items():
        if index in view.marks:
            # The copy's index depends on them too.
            view.marks[index] += f" {kept.mark()}"
    return view


def settled_mark(st: os.stat_result) -> str:
    """The mark of a stat result, empty if the file is so young that another write might leave no trace."""
    age_ns = time.time_ns() - st.st_ctime_ns
    return mark_of(st) if age_ns > RACY_NS else ""


def is_git_path(path: bytes) -> bool:
    """Whether a path is or lies below something that is ``.git`` to any file system."""
    if path.isascii() and b"git" not in path.lower() and path.decode("ascii").isprintable():
        return False  # the usual case, without folding every component
    return any(folds_to(part, ".git") for part in path.split(b"/"))


def _read(tree: HostTree, path: bytes, st: os.stat_result, texts: dict[bytes, bytes]) -> Node:
    kind = entry_type(st.st_mode)
    if kind == "link":
        return node_of(st, link_target=tree.readlink(path))
    if kind == "dir" or is_git_path(path):
        # What git keeps for itself is compared by its marks only: it can be huge, and it never comes back.
        return node_of(st)
    if st.st_size > MAX_TEXT_BYTES:
        return node_of(st, tree.sha256(path, st))
    content = tree.read(path, st)
    digest = hashlib.sha256(content).digest()
    if is_text(content):
        texts[digest] = content
    return node_of(st, digest)


def is_text(content: bytes) -> bool:
    """Whether content looks like text: no NUL near its start, as git judges."""
    return b"\0" not in content[:8192]


def _reason(error: Exception) -> str:
    match error:
        case HostChanged():
            return error.what
        case OSError():
            return error.strerror or str(error)
        case _:
            return "a folder above it is a link"
