"""The view: everything a screen shows, as a fold of events.

`View.apply` does no IO and asks no clock, so the same events always give an equal view: live, resumed and
replayed screens cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from agentui.events import Event, Recorded, SteerApplied, ToolEnded, ToolFrozen, ToolOutput, ToolThawed
from agentui.frozen import mutable
from agentui.view.blocks import BlockId
from agentui.view.changes import Changes
from agentui.view.gauges import Gauges
from agentui.view.status import Status
from agentui.view.tools import ToolLog
from agentui.view.transcript import Transcript

_STEER_LABELS = {"steer": "steer", "follow_up": "queue"}


@mutable
class View:
    """All parts of the screen as plain values; two are equal when they show the same."""

    transcript: Transcript = field(default_factory=Transcript)
    tools: ToolLog = field(default_factory=ToolLog)
    gauges: Gauges = field(default_factory=Gauges)
    changes: Changes = field(default_factory=Changes)
    status: Status = field(default_factory=Status)
    last_seq: int = 0
    last_t_s: float = 0.0

    def copy(self) -> View:
        """An independent view, equal to this one, that shares what no later event can change."""
        return View(
            self.transcript.copy(),
            self.tools.copy(),
            self.gauges.copy(),
            self.changes.copy(),
            self.status.copy(),
            self.last_seq,
            self.last_t_s,
        )

    def apply(self, recorded: Recorded) -> frozenset[BlockId]:
        """Fold one event; returns the ids of changed blocks, ``@...`` for parts outside the transcript.

        Costs as much as the text in the event. An event that was already folded (by `seq`) changes nothing.
        """
        if recorded.seq <= self.last_seq:
            return frozenset()
        self.last_seq, self.last_t_s = recorded.seq, recorded.t_s
        changed = self._label_steer(recorded)
        changed |= self.status.apply(recorded)
        changed |= self.transcript.apply(recorded)
        changed |= self.gauges.apply(recorded)
        changed |= self.changes.apply(recorded)
        return changed | self.tools.apply(recorded) | self._row_of(recorded.event)

    def apply_all(self, records: Iterable[Recorded]) -> frozenset[BlockId]:
        """Fold many events; returns the ids of everything that changed."""
        changed: set[BlockId] = set()
        for recorded in records:
            changed |= self.apply(recorded)
        return frozenset(changed)

    def _label_steer(self, recorded: Recorded) -> frozenset[BlockId]:
        """A steer is labelled while the queue still knows what kind it was."""
        event = recorded.event
        if not isinstance(event, SteerApplied):
            return frozenset()
        mode = next((q.mode for q in self.status.queue if q.steer_id == event.steer_id), "steer")
        return self.transcript.steer_label(event.message_id, _STEER_LABELS[mode])

    def _row_of(self, event: Event) -> frozenset[BlockId]:
        """The transcript's row of a command that shows something new there: output only of the user's own."""
        match event:
            case ToolEnded(call_id) | ToolFrozen(call_id) | ToolThawed(call_id):
                pass
            case ToolOutput(call_id) if (entry := self.tools.entry(call_id)) and entry.label == "user":
                pass
            case _:
                return frozenset()
        row = self.transcript.call_rows.get(call_id)
        return frozenset() if row is None else frozenset((row,))
