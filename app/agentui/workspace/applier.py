"""One apply from the chosen differences to the host: fetch, check, plan, stage, run, record."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agentui.errors import ApplyConflict, WorkspaceError
from agentui.events import Change
from agentui.workspace import apply
from agentui.workspace.baseline import MAX_TEXT_BYTES, Baseline, Known
from agentui.workspace.changelist import ChangeList, Row
from agentui.workspace.copystate import CopyState, hash_files
from agentui.workspace.diff import Comparison
from agentui.workspace.hosttree import HostChanged, HostTree, Node
from agentui.workspace.ignore import text_of
from agentui.workspace.journal import Unit
from agentui.workspace.manifest import is_text, settled_mark
from agentui.workspace.plan import Plan, Target, make_plan, new_slot
from agentui.workspace.rules import Delta
from agentui.workspace.threads import in_thread
from agentui.workspace.trash import Slots
from agentui.workspace.undo import History, make_head

# Left free on the file system beside what the apply needs.
_SPARE_BYTES = 16 * 1024 * 1024


class Applier:
    """Writes the host."""

    def __init__(self, root: Path, baseline: Baseline, state: CopyState, history: History) -> None:
        self._root = root
        self._baseline = baseline
        self._state = state
        self._history = history

    def refuse_new_conflicts(
        self, comparison: Comparison, shown: Collection[bytes], paths: Collection[str] | None
    ) -> None:
        """Stop an apply of everything when the host changed under it: the user has not seen those conflicts.

        Raises:
            ApplyConflict: Naming them. The next apply goes without them.
        """
        fresh = sorted(path for path in comparison.conflicts if path not in shown)
        if fresh and paths is None:
            names = tuple(map(text_of, fresh))
            raise ApplyConflict(
                f"changed on the host too: {', '.join(names[:5])}; nothing was written",
                hint="apply again to bring everything else, or look at the conflict first",
                paths=names,
            )

    async def apply(
        self,
        comparison: Comparison,
        chosen: Collection[bytes],
        changes: tuple[Change, ...],
        by: Literal["user", "auto"],
        on_point: Callable[[str], None],
    ) -> str:
        """Bring the chosen differences to the host; returns the apply's id.

        Raises:
            ApplyConflict: If the host is not what the base says; nothing was written.
            WorkspaceError: If something else stood against it; nothing was changed.
        """
        deltas = {path: comparison.deltas[path] for path in chosen}
        await in_thread(self._check_room, deltas)
        contents = [p for p, delta in deltas.items() if _brings_content(delta)]
        async with self._state.fetched(contents) as files:
            return await in_thread(self._run, deltas, files, changes, by, on_point)

    def _check_room(self, deltas: Mapping[bytes, Delta]) -> None:
        needed = sum(d.after.size_bytes for d in deltas.values() if d.after is not None and _brings_content(d))
        room = os.statvfs(self._root)
        # Once fetched, once more where trash and project do not share a file system.
        if room.f_bavail * room.f_frsize < 2 * needed + _SPARE_BYTES:
            raise WorkspaceError(
                f"not enough room on the disk for {needed / 2**20:.0f} MiB of changes; nothing was written",
                hint="make room, or empty agentui's trash",
            )

    def _run(
        self,
        deltas: Mapping[bytes, Delta],
        files: Mapping[bytes, Path],
        changes: tuple[Change, ...],
        by: Literal["user", "auto"],
        on_point: Callable[[str], None],
    ) -> str:
        hashes = hash_files(files)
        with HostTree(self._root) as tree:
            expected = {path: delta.before for path, delta in deltas.items()}
            marks = {p: known.host_mark for p in deltas if (known := self._baseline.entries.get(p))}
            found = apply.check(tree, self._without_twins(tree, expected), marks)
            targets = {path: Target(found.get(path), _wanted(delta, hashes)) for path, delta in deltas.items()}
            try:
                plan = make_plan(targets, tree)
            except HostChanged as error:
                path = text_of(error.path)
                raise ApplyConflict(f"{path}: {error.what}; nothing was written", paths=(path,)) from error
            unit, apply_id = self._history.new_unit()
            try:
                self._stage(tree, unit, plan, files)
                unit.write_plan(make_head(apply_id, by, changes), plan)
                on_point("planned")
                apply.run(tree, unit, plan, forward=True, on_point=on_point)
            except Exception:
                # Not a handler: the error goes on; a unit that never came about leaves nothing behind.
                self._history.drop(unit)
                raise
            self._history.supersede()
            self._record(tree, deltas, plan)
        return apply_id

    def _without_twins(self, tree: HostTree, expected: dict[bytes, Node | None]) -> dict[bytes, Node | None]:
        """Leave out new names that a case-insensitive host shows only because an old one goes."""
        result: dict[bytes, Node | None] = {}
        for path, node in expected.items():
            if node is None:
                st = tree.lstat_or_none(path)
                head, _, name = path.rpartition(b"/")
                if st is not None and name not in tree.names(head) and _goes(tree, expected, st):
                    continue
            result[path] = node
        return result

    def _stage(self, tree: HostTree, unit: Unit, plan: Plan, files: Mapping[bytes, Path]) -> None:
        owner = os.fstat(tree.fd) if os.geteuid() == 0 else None
        with Slots(unit.slots, unit.label) as slots:
            for index, (path, target) in enumerate(plan.targets.items()):
                after = target.after
                if after is None or not target.needs_content:
                    continue
                if after.type == "link":
                    slots.stage_link(new_slot(index), after)
                elif after.type == "file":
                    like = tree.lstat(path) if target.is_swap else owner
                    slots.stage(new_slot(index), files[path], after, like)
                    if target.is_swap:
                        slots.inherit(new_slot(index), after, tree, path)

    def _record(self, tree: HostTree, deltas: Mapping[bytes, Delta], plan: Plan) -> None:
        """The base is now what was applied."""
        put: dict[bytes, Known] = {}
        texts: dict[bytes, bytes] = {}
        for path, target in plan.targets.items():
            entry, after = deltas[path].entry, target.after
            st = tree.lstat_or_none(path)
            if after is None or entry is None or st is None:
                continue
            mode = st.st_mode & 0o7777
            put[path] = Known(replace(after, mode=mode), settled_mark(st), entry.fingerprint, entry.mode)
            if after.type == "file" and after.size_bytes <= MAX_TEXT_BYTES:
                try:
                    content = tree.read(path, st)
                except (HostChanged, OSError):
                    continue
                if is_text(content):
                    texts[after.sha256] = content
        self._baseline.add_texts(texts)
        self._baseline.update(put, set(deltas) - put.keys())

    def to_discard(self, rows: Collection[Row], comparison: Comparison) -> dict[bytes, Delta]:
        """The differences of rows, with new folders that would be left empty."""
        deltas = comparison.deltas
        paths = {path for row in rows for path in row.paths}
        staying = comparison.entries.keys() - paths
        holding = {head for path in staying for head in _heads(path)}
        for path in list(paths):
            for head in _heads(path):
                above = deltas.get(head)
                if above is not None and above.before is None and head not in holding:
                    paths.add(head)
        return {path: deltas[path] for path in paths}


def _brings_content(delta: Delta) -> bool:
    """Whether the copy's bytes are needed: not for folders, links, removals, and changes of mode alone."""
    after = delta.after
    if after is None or after.type != "file":
        return False
    return delta.before is None or not delta.before.same_content(after)


def _wanted(delta: Delta, hashes: Mapping[bytes, bytes]) -> Node | None:
    after = delta.after
    if after is None:
        return None
    digest = hashes.get(delta.path, after.sha256)
    mode = after.mode if delta.before is not None else after.mode & 0o777
    return replace(after, sha256=digest, mode=mode)


def _goes(tree: HostTree, expected: Mapping[bytes, Node | None], st: os.stat_result) -> bool:
    for path, node in expected.items():
        other = tree.lstat_or_none(path) if node is not None else None
        if other is not None and os.path.samestat(other, st):
            return True
    return False


def _heads(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]


def nothing_chosen(listing: ChangeList) -> WorkspaceError:
    """The error of an apply that would do nothing."""
    waiting = [change for change in listing.changes if change.rule in ("ask", "conflict")]
    if not waiting:
        return WorkspaceError("there is nothing to apply")
    first = waiting[0]
    return WorkspaceError(
        f"nothing to apply by itself; {len(waiting)} wait, {first.path} among them: {first.why}",
        hint="review them",
    )
