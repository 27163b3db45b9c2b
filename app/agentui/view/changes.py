"""The Changes part of the fold: what waits in the private copy, and what has reached the project."""

from __future__ import annotations

from dataclasses import field, replace

from agentui.events import (
    Change,
    Recorded,
    WorkspaceApplied,
    WorkspaceChanged,
    WorkspaceConflicted,
    WorkspaceDiscarded,
    WorkspaceUndone,
)
from agentui.frozen import frozen, mutable
from agentui.view.blocks import BlockId

CHANGES = BlockId("@changes")


@frozen
class AppliedUnit:
    """One apply: the unit that undo takes back as a whole."""

    apply_id: str
    changes: tuple[Change, ...]


@mutable
class Changes:
    """`pending` waits in the copy; `applied` are the units on the host, oldest first; `undone` can be redone.

    Paths are exact as in the events; whoever draws them cleans them (they are needed to ask for a diff).
    """

    pending: tuple[Change, ...] = ()
    applied: list[AppliedUnit] = field(default_factory=list)
    undone: list[AppliedUnit] = field(default_factory=list)

    @property
    def is_project_untouched(self) -> bool:
        """True while nothing that the agent did is on the host."""
        return not self.applied

    @property
    def applied_files(self) -> int:
        """How many different files of the host carry the agent's changes."""
        return len({change.path for unit in self.applied for change in unit.changes})

    @property
    def applicable(self) -> tuple[Change, ...]:
        """The changes that can come to the host, some of them only after a yes."""
        return tuple(change for change in self.pending if change.rule != "never")

    @property
    def asking(self) -> tuple[Change, ...]:
        """The changes that need a word of their own: the ask list and conflicts."""
        return tuple(change for change in self.pending if change.rule in ("ask", "conflict"))

    def copy(self) -> Changes:
        """An independent state."""
        return Changes(self.pending, list(self.applied), list(self.undone))

    def apply(self, recorded: Recorded) -> frozenset[BlockId]:
        """Fold one event; costs as much as there are changes."""
        match recorded.event:
            case WorkspaceChanged(changes):
                self.pending = changes
            case WorkspaceApplied(apply_id, changes):
                self.applied.append(AppliedUnit(apply_id, changes))
                self.undone.clear()
                self._drop({change.path for change in changes})
            case WorkspaceUndone(apply_id, _, redo):
                self._undone(apply_id, redo)
            case WorkspaceDiscarded(paths):
                self._drop(set(paths))
            case WorkspaceConflicted(paths):
                both = set(paths)
                self.pending = tuple(replace(c, rule="conflict") if c.path in both else c for c in self.pending)
            case _:
                return frozenset()
        return frozenset((CHANGES,))

    def _drop(self, paths: set[str]) -> None:
        self.pending = tuple(change for change in self.pending if change.path not in paths)

    def _undone(self, apply_id: str, redo: bool) -> None:
        source, target = (self.undone, self.applied) if redo else (self.applied, self.undone)
        for unit in source:
            if unit.apply_id == apply_id:
                source.remove(unit)
                target.append(unit)
                return
