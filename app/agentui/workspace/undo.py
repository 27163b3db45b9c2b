"""The list of applies of a project: which can be undone, which redone, and what a crash left of them.

Applies are numbered and undone from the last to the first. An apply made after an undo ends the chance to redo.
Nothing is dropped from the trash by itself: `empty` is a wish of the user.
"""

from __future__ import annotations

import logging
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agentui.errors import ApplyConflict, WorkspaceError
from agentui.events import Change
from agentui.workspace import apply
from agentui.workspace.copystate import remove_tree
from agentui.workspace.hosttree import HostTree, Node
from agentui.workspace.ignore import text_of
from agentui.workspace.journal import Progress, Unit, UnitHead, UnitState
from agentui.workspace.plan import Plan

log = logging.getLogger(__name__)

_UNDO_HINT = "it would overwrite your own later edits: put these aside (git stash, or a copy), then undo again"
_REDO_HINT = "it would overwrite your own later edits: put these aside (git stash, or a copy), then redo again"


@dataclass(frozen=True, slots=True)
class PastApply:
    """One line of the history. `size_bytes` is what its contents take in the trash."""

    head: UnitHead
    state: UnitState
    size_bytes: int


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """What an undo (or redo) would do to the host, before it does it: paths restored and paths removed.

    It is refused while there are `conflicts`: paths that the host has otherwise than the apply left them.
    """

    apply_id: str
    restores: tuple[str, ...]
    removes: tuple[str, ...]
    conflicts: tuple[str, ...] = ()


class History:
    """All applies of one project, in `folder`. Blocking."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def new_unit(self) -> tuple[Unit, str]:
        """An empty unit after all others, and its id."""
        numbers = [int(unit.folder.name.partition("-")[0]) for unit in self.units()]
        apply_id = secrets.token_hex(4)
        folder = self._folder / f"{max(numbers, default=0) + 1:06d}-{apply_id}"
        folder.mkdir(mode=0o700)
        return Unit(folder), apply_id

    def units(self) -> list[Unit]:
        """Every unit, oldest first."""
        folders = (f for f in self._folder.iterdir() if f.name.partition("-")[0].isdigit())
        return [Unit(folder) for folder in sorted(folders)]

    def next_undo(self) -> Unit | None:
        """The last apply that stands."""
        standing = [unit for unit in self.units() if unit.has_plan and unit.progress().state == "applied"]
        return standing[-1] if standing else None

    def next_redo(self) -> Unit | None:
        """The first undone apply after the last one that stands."""
        found: Unit | None = None
        for unit in reversed(self.units()):
            state = unit.progress().state if unit.has_plan else "staged"
            if state == "applied":
                break
            if state == "undone":
                found = unit
        return found

    def preview(self, tree: HostTree, redo: bool = False) -> UndoPreview | None:
        """What the next undo or redo would do, ``None`` if there is nothing to do. Reads those files."""
        unit = self.next_redo() if redo else self.next_undo()
        if unit is None:
            return None
        restores: list[str] = []
        removes: list[str] = []
        plan = unit.read_plan()
        for path, target in plan.targets.items():
            node = target.after if redo else target.before
            (removes if node is None else restores).append(text_of(path))
        conflicts: tuple[str, ...] = ()
        try:
            apply.check(tree, _expected(plan, redo), {})
        except ApplyConflict as conflict:
            conflicts = conflict.paths
        return UndoPreview(unit.read_head().apply_id, tuple(restores), tuple(removes), conflicts)

    def turn(
        self, tree: HostTree, unit: Unit, redo: bool, on_point: Callable[[str], None]
    ) -> tuple[bytes, ...]:
        """Undo or redo one unit; returns the paths it touched.

        Raises:
            ApplyConflict: If the host changed on one of them; nothing was written.
            WorkspaceError: If the file system refused; nothing was changed.
        """
        plan = unit.read_plan()
        apply.check(tree, _expected(plan, redo), {}, _REDO_HINT if redo else _UNDO_HINT)
        apply.run(tree, unit, plan, forward=redo, on_point=on_point)
        return tuple(plan.targets)

    def recover(self, tree: HostTree) -> str | None:
        """Take back whatever a crash left half done; says so in words, ``None`` if all was well.

        Raises:
            WorkspaceError: If a plan is damaged; nothing is touched then.
        """
        said: list[str] = []
        for unit in self.units():
            if not unit.has_plan:
                # Nothing of the host was touched yet.
                remove_tree(unit.folder)
                continue
            progress = unit.progress()
            if progress.state == "torn":
                said.append(self._recover_unit(tree, unit, progress))
            if unit.progress().state in ("staged", "dropped"):
                self._drop(unit)
        return "; ".join(said) or None

    def _recover_unit(self, tree: HostTree, unit: Unit, progress: Progress) -> str:
        trouble = apply.recover(tree, unit, progress)
        what = "an apply" if progress.forward else "an undo"
        text = f"{what} that was cut short was taken back"
        if trouble:
            text += f", except: {'; '.join(trouble)}"
        return text

    def _drop(self, unit: Unit) -> None:
        """Forget a unit that never came about; contents that could not be given back stay in the trash."""
        if any(name.isdigit() and int(name) % 2 == 0 for name in _contents(unit)):
            log.warning("contents stay in %s", unit.slots)
            return
        remove_tree(unit.folder)

    def supersede(self) -> None:
        """A new apply was made: what is undone now can no longer be redone. Its contents stay in the trash."""
        for unit in self.units():
            if unit.has_plan and unit.progress().state == "undone":
                unit.log({"superseded": True})

    def drop(self, unit: Unit) -> None:
        """Forget a unit whose apply failed and was taken back."""
        if unit.progress().state in ("staged", "dropped"):
            self._drop(unit)

    def past(self) -> tuple[PastApply, ...]:
        """The history, oldest first. O(files in the trash)."""
        found: list[PastApply] = []
        for unit in self.units():
            if unit.has_plan:
                found.append(PastApply(unit.read_head(), unit.progress().state, trash_bytes(unit)))
        return tuple(found)

    def empty(self, keep: int = 0) -> int:
        """Delete the trash of all but the last `keep` applies for good; they cannot be undone then.

        Returns:
            Bytes freed.
        """
        units = self.units()
        freed = 0
        for unit in units[: len(units) - keep] if keep else units:
            freed += trash_bytes(unit)
            remove_tree(unit.folder)
        return freed


def _expected(plan: Plan, redo: bool) -> dict[bytes, Node | None]:
    """What the host must have for an undo (or redo)."""
    return {path: target.before if redo else target.after for path, target in plan.targets.items()}


def trash_bytes(unit: Unit) -> int:
    """Size of what a unit keeps."""
    return sum(_contents(unit).values())


def _contents(unit: Unit) -> dict[str, int]:
    """Size of each file and link that a unit keeps, by its slot; folders there hold nothing."""
    if not unit.slots.exists():
        return {}
    found = {file.name: file.lstat() for file in unit.slots.iterdir()}
    return {name: st.st_size for name, st in found.items() if not stat.S_ISDIR(st.st_mode)}


def make_head(apply_id: str, by: Literal["user", "auto"], changes: tuple[Change, ...]) -> UnitHead:
    """The head of a new apply, stamped with the time."""
    return UnitHead(apply_id, datetime.now(UTC).isoformat(timespec="milliseconds"), by, changes)


def nothing_to(what: str) -> WorkspaceError:
    """The error of an undo or redo with nothing left."""
    return WorkspaceError(
        f"there is no apply to {what}", hint="/review and agentui sandbox diff show what waits"
    )
