"""Our own agent loop: one tool, an append-only history, and a gate before everything that matters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentui import __version__
from agentui.backends.base import Backend, ChatRequest
from agentui.backends.stall import StallLimits
from agentui.errors import BackendError, BackendUnavailable, ContextOverflow
from agentui.events import (
    CompactionEnded,
    CompactionStarted,
    ContextMeasured,
    EndReason,
    Event,
    HarnessStarted,
    HistoryAppended,
    HistoryReplaced,
    Json,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    RequestEnded,
    SteerApplied,
    TextDelta,
    TurnStarted,
    Usage,
    Warned,
)
from agentui.harness import compaction
from agentui.harness.answer import Answer
from agentui.harness.base import (
    Cut,
    Emit,
    Gate,
    HarnessEnd,
    Interrupted,
    Note,
    Prefix,
    ToolCall,
    ToolResult,
)
from agentui.harness.figures import sum_usage, turn_ended
from agentui.harness.odd_answers import LENGTH_HINT, warnings_of
from agentui.harness.prompt import BASH_TOOL
from agentui.harness.request import RETRY_DELAYS_S, Asked, Requester
from agentui.harness.tokens import SMALLEST_ANSWER_TOKENS, TokenEstimate, body_bytes, refuse_unfit
from agentui.history import assistant_message, open_call_ids, system_message, tool_message, with_user_text

ENDED_EARLY = "[not run: the run ended before]"
NO_ANSWER = "[no answer]"
"""The model's turn between two texts of the user's, of which the first was sent and got no answer."""
UNUSABLE_ANSWERS = 3
"""So many answers in a row without text and without a usable call end the run."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What the user may set of the loop. `sampling` goes into the request as it is."""

    has_tools: bool = True
    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stall: StallLimits = field(default_factory=StallLimits)
    retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S


class OwnLoop:
    """The own loop behind the harness protocol. Holds the history; one run at a time."""

    def __init__(
        self,
        backend: Backend,
        model: ModelFacts,
        system: str,
        settings: LoopSettings,
        ids: Callable[[str], str],
        history: Iterable[Json] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._system = system
        self._settings = settings
        self._ids = ids
        self._history: list[Json] = list(history)
        self._sent = len(self._history)
        self._requester = Requester(backend, ids, settings.stall, settings.retry_delays_s, clock)
        self._estimate = TokenEstimate()
        self._tools: tuple[Json, ...] = (BASH_TOOL,) if settings.has_tools else ()
        self._usage = Usage()
        self._turns = 0
        self._has_asked = False
        self._clock = clock

    @property
    def history(self) -> Sequence[Json]:
        """The model's context as it stands."""
        return self._history

    def use_model(self, model: ModelFacts) -> None:
        """Send the next requests to this model; the history stays, its size is estimated anew."""
        self._model = model
        self._estimate.forget()

    @property
    def prefix(self) -> Prefix:
        """See `Harness.prefix`."""
        return Prefix(self._tools, self._settings.sampling)

    async def start(self, emit: Emit) -> None:
        """See `Harness.start`."""
        emit(HarnessStarted("loop", __version__))

    async def aclose(self) -> None:
        """See `Harness.aclose`; the loop holds nothing open between requests."""

    async def run(self, task: str | None, gate: Gate, emit: Emit) -> HarnessEnd:
        """See `Harness.run`."""
        self._usage, self._turns, self._has_asked = Usage(), 0, False
        if not self._history:
            self._append(system_message(self._system), emit)
        before = len(self._history)
        if task is not None:
            self._say(Note(task, MessageId(self._ids("m"))), emit)
        try:
            if task is not None:
                refuse_unfit(task, self._model)
            reason, error, hint = await self._turns_until_settled(gate, emit)
        except Interrupted as interrupted:
            partial_text = "" if interrupted.by == "quit" else interrupted.partial_text
            self._balance(interrupted.answer, partial_text, emit)
            reason, error, hint = "interrupted", None, ""
        except BackendError as failure:
            self._balance(ENDED_EARLY, "", emit)
            reason, error, hint = _end_of(failure), failure.message, failure.hint
            if isinstance(failure, ContextOverflow) and not self._has_asked:
                self._forget_from(before, emit)
                reason = "limit"
        except BaseException:
            self._balance(ENDED_EARLY, "", emit)
            raise
        return HarnessEnd(reason, self._usage, error, hint)

    async def _turns_until_settled(self, gate: Gate, emit: Emit) -> tuple[EndReason, str | None, str]:
        unusable = 0
        if self._has_settled and not await self._goes_on(gate, emit):
            return "done", None, ""
        while True:
            stop = gate.limit_reached(self._turns)
            if stop:
                return stop.reason, stop.why, stop.hint
            self._turns += 1
            answer = await self._turn(gate, emit)
            calls = answer.calls([tool["function"]["name"] for tool in self._tools])
            if calls:
                unusable = unusable + 1 if all(c.arguments_error for c in calls) else 0
                if unusable >= UNUSABLE_ANSWERS:
                    return "failed", "the model keeps writing tool calls that cannot be used", ""
                continue
            for warning in warnings_of(answer.text, is_cut=answer.finish_reason == "length"):
                emit(warning)
            if answer.finish_reason == "length":
                return "limit", "the answer was cut at the token limit", LENGTH_HINT
            # Where no further turn may begin, what waits stays queued.
            if gate.limit_reached(self._turns) or not await self._goes_on(gate, emit):
                return "done", None, ""

    @property
    def _has_settled(self) -> bool:
        """Whether the last answer asked for nothing: then a model has nothing to go on with."""
        last = self._history[-1]
        return last.get("role") == "assistant" and not last.get("tool_calls")

    async def _goes_on(self, gate: Gate, emit: Emit) -> bool:
        notes = await gate.would_stop()
        for note in notes:
            self._say(note, emit)
        return bool(notes)

    async def _turn(self, gate: Gate, emit: Emit) -> Answer:
        turn = self._turns
        started_s = self._clock()
        await self._ready_to_ask(gate, emit)
        emit(TurnStarted(turn))
        waited_s = self._clock() - started_s
        usage = Usage()
        commands_s = 0.0
        answered: RequestEnded | None = None

        def noting(event: Event) -> None:
            nonlocal answered
            if isinstance(event, RequestEnded) and event.outcome == "done":
                answered = event
            emit(event)

        try:
            answer = await self._answer(turn, gate, noting)
            usage = answer.usage or Usage()
            calls_json = answer.calls_json()
            self._append(assistant_message(answer.text, calls_json), emit)
            self._measured(usage)
            began_s = self._clock()
            for call in answer.calls([tool["function"]["name"] for tool in self._tools]):
                await self._execute(call, gate, emit)
            commands_s = self._clock() - began_s
        finally:
            self._usage = sum_usage(self._usage, usage)
            emit(turn_ended(turn, usage, answered, commands_s, waited_s))
        return answer

    async def _ready_to_ask(self, gate: Gate, emit: Emit) -> None:
        await self._take_notes(gate, emit)
        why = gate.wants_compaction()
        if why:
            await self.compact(why, gate, emit)
            await self._take_notes(gate, emit)
        if await self._has_made_room(gate, emit):
            await self._take_notes(gate, emit)

    async def _take_notes(self, gate: Gate, emit: Emit) -> None:
        for note in await gate.before_request():
            self._say(note, emit)

    async def _answer(self, turn: int, gate: Gate, emit: Emit) -> Answer:
        has_compacted = False
        while True:
            self._has_asked = True
            self._sent = len(self._history)
            try:
                return await self._requester.ask(self._asked(turn), gate, emit)
            except Cut:
                await self._ready_to_ask(gate, emit)
            except ContextOverflow as overflow:
                if has_compacted or not compaction.can_compact(self._history):
                    raise
                has_compacted = True
                await self.compact(f"the server refused the prompt: {overflow.message}", gate, emit)
                await self._take_notes(gate, emit)

    async def _execute(self, call: ToolCall, gate: Gate, emit: Emit) -> None:
        result: ToolResult = await gate.execute(call)
        self._append(tool_message(result.call_id, result.text), emit)

    # --- context -----------------------------------------------------------------------------

    def _asked(self, turn: int, messages: Sequence[Json] | None = None) -> Asked:
        """The next request, measured; `messages` instead of the history for a summary. O(bytes)."""
        sent = tuple(self._history if messages is None else messages)
        tokens = self._estimate.prompt_tokens(sent, self._tools)
        cap = self._room_tokens(tokens)
        request = ChatRequest(self._model.model, sent, self._tools, cap, self._settings.sampling)
        known = min(tokens, self._estimate.known_tokens)
        limit = self._model.loaded_context_tokens
        return Asked(request, turn, tokens, known, limit, body_bytes(sent, self._tools))

    def _prompt_tokens(self) -> int:
        return self._estimate.prompt_tokens(self._history, self._tools)

    def _room_tokens(self, prompt_tokens: int) -> int | None:
        """Cap of the answer: what is left of the context; a model that never stops thinking ends there."""
        limit = self._model.loaded_context_tokens
        wished = self._settings.max_tokens
        if limit is None:
            return wished
        room = max(SMALLEST_ANSWER_TOKENS, limit - prompt_tokens - 64)
        return room if wished is None else min(room, wished)

    async def _has_made_room(self, gate: Gate, emit: Emit) -> bool:
        """Compact where the next request would not fit; whether it was done."""
        limit = self._model.loaded_context_tokens
        tokens = self._prompt_tokens()
        emit(ContextMeasured(tokens, limit, "estimated"))
        if not compaction.wants_compaction(tokens, limit):
            return False
        can_compact = compaction.can_compact(self._history)
        if can_compact:
            await self.compact(f"about {tokens:,} of {limit:,} tokens are used", gate, emit)
            tokens = self._prompt_tokens()
        if limit is not None and tokens > limit - SMALLEST_ANSWER_TOKENS:
            raise ContextOverflow(
                f"the prompt needs about {tokens:,} tokens, {self._model.model} is loaded with {limit:,}",
                hint="load it with a longer context (/context N), or give a shorter task",
            )
        return can_compact

    def _measured(self, usage: Usage) -> None:
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return
        sent = self._history[:-1]
        size = body_bytes(sent, self._tools)
        self._estimate.measured(len(sent), size, usage)

    async def compact(self, why: str, gate: Gate, emit: Emit) -> None:
        """See `Harness.compact`; on failure the history stays as it was and the event says so."""
        if not compaction.can_compact(self._history):
            emit(Warned("nothing_to_compact", "there is nothing to summarise yet: only your own words"))
            return
        before = self._prompt_tokens()
        emit(CompactionStarted(why, before))
        dropped = sum(m.get("role") in ("assistant", "tool") for m in self._history)
        try:
            summary = await self._summary(gate, emit)
        except BaseException as failure:
            text = failure.message if isinstance(failure, BackendError) else "it was stopped"
            if isinstance(failure, Interrupted):
                failure.partial_text = ""  # half a summary is no part of the conversation
            emit(CompactionEnded(before, None, 0, len(self._history), "", error=text))
            raise
        messages = compaction.compacted(self._history, summary)
        self._history = list(messages)
        self._sent = len(messages)  # what follows stays apart: the next compaction keeps it as the user's words
        self._estimate.forget()
        emit(HistoryReplaced(messages, why))
        emit(CompactionEnded(before, self._prompt_tokens(), dropped, len(messages), summary))

    async def _summary(self, gate: Gate, emit: Emit) -> str:
        ask = compaction.SUMMARY_REQUEST
        is_refused = False
        while True:
            messages = with_user_text(self._history, ask)
            tokens = self._estimate.prompt_tokens(messages, self._tools)
            if is_refused or compaction.wants_compaction(tokens, self._model.loaded_context_tokens):
                messages = with_user_text(compaction.condensed(self._history), ask)
            try:
                answer = await self._requester.ask(self._asked(self._turns, messages), gate, emit)
            except Cut:
                await self._take_notes(gate, emit)
            except ContextOverflow:
                if is_refused:
                    return compaction.mechanical_summary(self._history)
                is_refused = True
            else:
                return answer.text.strip() or compaction.mechanical_summary(self._history)

    # --- history -----------------------------------------------------------------------------

    def _append(self, message: Json, emit: Emit) -> None:
        self._history.append(message)
        emit(HistoryAppended(message))

    def _say(self, note: Note, emit: Emit) -> None:
        """Append text of the user's (or notices of ours) and show it."""
        self._append_user(note, emit)
        if note.steer_id is not None:
            emit(SteerApplied(note.steer_id, note.message_id))
        emit(MessageStarted(note.message_id, "user", self._turns))
        emit(TextDelta(note.message_id, note.text))
        emit(MessageEnded(note.message_id, "sent"))

    def _append_user(self, note: Note, emit: Emit) -> None:
        """Append so that user and model take turns and no message changes that was sent.

        What is said before the last text was sent joins it; after a sent text without an answer, a turn of the
        model's says so.
        """
        is_users = self._history[-1].get("role") == "user"
        joins_last = is_users and len(self._history) > self._sent
        if is_users and not joins_last:
            self._append(assistant_message(NO_ANSWER), emit)
        self._history = with_user_text(self._history, note.text)
        emit(HistoryAppended(self._history[-1], note.steer_id, note.notices, joins_last))

    def _forget_from(self, length: int, emit: Emit) -> None:
        """Drop what never reached the model because it does not fit: it would be in every later request."""
        self._history = self._history[:length]
        emit(HistoryReplaced(tuple(self._history), "the task did not fit and was not sent"))

    def _balance(self, result: str, partial_text: str, emit: Emit) -> None:
        """Leave a history that a server accepts: every call answered, the cut answer kept as far as it came."""
        for call_id in open_call_ids(self._history):
            self._append(tool_message(call_id, result), emit)
        if partial_text.strip():
            self._append(assistant_message(f"{partial_text}\n{result}"), emit)


def _end_of(failure: BackendError) -> EndReason:
    return "unavailable" if isinstance(failure, BackendUnavailable) else "failed"
