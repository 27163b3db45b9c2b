"""Random trees with the names, types and modes that break naive tools."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hypothesis import strategies as st

NAMES = [
    b"a",
    b"A",
    b"b",
    b"-rf",
    b"n\nl",
    b"\x1b[2J",
    b"\xff\xfe",
    b" ",
    "\u00e9".encode(),
    "e\u0301".encode(),
    b"a b",
    b"..x",
]
FILE_MODES = [0o644, 0o600, 0o755, 0o400, 0o444, 0o1644, 0o2755]
FOLDER_MODES = [0o755, 0o700, 0o555, 0o777, 0o2755, 0o1777]
TARGETS = [b"a", b"b/a", b"../a", b"/etc/passwd", b"missing", b"../../../out", b"a/../.."]


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int


@dataclass(frozen=True)
class Link:
    target: bytes


@dataclass(frozen=True)
class Folder:
    children: tuple[tuple[bytes, Tree], ...]
    mode: int


Tree: TypeAlias = File | Link | Folder

HOLE = bytes(8 * 1024)
"""Written as a hole where a content has it."""
CONTENTS = (b"", b"x", b"one\ntwo\n", b"\0bin", b"y" * 50, HOLE, b"head" + HOLE + b"tail", HOLE + b"tail")

# By number: the holes themselves would make examples unreadable.
_contents = st.integers(0, len(CONTENTS) - 1).map(lambda number: CONTENTS[number])
_files = st.builds(File, _contents, st.sampled_from(FILE_MODES))
_links = st.builds(Link, st.sampled_from(TARGETS))


def _folder(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    items = st.dictionaries(st.sampled_from(NAMES), children, max_size=4)
    return st.builds(Folder, items.map(lambda found: tuple(found.items())), st.sampled_from(FOLDER_MODES))


nodes: st.SearchStrategy[Tree] = st.recursive(st.one_of(_files, _files, _links), _folder, max_leaves=10)
trees = st.dictionaries(st.sampled_from(NAMES), nodes, max_size=5).map(
    lambda found: Folder(tuple(found.items()), 0o755)
)


@st.composite
def evolved(draw: st.DrawFn, before: Folder, after: Folder) -> Folder:
    """What the agent made of a tree: parts kept, dropped, replaced, mixed."""
    old, new = dict(before.children), dict(after.children)
    children: dict[bytes, Tree] = {}
    for name in sorted(old.keys() | new.keys()):
        was, comes = old.get(name), new.get(name)
        if isinstance(was, Folder) and isinstance(comes, Folder) and draw(st.booleans()):
            children[name] = draw(evolved(was, comes))
            continue
        kept = draw(st.sampled_from([was, comes]))
        if kept is not None:
            children[name] = kept
    return Folder(tuple(children.items()), draw(st.sampled_from([before.mode, after.mode])))


def build(root: Path, tree: Folder) -> None:
    """Write a tree into an existing empty folder; modes last, so that they do not stop us."""
    _build(os.fsencode(root), tree)


def _build(base: bytes, tree: Folder) -> None:
    for name, node in tree.children:
        path = os.path.join(base, name)
        match node:
            case File(content, mode):
                with open(path, "wb") as stream:
                    head, hole, tail = content.partition(HOLE)
                    stream.write(head)
                    stream.seek(len(hole), os.SEEK_CUR)
                    stream.write(tail)
                    stream.truncate(len(content))
                os.chmod(path, mode)
            case Link(target):
                os.symlink(target, path)
            case Folder(_, mode):
                os.mkdir(path)
                _build(path, node)
                os.chmod(path, mode)


def rebuild(root: Path, tree: Folder) -> None:
    """Make a folder hold exactly this tree."""
    for path, folders, _ in os.walk(os.fsencode(root)):
        for name in folders:
            if not os.path.islink(os.path.join(path, name)):
                os.chmod(os.path.join(path, name), 0o755)
    for found in list(os.scandir(root)):
        if found.is_dir(follow_symlinks=False):
            shutil.rmtree(found.path)
        else:
            os.unlink(found.path)
    build(root, tree)
