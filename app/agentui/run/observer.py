"""From successive readings of a server to events: other clients' requests as they look from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentui.backends.source import ServerReading, ServerTotals, SlotReading
from agentui.events import (
    ContextMeasured,
    Event,
    Phase,
    PrefillProgressed,
    RateSample,
    RequestEnded,
    RequestId,
    RequestStarted,
    StateChanged,
    Usage,
)

_PHASES: dict[str, Phase] = {
    "idle": "idle",
    "prefill": "reading_prompt",
    "generating": "generating",
    "other": "working",
}


@dataclass(slots=True)
class _Followed:
    """The request that is being followed."""

    request_id: RequestId
    key: tuple[int, int | None]
    began_s: float
    last: SlotReading
    last_s: float
    decode_tok_per_s: float | None = None
    first_s: float | None = None
    read_since_s: float | None = None
    read_since_tokens: int = 0
    batch_s: float = 0.0
    prefill_tok_per_s: float | None = None


class ServerObserver:
    """Follows one request at a time, the first busy slot's; several at once are seen in the reading only.

    What was never seen is not told: times of a request that ran when the observer came are unknown, and so is
    the speed of an answer that began and ended between two readings, unless the server's counters have it.

    Args:
        emit: Gets the events, at once.
        clock: Monotonic seconds.
        is_metered: Whether somebody measures the running requests better than can be done from outside.
    """

    def __init__(
        self, emit: Callable[[Event], None], clock: Callable[[], float], is_metered: Callable[[], bool]
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._is_metered = is_metered
        self._followed: _Followed | None = None
        self._metered_tasks: set[tuple[int, int | None]] = set()
        self._totals: ServerTotals | None = None
        self._phase: Phase | None = None
        self._used: tuple[int, int | None] | None = None
        self._requests = 0

    def take(self, reading: ServerReading) -> None:
        """Fold one reading; emits what changed since the last."""
        self._tell_phase(reading)
        busy = next((slot for slot in reading.slots if slot.is_busy), None)
        before, self._totals = self._totals, reading.totals or self._totals
        added = reading.totals.since(before) if reading.totals is not None and before is not None else None
        if self._followed is not None and (busy is None or _key(busy) != self._followed.key):
            self._ended(self._followed, _slot_of(reading, self._followed), added)
        elif self._followed is None and added is not None and added.answer_tokens and not self._is_metered():
            self._missed(added)
        if busy is not None:
            self._follow(busy)
        else:
            self._metered_tasks.clear()
            self._tell_held(reading)

    def lost(self) -> None:
        """The server does not answer any more: what was followed has no end that could be seen."""
        followed, self._followed = self._followed, None
        if followed is not None:
            self._emit(_end(followed, "failed", Usage(), self._clock(), None, None))
        self._totals, self._used = None, None
        self._change_phase("idle")

    def _tell_phase(self, reading: ServerReading) -> None:
        if reading.status is not None:
            self._change_phase(_PHASES[reading.status])

    def _change_phase(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase = phase
            self._emit(StateChanged(phase, "none"))

    def _tell_held(self, reading: ServerReading) -> None:
        """What the fullest idle slot still holds from before."""
        slots = [slot for slot in reading.slots if slot.used_tokens]
        if not slots:
            return
        fullest = max(slots, key=lambda slot: slot.used_tokens or 0)
        self._context(fullest.used_tokens or 0, fullest.context_tokens)

    def _context(self, used_tokens: int, limit_tokens: int | None) -> None:
        if self._used != (used_tokens, limit_tokens):
            self._used = (used_tokens, limit_tokens)
            self._emit(ContextMeasured(used_tokens, limit_tokens, "reported"))

    # --- one request -----------------------------------------------------------------------------

    def _follow(self, slot: SlotReading) -> None:
        key, now = _key(slot), self._clock()
        if key in self._metered_tasks:
            return
        if self._followed is None:
            if self._is_metered():
                self._metered_tasks.add(key)
                return
            self._began(slot, now)
        followed = self._followed
        assert followed is not None
        if slot.answer_tokens:
            self._answering(followed, slot, now)
        else:
            self._reading(followed, slot, now)
        if slot.used_tokens is not None:
            self._context(slot.used_tokens, slot.context_tokens)
        followed.last, followed.last_s = slot, now

    def _began(self, slot: SlotReading, now: float) -> None:
        self._requests += 1
        known = (slot.prompt_tokens, slot.used_tokens)
        prompt = next((tokens for tokens in known if tokens is not None), 0)
        request_id = RequestId(f"slot{slot.slot}-{self._requests if slot.task is None else slot.task}")
        self._followed = _Followed(request_id, _key(slot), now, slot, now)
        self._emit(RequestStarted(request_id, self._requests, 0, 0, prompt))

    def _reading(self, followed: _Followed, slot: SlotReading, now: float) -> None:
        if slot.read_tokens is None:
            return
        if followed.read_since_s is None:
            followed.read_since_s, followed.read_since_tokens = now, slot.read_tokens
        if slot.read_tokens != followed.last.read_tokens:
            # Between two batches nothing moves: the speed is that of whole batches.
            followed.batch_s = now
            followed.prefill_tok_per_s = _rate(
                slot.read_tokens - followed.read_since_tokens, now - followed.read_since_s
            )
        rate = followed.prefill_tok_per_s
        if slot.prompt_tokens is not None and slot.cached_tokens is not None:
            done = slot.cached_tokens + slot.read_tokens
            eta_s = None
            if rate:
                eta_s = max(0.0, (slot.prompt_tokens - done) / rate - (now - followed.batch_s))
            self._emit(
                PrefillProgressed(
                    followed.request_id, done, slot.prompt_tokens, slot.cached_tokens, eta_s, "reported"
                )
            )
        if rate is not None:
            self._emit(RateSample(None, rate, None, None, "measured"))

    def _answering(self, followed: _Followed, slot: SlotReading, now: float) -> None:
        if followed.first_s is None:
            followed.first_s = now
        rate = _rate(slot.answer_tokens - followed.last.answer_tokens, now - followed.last_s)
        if rate is not None and followed.last.answer_tokens:
            followed.decode_tok_per_s = rate
            self._emit(RateSample(rate, None, None, slot.answer_tokens, "measured"))

    def _ended(self, followed: _Followed, slot: SlotReading | None, added: ServerTotals | None) -> None:
        """The slot is free again, or works for somebody else."""
        self._followed = None
        last = followed.last
        used = slot.used_tokens if slot is not None and not slot.is_busy else None
        prompt = last.prompt_tokens
        answer: int | None = last.answer_tokens
        if used is not None and prompt is not None and used >= prompt:
            answer = used - prompt + 1  # the last token of an answer does not go into the cache
        usage = Usage(prompt, answer, None, last.cached_tokens)
        decode = None if added is None else _decode_tok_per_s(added, answer)
        prefill = added.prefill_tok_per_s if added is not None else None
        self._emit(_end(followed, "done", usage, self._clock(), decode, prefill))
        if used is not None:
            self._context(used, last.context_tokens)

    def _missed(self, added: ServerTotals) -> None:
        """An answer that was over before it could be seen; the counters know its speeds."""
        rates = added.decode_tok_per_s, added.prefill_tok_per_s
        if any(rates):
            self._emit(RateSample(*rates, None, added.answer_tokens, "reported"))


def _end(
    followed: _Followed,
    outcome: str,
    usage: Usage,
    now: float,
    decode: float | None,
    prefill: float | None,
) -> RequestEnded:
    decode_s = None if followed.first_s is None else followed.last_s - followed.first_s
    return RequestEnded(
        followed.request_id,
        "done" if outcome == "done" else "failed",
        None,
        usage,
        None,
        decode_s,
        now - followed.began_s,
        decode_tok_per_s=decode or followed.decode_tok_per_s,
        prefill_tok_per_s=prefill,
        timing_source="reported" if decode else "measured",
        error=None if outcome == "done" else "the server does not answer any more",
    )


def _decode_tok_per_s(added: ServerTotals, answer_tokens: int | None) -> float | None:
    """The speed by the counters. Of one answer the first token is the prompt's, as for the server."""
    if answer_tokens is not None and added.answer_tokens == answer_tokens and added.answer_s:
        return _rate(answer_tokens - 1, added.answer_s)
    return added.decode_tok_per_s


def _slot_of(reading: ServerReading, followed: _Followed) -> SlotReading | None:
    return next((slot for slot in reading.slots if slot.slot == followed.key[0]), None)


def _key(slot: SlotReading) -> tuple[int, int | None]:
    return slot.slot, slot.task


def _rate(tokens: int, seconds: float) -> float | None:
    return tokens / seconds if tokens > 0 and seconds > 0 else None
