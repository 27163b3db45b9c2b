"""What a session goes on with: a fold of its earlier events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from agentui.events import (
    CallId,
    CompactionEnded,
    Event,
    HarnessStarted,
    HistoryAppended,
    HistoryReplaced,
    Json,
    NoticeQueued,
    PauseAsked,
    Recorded,
    Resumed,
    RunEnded,
    RunStarted,
    SteerApplied,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    ToolEnded,
    ToolStarted,
)
from agentui.harness.base import ENDED_FIRST
from agentui.history import after_event, open_call_ids, tool_message
from agentui.run.closings import Closings
from agentui.run.queue import Queued


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that did not end, or was stopped because the session ended.

    `is_said`: the task is in the history. `is_held`: the user or the guard held it; it waits for them again.
    """

    task: str
    is_said: bool = False
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class ResumedState:
    """Where a session stood at its last record, `after_seq`.

    `messages` is the model's context; `harness` thought last, in `harness_place`, and keeps its own record of
    it in `harness_ref`; `is_history_stale` when that was summarised and `messages` are those of before.
    `closings` end what a crash left open. `ended` is how the last run ended, if it
    does not go on.
    """

    after_seq: int = 0
    messages: tuple[Json, ...] = ()
    queue: tuple[Queued, ...] = ()
    notices: tuple[str, ...] = ()
    cwd: str = ""
    call_ids: frozenset[CallId] = frozenset()
    unfinished: Unfinished | None = None
    harness_ref: str | None = None
    closings: tuple[Event, ...] = ()
    harness: str = ""
    harness_place: str = ""
    ended: RunEnded | None = None
    is_history_stale: bool = False


def balanced(state: ResumedState, emit: Callable[[Event], None]) -> ResumedState:
    """The same with an end for all that has none, and a result for every call; tells each as an event."""
    results = [tool_message(call_id, ENDED_FIRST) for call_id in open_call_ids(state.messages)]
    for message in results:
        emit(HistoryAppended(message))
    for event in state.closings:
        emit(event)
    return replace(state, messages=(*state.messages, *results), closings=())


def resumed_from(records: Iterable[Recorded]) -> ResumedState:
    """Where the session of these records stood at the last one. O(records)."""
    fold, closings = _Fold(), Closings()
    after_seq = 0
    for recorded in records:
        after_seq = recorded.seq
        fold.take(recorded.event)
        closings.take(recorded)
    return replace(fold.state(after_seq), closings=closings.events())


@dataclass(slots=True)
class _Fold:
    messages: list[Json] = field(default_factory=list)
    queue: dict[SteerId, Queued] = field(default_factory=dict)
    beginning: dict[SteerId, Queued] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    cwd: str = ""
    call_ids: set[CallId] = field(default_factory=set)
    unfinished: Unfinished | None = None
    harness: HarnessStarted | None = None
    ended: RunEnded | None = None
    is_summarised: bool = False

    def take(self, event: Event) -> None:
        self.messages = after_event(self.messages, event)
        match event:
            case HistoryAppended(message, steer_id, notices):
                self._said(message, steer_id, notices)
            case RunStarted(task, goes_on=goes_on):
                self.beginning.clear()
                self.unfinished, self.ended = Unfinished(task, is_said=goes_on), None
            case RunEnded(is_saved=is_saved):
                self.unfinished, self.ended = (self.unfinished, None) if is_saved else (None, event)
            case PauseAsked(by) if by != "signal":
                self._hold(is_held=True)
            case Resumed(step=step):
                self._hold(is_held=step)
            case HarnessStarted():
                self.harness = event
            case CompactionEnded(error=None):
                self.is_summarised = True
            case HistoryReplaced():
                self.is_summarised = False
            case ToolStarted(call_id):
                self.call_ids.add(call_id)
            case ToolEnded(cwd=cwd):
                self.cwd = cwd or self.cwd
            case _:
                self._take_queued(event)

    def _hold(self, *, is_held: bool) -> None:
        if self.unfinished is not None:
            self.unfinished = replace(self.unfinished, is_held=is_held)

    def _said(self, message: Json, steer_id: SteerId | None, notices: int) -> None:
        del self.notices[:notices]
        if steer_id is not None:
            self.queue.pop(steer_id, None)
        elif self.unfinished is not None and message.get("role") == "user" and not notices:
            self.unfinished = replace(self.unfinished, is_said=True)

    def _take_queued(self, event: Event) -> None:
        match event:
            case SteerQueued(steer_id, text, mode):
                self.queue[steer_id] = Queued(steer_id, text, mode)
            case SteerApplied(steer_id):
                self.queue.pop(steer_id, None)
            case SteerWithdrawn(steer_id, why):
                item = self.queue.pop(steer_id, None)
                if item is not None and why == "begins":
                    self.beginning[steer_id] = item
            case NoticeQueued(text):
                self.notices.append(text)
            case _:
                pass

    def state(self, after_seq: int) -> ResumedState:
        return ResumedState(
            after_seq,
            tuple(self.messages),
            (*self.beginning.values(), *self.queue.values()),
            tuple(self.notices),
            self.cwd,
            frozenset(self.call_ids),
            self.unfinished,
            self.harness.session_ref if self.harness is not None else None,
            harness=self.harness.kind if self.harness is not None else "",
            harness_place=self.harness.place if self.harness is not None else "",
            ended=self.ended,
            # What keeps its own record tells of the new history with its next request only.
            is_history_stale=self.is_summarised and self.harness is not None and bool(self.harness.session_ref),
        )
