"""Bring a plan to the host, or take it back: all of it or nothing, and recoverable at every step.

Each step is announced durably before it is done. When one fails, the announced ones are taken back; after a
crash the next start does the same. Taking back looks at what is really there, so it can be repeated and does no
harm to steps that never happened.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace

from agentui.errors import ApplyConflict, WorkspaceError
from agentui.workspace.hosttree import HostChanged, HostTree, Node, NotPlain, chmod_at, mark_of
from agentui.workspace.ignore import text_of
from agentui.workspace.journal import Progress, Unit
from agentui.workspace.plan import Op, Plan
from agentui.workspace.trash import Slots, lstat_at

log = logging.getLogger(__name__)

BATCH = 64
"""So many steps are announced by one line: making each line durable is what costs the time."""


def _silent(point: str) -> None:
    """Called around every step; tests crash there."""


def run(
    tree: HostTree, unit: Unit, plan: Plan, forward: bool, on_point: Callable[[str], None] = _silent
) -> None:
    """Do all steps of a plan, forward or backward. Blocking.

    Raises:
        ApplyConflict: If the host is not as the plan expects; everything is as before.
        WorkspaceError: If the file system refused a step; everything is as before.
    """
    before = _folder_times(tree, plan)
    after_apply = unit.progress().times or {}
    unit.log({"run": "forward" if forward else "backward", "times": _as_text(before)})
    ops = plan.direction(forward)
    done = 0
    with Slots(unit.slots, unit.label, on_point) as slots:
        try:
            for index, op in enumerate(ops):
                if index % BATCH == 0:
                    unit.log({"do": min(index + BATCH, len(ops))})
                done = index + 1
                on_point(f"before {op.kind}")
                _do(tree, slots, op)
                on_point(f"after {op.kind}")
            if not forward:
                # Where nobody else has changed them since the apply.
                same = {p: t for p, t in plan.folder_times.items() if before.get(p) == after_apply.get(p)}
                _restore_times(tree, same)
            _sync(tree, plan)
        except (HostChanged, NotPlain, OSError) as error:
            # A step that found the host changed has done nothing; one that the system refused may be half done.
            count = done if isinstance(error, OSError) else max(done - 1, 0)
            trouble = _take_back(tree, slots, unit, plan, ops[:count])
            raise _failure(error, ops[max(done - 1, 0)].path if ops else b"", forward, trouble) from error
    ended: dict[str, object] = {"end": True}
    if forward:
        ended["times"] = _as_text(_folder_times(tree, plan))
    unit.log(ended)
    on_point("ended")


def recover(tree: HostTree, unit: Unit, progress: Progress) -> list[str]:
    """Take back what a crash left half done; says what could not be taken back, in words. Blocking."""
    plan = unit.read_plan()
    ops = plan.direction(progress.forward)[: progress.announced]
    with Slots(unit.slots, unit.label) as slots:
        return _take_back(tree, slots, unit, plan, ops)


def check(
    tree: HostTree,
    expected: Mapping[bytes, Node | None],
    marks: Mapping[bytes, str],
    hint: str = "review the conflict: keep your version (discard) or compare both",
) -> dict[bytes, Node | None]:
    """Compare the host with what is expected of it, by content; returns the nodes with their present times.

    `marks` are `mark_of` texts that make reading a file unnecessary; `hint` goes with a conflict. Blocking.

    Raises:
        ApplyConflict: Naming every path that differs.
    """
    found: dict[bytes, Node | None] = {}
    differing: list[bytes] = []
    for path, wanted in expected.items():
        try:
            st = tree.lstat(path)
            mark = marks.get(path)
            if wanted is not None and st is not None and mark and mark_of(st) == mark:
                node: Node | None = replace(wanted, mtime_ns=st.st_mtime_ns)
            else:
                node = tree.node(path, st)
        except NotPlain as error:
            # Below what is now a file or link: absent, if that is what is expected there.
            if wanted is not None or error.path not in expected:
                differing.append(path)
            found[path] = None
            continue
        except (HostChanged, OSError):
            differing.append(path)
            continue
        if not _fits(node, wanted):
            differing.append(path)
        found[path] = node
    if differing:
        paths = tuple(text_of(path) for path in sorted(differing))
        raise ApplyConflict(
            f"changed on the host meanwhile: {_some(paths)}; nothing was written",
            hint=hint,
            paths=paths,
        )
    return found


def _fits(node: Node | None, wanted: Node | None) -> bool:
    if node is None or wanted is None:
        return node is wanted
    if node.type == wanted.type == "dir":
        return node.mode & 0o777 == wanted.mode & 0o777
    return node.same_as(wanted)


def _do(tree: HostTree, slots: Slots, op: Op) -> None:
    match op.kind:
        case "take":
            slots.take(tree, op.path, op.node, op.slot)
        case "put":
            slots.put(tree, op.path, op.node, op.slot)
        case "mkdir":
            _mkdir(tree, slots, op)
        case "rmdir":
            with tree.parent(op.path) as (fd, name):
                if op.slot >= 0:
                    slots.keep_folder(fd, name, op.slot)
                os.rmdir(name, dir_fd=fd)
        case "chmod":
            if not _chmod(tree, op.path, op.from_mode, op.node.mode):
                raise HostChanged(op.path, "its permissions changed meanwhile")


def _mkdir(tree: HostTree, slots: Slots, op: Op) -> None:
    with tree.parent(op.path) as (fd, name):
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError as error:
            raise HostChanged(op.path, "something was put there meanwhile") from error
        if op.slot < 0:
            chmod_at(fd, name, _with_inherited(fd, name, op.node.mode))
            return
        slots.dress_folder(fd, name, op.slot)
        chmod_at(fd, name, op.node.mode)


def _with_inherited(fd: int, name: bytes, mode: int) -> int:
    # A new folder may inherit the setgid bit of the one above.
    return mode & 0o777 | stat.S_IMODE(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode) & 0o7000


def _chmod(tree: HostTree, path: bytes, old: int, new: int) -> bool:
    with tree.parent(path) as (fd, name):
        st = lstat_at(fd, name)
        if st is None or stat.S_ISLNK(st.st_mode) or st.st_mode & 0o777 != old & 0o777:
            return False
        chmod_at(fd, name, st.st_mode & 0o7000 | new & 0o777)
    return True


def _take_back(tree: HostTree, slots: Slots, unit: Unit, plan: Plan, ops: tuple[Op, ...]) -> list[str]:
    trouble: list[str] = []
    for op in reversed(ops):
        try:
            why = _revert(tree, slots, op)
        except (NotPlain, FileNotFoundError):
            # The folder it is in was not made yet, so neither was it; unless content of the host is at stake.
            is_held = op.kind == "put" and slots.lstat(op.slot) is not None
            why = None if is_held or op.kind in ("mkdir", "chmod") else "the folder above it is gone"
        except (HostChanged, OSError) as error:
            log.warning("cannot take back %s of %r: %s", op.kind, op.path, error)
            why = str(error)
        if why:
            trouble.append(f"{text_of(op.path)}: {why}")
    _restore_times(tree, unit.progress().times_before or {})
    _sync(tree, plan)
    unit.log({"back": True, "trouble": trouble})
    return trouble


def _revert(tree: HostTree, slots: Slots, op: Op) -> str | None:
    """Make sure a step is undone, whether it was done, half done, or never begun."""
    match op.kind:
        case "take":
            return slots.revert_take(tree, op.path, op.node, op.slot)
        case "put":
            return slots.revert_put(tree, op.path, op.node, op.slot)
        case "mkdir":
            return _revert_mkdir(tree, op)
        case "rmdir":
            if tree.lstat(op.path) is None:
                _mkdir(tree, slots, op)
            return None
        case "chmod":
            _chmod(tree, op.path, op.node.mode, op.from_mode)
            return None


def _revert_mkdir(tree: HostTree, op: Op) -> str | None:
    st = tree.lstat(op.path)
    if st is None or not stat.S_ISDIR(st.st_mode):
        return None
    if tree.names(op.path):
        return "somebody put files there meanwhile; the folder stays"
    with tree.parent(op.path) as (fd, name):
        os.rmdir(name, dir_fd=fd)
    return None


def _folder_times(tree: HostTree, plan: Plan) -> dict[bytes, int]:
    times: dict[bytes, int] = {}
    for path in plan.folder_times:
        try:
            st = tree.lstat(path)
        except (NotPlain, OSError):
            continue
        if st is not None:
            times[path] = st.st_mtime_ns
    return times


def _as_text(times: Mapping[bytes, int]) -> dict[str, int]:
    return {text_of(path): mtime for path, mtime in times.items()}


def _restore_times(tree: HostTree, times: Mapping[bytes, int]) -> None:
    for path, mtime in times.items():
        try:
            st = tree.lstat(path)
            if st is not None and stat.S_ISDIR(st.st_mode):
                tree.set_mtime(path, mtime)
        except (NotPlain, OSError) as error:
            log.info("time of %r not restored: %s", path, error)


def _sync(tree: HostTree, plan: Plan) -> None:
    for path in {op.path.rpartition(b"/")[0] for op in plan.ops}:
        tree.sync_folder(path)


def _failure(
    error: HostChanged | NotPlain | OSError, path_at: bytes, forward: bool, trouble: list[str]
) -> WorkspaceError:
    what = "apply" if forward else "undo"
    left = "; nothing was changed"
    if trouble:
        left = f"; not everything could be taken back: {_some(tuple(trouble))}"
    match error:
        case HostChanged() | NotPlain():
            path = text_of(error.path)
            why = error.what if isinstance(error, HostChanged) else "a folder above it became a link"
            return ApplyConflict(
                f"cannot {what} {path}: {why}{left}", hint="look at it, then try again", paths=(path,)
            )
        case OSError():
            why, hint = refusal(error, text_of(path_at) or "the project")
            return WorkspaceError(f"cannot {what}: {why}{left}", hint=hint)


def refusal(error: OSError, path: str) -> tuple[str, str]:
    """What a refusal of the file system means, in words, and what to do about it."""
    match error.errno:
        case errno.EROFS:
            return f"{path} is on a file system that can only be read", "make it writable, then try again"
        case errno.EACCES | errno.EPERM:
            return f"you may not write {path}", "give yourself the right to, then try again"
        case errno.ENOSPC | errno.EDQUOT:
            return f"there is no room for {path}", "make room, or empty agentui's trash, then try again"
        case _:
            return f"{path}: {error.strerror or error}", "look at it, then try again"


def _some(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
