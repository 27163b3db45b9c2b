"""From what Pi says to our events: a balanced stream, whatever comes in whatever order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentui.events import (
    BackendRetried,
    CompactionEnded,
    CompactionStarted,
    HistoryAppended,
    HistoryReplaced,
    Json,
    MessageEnded,
    MessageId,
    MessageStarted,
    RequestEnded,
    SteerApplied,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    TurnStarted,
    Usage,
    Warned,
)
from agentui.harness.base import Emit, Note
from agentui.harness.figures import sum_usage, turn_ended
from agentui.harness.odd_answers import warnings_of
from agentui.harness.pi.records import (
    AgentSettled,
    CompactionBegan,
    CompactionFinished,
    ExtensionFailed,
    PiDelta,
    PiMessage,
    PiMessageEnded,
    PiMessageStarted,
    PiRecord,
    PiTurnEnded,
    RetryBegan,
    ToolBegan,
    ToolFinished,
    ToolProgressed,
    ToolUse,
    UiRequest,
)
from agentui.harness.pi.tools import ASKED_TOOLS, ForeignTools
from agentui.history import assistant_message, open_call_ids, tool_message, user_message

ENDED_EARLY = "[not run: the run ended before]"
_STOPS = {"stop": "stop", "length": "length", "toolUse": "tool_calls", "error": "error", "aborted": "cut"}
_COMPACTION_WHY = {
    "manual": "you asked",
    "threshold": "the context is nearly full",
    "overflow": "the server refused the prompt",
}


@dataclass(slots=True)
class _Growing:
    """The answer as far as its deltas have come; begun without any text, since the first delta repeats it."""

    message_id: MessageId
    text: list[str] = field(default_factory=list)
    calls: dict[int, str] = field(default_factory=dict)
    thinking_since_s: float | None = None
    thinking_s: float | None = None
    is_started: bool = False


@dataclass(slots=True)
class Said:
    """Texts that were given to Pi as one message, and have not come back in its transcript yet."""

    text: str
    notes: tuple[Note, ...]
    is_shown: bool = True


class PiFold:
    """The state of one run of Pi's. No IO; `clock` is monotonic seconds.

    `last_answer` is the last complete answer; `turns` counts model requests that were not asked again.
    """

    def __init__(
        self,
        emit: Emit,
        ids: Callable[[str], str],
        clock: Callable[[], float],
        asked_tools: frozenset[str] = ASKED_TOOLS,
    ) -> None:
        self._emit = emit
        self._ids = ids
        self._clock = clock
        self.tools = ForeignTools(emit, asked_tools)
        self.turns = 0
        self.usage = Usage()
        self.last_answer: PiMessage | None = None
        self.said: list[Said] = []
        self.is_quiet = False
        """Retries are the echo of a freeze and are not told."""
        self.is_history_stale = False
        """Pi summarised, and the next request will tell what the context is now; that may be another run's."""
        self._growing: _Growing | None = None
        self._turn_began_s: float | None = None
        self._turn_usage = Usage()
        self._answered: RequestEnded | None = None
        self._open_calls: dict[str, None] = {}
        self._is_compacting = False

    def take(self, record: PiRecord) -> None:
        """Fold one record; never raises."""
        match record:
            case PiDelta():
                self._delta(record)
            case PiMessageStarted(message) if message.role == "assistant":
                self._end_message("cut")
            case PiMessageEnded(message):
                self._message(message)
            case PiTurnEnded():
                # What failed may be asked again, and is then the same turn.
                if self.last_answer is None or self.last_answer.stop_reason != "error":
                    self.turn_over()
            case ToolBegan():
                self.tools.began(record)
            case ToolProgressed():
                self.tools.progressed(record)
            case ToolFinished():
                self.tools.finished(record)
            case AgentSettled():
                self.close(ENDED_EARLY)
            case _:
                self._trouble(record)

    def _trouble(self, record: PiRecord) -> None:
        match record:
            case CompactionBegan(reason):
                self._begin_compaction(reason, None)
            case CompactionFinished():
                self._end_compaction(record)
            case RetryBegan(attempt, delay_s, error) if not self.is_quiet:
                self._emit(BackendRetried(attempt, delay_s, error))
            case ExtensionFailed(path, error):
                self._emit(Warned("pi_extension_failed", f"an extension of Pi failed: {error}", path))
            case UiRequest(method="notify", message=message) if message:
                self._emit(Warned("pi_extension", f"an extension of Pi says: {message}"))
            case _:
                pass

    def close(self, answer: str) -> None:
        """Nothing more comes: end what is open; calls without a result are answered with `answer`."""
        self._end_message("cut")
        self.tools.close(answer.strip("[]"))
        if self._is_compacting:
            self._is_compacting = False
            self._emit(CompactionEnded(None, None, None, None, "", error="it was stopped"))
        for call_id in list(self._open_calls):
            self._result(call_id, answer)
        self.turn_over()

    # --- requests, from the gateway ----------------------------------------------------------

    def request_began(self) -> None:
        """A request leaves for the server; unless it is for a summary, a turn has begun."""
        if not self._is_compacting:
            self._begin_turn()

    def request_ended(self, event: RequestEnded) -> None:
        """A request of Pi's has ended; its figures are those of the turn."""
        if event.outcome == "done":
            self._answered = event
            self._turn_usage = sum_usage(self._turn_usage, event.usage)

    def request_sent(self, messages: Sequence[Json]) -> None:
        """The exact messages of a request; after a compaction they tell what the context is now."""
        # Not when the turn begins: a short answer may be over before Pi tells of its first word.
        self._answered = None
        if self._turn_began_s is None:
            self._turn_usage = Usage()
        if self.is_history_stale and not self._is_compacting and messages:
            self.is_history_stale = False
            self._open_calls = dict.fromkeys(open_call_ids(messages))
            self._emit(HistoryReplaced(tuple(messages), "Pi summarised the conversation"))

    # --- turns -------------------------------------------------------------------------------

    def _begin_turn(self) -> None:
        """Begin one with the first sign of an answer: Pi also tells of turns that it never asks for."""
        if self._turn_began_s is not None:
            return
        self.turns += 1
        self._turn_began_s = self._clock()
        self._emit(TurnStarted(self.turns))

    def turn_over(self) -> None:
        """The answer and its commands are over."""
        if self._turn_began_s is None:
            return
        wall_s = self._clock() - self._turn_began_s
        self._turn_began_s = None
        answered, self._answered = self._answered, None
        usage, self._turn_usage = self._turn_usage, Usage()
        if answered is None and self.last_answer is not None:
            usage = self.last_answer.usage
        self.usage = sum_usage(self.usage, usage)
        commands_s = max(0.0, wall_s - (answered.total_s if answered else wall_s))
        self._emit(turn_ended(self.turns, usage, answered, commands_s, 0.0))

    # --- messages ----------------------------------------------------------------------------

    def _delta(self, delta: PiDelta) -> None:
        self._begin_turn()
        if self._growing is None:
            self._growing = _Growing(MessageId(self._ids("m")))
        growing = self._growing
        if delta.kind != "thinking" and growing.thinking_since_s is not None:
            # Pi ends all blocks together; thinking is over when something else begins.
            growing.thinking_s = self._clock() - growing.thinking_since_s
            growing.thinking_since_s = None
        if delta.kind == "toolcall" and delta.step == "start":
            growing.calls.setdefault(delta.index, delta.tool)
        if delta.step != "delta" or not delta.text:
            return
        match delta.kind:
            case "text":
                self._text(growing, delta.text)
            case "thinking":
                if growing.thinking_since_s is None and growing.thinking_s is None:
                    growing.thinking_since_s = self._clock()
                self._announce(growing)
                self._emit(ThinkingDelta(growing.message_id, delta.text))
            case "toolcall":
                name = growing.calls.setdefault(delta.index, "")
                index = list(growing.calls).index(delta.index)
                self._announce(growing)
                self._emit(ToolCallDelta(growing.message_id, index, name, delta.text))

    def _text(self, growing: _Growing, text: str) -> None:
        self._announce(growing)
        growing.text.append(text)
        self._emit(TextDelta(growing.message_id, text))

    def _announce(self, growing: _Growing) -> None:
        if not growing.is_started:
            growing.is_started = True
            self._emit(MessageStarted(growing.message_id, "assistant", self.turns))

    def _end_message(self, stop_reason: str) -> None:
        growing, self._growing = self._growing, None
        if growing is None or not growing.is_started:
            return
        since_s = growing.thinking_since_s
        thinking_s = growing.thinking_s if since_s is None else self._clock() - since_s
        self._emit(MessageEnded(growing.message_id, stop_reason, thinking_s))

    def _message(self, message: PiMessage) -> None:
        match message.role:
            case "assistant":
                self._answer(message)
            case "user":
                self._user(message.text)
            case "toolResult":
                self._result(message.call_id, message.text)
            case _:
                pass

    def _answer(self, message: PiMessage) -> None:
        if message.stop_reason != "aborted" or message.text:
            self._begin_turn()
        growing = self._growing or _Growing(MessageId(self._ids("m")))
        self._growing = growing
        shown = "".join(growing.text)
        if message.text.startswith(shown) and len(message.text) > len(shown):
            self._text(growing, message.text[len(shown) :])
        is_frozen = self.is_quiet and message.stop_reason == "error"
        stop = _STOPS.get(message.stop_reason, message.stop_reason or "stop")
        self._end_message("cut" if is_frozen else stop)
        self.last_answer = message
        if not message.calls and message.stop_reason in ("stop", "length") and not message.says_nothing:
            for warning in warnings_of(message.text, is_cut=message.stop_reason == "length"):
                self._emit(warning)
        # Pi takes failed, cut and aborted answers out of what the model sees.
        if message.stop_reason in ("error", "aborted", "length"):
            return
        calls = [_call_json(call) for call in message.calls if call.call_id]
        if message.text or calls:
            self._emit(HistoryAppended(assistant_message(message.text, calls)))
        self._open_calls.update((call["id"], None) for call in calls)

    def _user(self, text: str) -> None:
        # Pi may have changed our words (a prompt template, half characters): then it is the oldest.
        said = next((item for item in self.said if item.text == text), self.said[0] if self.said else None)
        if said is not None:
            self.said.remove(said)
        notes = said.notes if said is not None else ()
        notices = sum(note.notices for note in notes)
        steer_id = next((note.steer_id for note in notes if note.steer_id is not None), None)
        self._emit(HistoryAppended(user_message(text), steer_id, notices))
        if said is not None and not said.is_shown:
            return
        for note in notes or (Note(text, MessageId(self._ids("m"))),):
            if note.steer_id is not None:
                self._emit(SteerApplied(note.steer_id, note.message_id))
            self._emit(MessageStarted(note.message_id, "user", self.turns))
            self._emit(TextDelta(note.message_id, note.text))
            self._emit(MessageEnded(note.message_id, "sent"))

    def _result(self, call_id: str, text: str) -> None:
        if call_id in self._open_calls:
            del self._open_calls[call_id]
            self._emit(HistoryAppended(tool_message(call_id, text)))

    # --- compaction --------------------------------------------------------------------------

    def _begin_compaction(self, reason: str, before_tokens: int | None) -> None:
        if not self._is_compacting:
            self._is_compacting = True
            self._emit(CompactionStarted(_COMPACTION_WHY.get(reason, reason), before_tokens))

    def _end_compaction(self, record: CompactionFinished) -> None:
        self._begin_compaction(record.reason, record.before_tokens)
        self._is_compacting = False
        error = record.error or ("it was stopped" if record.aborted else None)
        if error is None:
            self.is_history_stale = True
        self._emit(
            CompactionEnded(record.before_tokens, record.after_tokens, None, None, record.summary, error=error)
        )


def _call_json(call: ToolUse) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False, default=str)
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
