"""The steps of one apply: each a single change to the host that can be taken back by itself.

Forward the steps remove what goes (deepest first), then put what comes (outermost first); folders that forbid
writing are opened first and closed last. Undo is the same list, backwards, each step turned round.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from agentui.workspace.hosttree import HostChanged, HostTree, Node

OpKind = Literal["take", "put", "mkdir", "rmdir", "chmod"]
_OPEN = 0o700


@dataclass(frozen=True, slots=True)
class Op:
    """One step. `take` moves a file or link of the host into a slot of the trash, `put` does the reverse.

    `node` is what is moved, made or removed; for ``chmod`` what is there afterwards, `from_mode` the mode
    before. The slot of a folder of the host's keeps what it is beside its name and mode; a new one has none.
    """

    kind: OpKind
    path: bytes
    node: Node
    slot: int = -1
    from_mode: int = 0

    def inverse(self) -> Op:
        """The step that takes this one back."""
        match self.kind:
            case "take":
                return replace(self, kind="put")
            case "put":
                return replace(self, kind="take")
            case "mkdir":
                return replace(self, kind="rmdir")
            case "rmdir":
                return replace(self, kind="mkdir")
            case "chmod":
                node = replace(self.node, mode=self.from_mode)
                return replace(self, node=node, from_mode=self.node.mode)


@dataclass(frozen=True, slots=True)
class Target:
    """What the host has at a path, and what it shall have."""

    before: Node | None
    after: Node | None

    @property
    def needs_content(self) -> bool:
        """Whether something must be staged: whatever is put anew, if it is no folder."""
        if self.after is None or self.after.type == "dir":
            return False
        return self.before is None or self.before.type == "dir" or self.is_swap

    @property
    def is_swap(self) -> bool:
        """A file or link replaced by a file or link with other content."""
        return (
            self.before is not None
            and self.after is not None
            and "dir" not in (self.before.type, self.after.type)
            and not self.before.same_content(self.after)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of an apply, what each path was and will be, and the times of the folders it touches."""

    targets: Mapping[bytes, Target]
    ops: tuple[Op, ...]
    folder_times: Mapping[bytes, int] = field(default_factory=dict)

    def direction(self, forward: bool) -> tuple[Op, ...]:
        """The steps of an apply or redo, or those of its undo."""
        return self.ops if forward else tuple(op.inverse() for op in reversed(self.ops))


def old_slot(index: int) -> int:
    """Where the old content of the `index`-th path is kept; of a folder, its owner and attributes."""
    return 2 * index


def new_slot(index: int) -> int:
    """Where the new content of the `index`-th path is staged."""
    return 2 * index + 1


def make_plan(targets: Mapping[bytes, Target], tree: HostTree) -> Plan:
    """Order the steps. Blocking: looks at the folders of the host that are touched.

    Folders to be removed that hold files the copy never had stay, and are no longer among the plan's targets.

    Raises:
        HostChanged: If such a folder would have to make room for a file.
    """
    kept = _kept_folders(targets, tree)
    chosen = {path: target for path, target in sorted(targets.items()) if path not in kept}
    slots = {path: index for index, path in enumerate(chosen)}
    opened = _closed_folders(chosen, tree)
    opening = [
        Op("chmod", path, Node("dir", mode | _OPEN), from_mode=mode) for path, mode in sorted(opened.items())
    ]
    removals = _removals(chosen, slots, opened)
    additions = _additions(chosen, slots)
    ops = (*opening, *removals, *additions, *_closing(chosen, opened))
    return Plan(chosen, ops, _times(ops, tree))


def _kept_folders(targets: Mapping[bytes, Target], tree: HostTree) -> set[bytes]:
    kept: set[bytes] = set()
    for path, target in sorted(targets.items(), reverse=True):
        if target.before is None or target.before.type != "dir":
            continue
        if target.after is not None and target.after.type == "dir":
            continue
        for name in tree.names(path):
            child = targets.get(path + b"/" + name)
            if child is None or (child.after is not None) or path + b"/" + name in kept:
                if target.after is not None:
                    raise HostChanged(path, "it holds files that the copy never had")
                kept.add(path)
                break
    return kept


def _closed_folders(targets: Mapping[bytes, Target], tree: HostTree) -> dict[bytes, int]:
    """Folders of the host, by mode, that must be made writable for a moment."""
    closed: dict[bytes, int] = {}
    parents = {path.rpartition(b"/")[0] for path, target in targets.items() if _changes_names(target)}
    for parent in parents:
        if not parent:
            continue
        st = tree.lstat_or_none(parent)
        if st is not None and stat.S_ISDIR(st.st_mode):
            mode = stat.S_IMODE(st.st_mode)
            if mode & _OPEN != _OPEN:
                closed[parent] = mode
    return closed


def _changes_names(target: Target) -> bool:
    if target.before is None or target.after is None or target.is_swap:
        return True
    return target.before.type != target.after.type


def _removals(
    targets: Mapping[bytes, Target], slots: Mapping[bytes, int], opened: Mapping[bytes, int]
) -> list[Op]:
    ops: list[Op] = []
    for path, target in reversed(list(targets.items())):
        before, after = target.before, target.after
        if before is None or target.is_swap or (after is not None and after.type == before.type):
            continue
        if before.type == "dir":
            mode = opened[path] | _OPEN if path in opened else before.mode
            ops.append(Op("rmdir", path, replace(before, mode=mode), old_slot(slots[path])))
        else:
            ops.append(Op("take", path, before, old_slot(slots[path])))
    return ops


def _additions(targets: Mapping[bytes, Target], slots: Mapping[bytes, int]) -> list[Op]:
    ops: list[Op] = []
    for path, target in targets.items():
        before, after = target.before, target.after
        if after is None:
            continue
        index = slots[path]
        if target.is_swap and before is not None:
            ops.append(Op("take", path, before, old_slot(index)))
            ops.append(Op("put", path, after, new_slot(index)))
        elif before is not None and before.type == after.type:
            if after.type == "file" and before.mode != after.mode:
                ops.append(Op("chmod", path, after, from_mode=before.mode))
        elif after.type == "dir":
            ops.append(Op("mkdir", path, replace(after, mode=after.mode & 0o777 | _OPEN)))
        else:
            ops.append(Op("put", path, after, new_slot(index)))
    return ops


def _closing(targets: Mapping[bytes, Target], opened: Mapping[bytes, int]) -> list[Op]:
    final: dict[bytes, tuple[int, int]] = {path: (mode | _OPEN, mode) for path, mode in opened.items()}
    for path, target in targets.items():
        before, after = target.before, target.after
        if after is None or after.type != "dir":
            final.pop(path, None)
        elif before is not None and before.type == "dir":
            final[path] = (opened[path] | _OPEN if path in opened else before.mode, after.mode)
        else:
            final[path] = (after.mode & 0o777 | _OPEN, after.mode & 0o777)
    return [
        Op("chmod", path, Node("dir", mode), from_mode=now)
        for path, (now, mode) in sorted(final.items(), reverse=True)
        if now != mode
    ]


def _times(ops: tuple[Op, ...], tree: HostTree) -> dict[bytes, int]:
    """Modification times, before the apply, of the folders whose names change."""
    times: dict[bytes, int] = {}
    for op in ops:
        if op.kind == "chmod":
            continue
        parent = op.path.rpartition(b"/")[0]
        for folder in (parent, op.path) if op.kind == "rmdir" else (parent,):
            st = tree.lstat_or_none(folder) if folder not in times else None
            if st is not None and stat.S_ISDIR(st.st_mode):
                times[folder] = st.st_mtime_ns
    return times
