"""The meter of one request: folds its parts into the events that gauges and journal live on.

Both harnesses use it, so that their numbers mean the same. One part with text counts as one token while an
answer runs; the final figures use the server's own count where there is one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentui.backends.base import (
    ChatPart,
    FinishPart,
    PrefillPart,
    TextPart,
    ThinkingPart,
    Timings,
    ToolCallPart,
    UsagePart,
)
from agentui.backends.prefix import PrefillPace
from agentui.events import (
    ContextMeasured,
    Event,
    Json,
    PrefillProgressed,
    PrefixMeasured,
    RateSample,
    RequestEnded,
    RequestId,
    RequestOutcome,
    RequestStarted,
    Source,
    Usage,
)

WINDOW_S = 2.0
LEAST_SPAN_S = 0.5
"""Over less a rate says how packets came: the first tokens often come in one."""
LEAST_PREFILL_TOKENS = 128
"""Tokens read for one answer from which a prefill speed is worth telling."""

LOST_RATIO = 2.0
LOST_LEAST_TOKENS = 1024
"""A first token that took the time of so many more tokens than are new: the server read old ones again."""

LEAST_DECODE_S = 0.02
"""An answer that came in less came in one piece, from a server that held it back or while we were late."""

SAMPLE_EVERY_S = 0.25
GUESS_EVERY_S = 0.5
_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of a request when it leaves; `likely_cached_tokens` where the prefix was sent before."""

    at_s: float
    estimated_prompt_tokens: int
    likely_cached_tokens: int | None
    first_changed: int | None = None


class RequestMeter:
    """Measures one request: `sent` once, `part` for each part, `ended` once.

    Args:
        request_id: Names the request in all events.
        emit: Gets the events, at once.
        clock: Monotonic seconds.
        limit_tokens: The loaded context, for `ContextMeasured`.
        pace: How fast this server reads prompts, shared by its requests: for what it does not tell itself.
    """

    def __init__(
        self,
        request_id: RequestId,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        *,
        limit_tokens: int | None = None,
        pace: PrefillPace | None = None,
    ) -> None:
        self._id = request_id
        self._emit = emit
        self._clock = clock
        self._limit_tokens = limit_tokens
        self._pace = pace or PrefillPace()
        self._guessed_at_s = float("-inf")
        self._sent = Sent(clock(), 0, None)
        self._rate = _RollingRate()
        self._tokens = 0
        self._first_at_s: float | None = None
        self._last_at_s = 0.0
        self._sampled_at_s = float("-inf")
        self._prefill: PrefillPart | None = None
        self._prefill_began: tuple[float, int] | None = None
        self._usage: UsagePart | None = None
        self._finish_reason: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens that came so far, counted by parts."""
        return self._tokens

    @property
    def ttft_s(self) -> float | None:
        """Seconds from send to the first token."""
        return None if self._first_at_s is None else self._first_at_s - self._sent.at_s

    def sent(
        self,
        body_bytes: int,
        messages: int | Sequence[Json],
        estimated_prompt_tokens: int,
        turn: int,
        attempt: int = 1,
        *,
        likely_cached_tokens: int | None = None,
        first_changed: int | None = None,
    ) -> None:
        """The request leaves now.

        `likely_cached_tokens` is what an append-only history has sent before (0 for a first request); it makes
        a prefill speed possible where the server does not tell how much it reused. `first_changed` is the index
        of the first message that is not as it was sent before, ``None`` where the history only goes on.
        """
        self._sent = Sent(self._clock(), estimated_prompt_tokens, likely_cached_tokens, first_changed)
        count = messages if isinstance(messages, int) else len(messages)
        self._emit(RequestStarted(self._id, turn, count, body_bytes, estimated_prompt_tokens, attempt))

    def leaves(self) -> None:
        """Only now does it leave: what was prepared since `sent` is not the server's time."""
        self._sent = replace(self._sent, at_s=self._clock())

    def part(self, part: ChatPart) -> None:
        """Fold one part."""
        match part:
            case TextPart() | ThinkingPart() | ToolCallPart():
                self._token()
            case PrefillPart():
                self._prefilled(part)
            case UsagePart():
                self._usage = part
            case FinishPart(reason, _):
                self._finish_reason = reason

    def waiting(self) -> None:
        """Time passes before the first token: guess how far the server is, where it does not tell.

        Call it a few times a second; it emits at most every `GUESS_EVERY_S`, nothing where nothing is known.
        """
        now, pace, sent = self._clock(), self._pace.tok_per_s, self._sent
        if self._first_at_s is not None or self._prefill is not None or pace is None:
            return
        if now - self._guessed_at_s < GUESS_EVERY_S:
            return
        self._guessed_at_s = now
        cached = sent.likely_cached_tokens or 0
        total = max(sent.estimated_prompt_tokens, cached + 1)
        read = min(total - 1, cached + round(pace * (now - sent.at_s)))
        eta_s = (total - read) / pace
        self._emit(PrefillProgressed(self._id, read, total, cached, eta_s, "estimated"))

    def ended(self, outcome: RequestOutcome, error: str | None = None) -> None:
        """The request is over; emits its figures, the last speeds and the fill of the context."""
        now = self._clock()
        usage, usage_source = self._final_usage()
        decode_s = self._last_at_s - self._first_at_s if self._first_at_s is not None else None
        timings = self._usage.timings if self._usage and self._usage.timings else Timings()
        decode = timings.decode_tok_per_s
        if decode is None and decode_s is not None and decode_s >= LEAST_DECODE_S:
            decode = _per_second((usage.completion_tokens or 0) - 1, decode_s)
        prefill = timings.prefill_tok_per_s or self._measured_prefill(usage)
        source: Source = "reported" if timings.decode_tok_per_s else "measured"
        self._emit(
            RequestEnded(
                self._id,
                outcome,
                self._finish_reason,
                usage,
                self.ttft_s,
                decode_s,
                now - self._sent.at_s,
                decode_tok_per_s=decode,
                prefill_tok_per_s=prefill,
                timing_source=source,
                usage_source=usage_source,
                error=error,
            )
        )
        self._tell_prefix(usage, prefill)
        if self._tokens:
            self._emit(RateSample(decode, prefill, self.ttft_s, usage.completion_tokens, source))
        if usage.prompt_tokens is not None:
            used = usage.prompt_tokens + (usage.completion_tokens or 0)
            self._emit(ContextMeasured(used, self._limit_tokens, usage_source))

    def _token(self) -> None:
        now = self._clock()
        self._tokens += 1
        self._last_at_s = now
        if self._first_at_s is None:
            self._first_at_s = now
        self._rate.add(now, self._tokens)
        rate = self._rate.tok_per_s
        if rate is not None and now - self._sampled_at_s >= SAMPLE_EVERY_S:
            self._sampled_at_s = now
            self._emit(RateSample(rate, self._running_prefill(), self.ttft_s, self._tokens, "measured"))

    def _prefilled(self, part: PrefillPart) -> None:
        now = self._clock()
        self._prefill = part
        if self._prefill_began is None:
            self._prefill_began = (now, part.processed_tokens)
        rate = self._prefill_rate(now)
        left = part.total_tokens - part.processed_tokens
        eta_s = left / rate if rate else None
        self._emit(
            PrefillProgressed(
                self._id, part.processed_tokens, part.total_tokens, part.cached_tokens, eta_s, part.source
            )
        )
        if rate is not None and now - self._sampled_at_s >= SAMPLE_EVERY_S:
            self._sampled_at_s = now
            self._emit(RateSample(None, rate, None, None, "measured"))

    def _prefill_rate(self, now: float) -> float | None:
        """Speed between the first report and now; the time before it may have been spent in a queue."""
        if self._prefill is None or self._prefill_began is None:
            return None
        began_s, began_tokens = self._prefill_began
        return _per_second(self._prefill.processed_tokens - began_tokens, now - began_s)

    def _running_prefill(self) -> float | None:
        return self._prefill_rate(self._first_at_s) if self._first_at_s is not None else None

    def _tell_prefix(self, usage: Usage, prefill_tok_per_s: float | None) -> None:
        """How much was reused and how much read again, and what that cost; only of a prompt that was read."""
        prompt, ttft_s = usage.prompt_tokens, self.ttft_s
        if prompt is None or ttft_s is None:
            return
        told, likely = self._told_cached(usage), self._sent.likely_cached_tokens
        if told is None and likely:
            self._pace.check(prompt - likely, prompt, ttft_s)
        reused = told if told is not None else self._likely_reused(prompt, ttft_s)
        reread = None if reused is None else max(0, prompt - reused)
        cost_s = None
        if reread is not None:
            cost_s = min(ttft_s, reread / prefill_tok_per_s) if prefill_tok_per_s else ttft_s
        if told is not None or likely == 0:
            self._pace.note(reread or 0, ttft_s)
        source: Source = "estimated" if told is None else "reported"
        self._emit(PrefixMeasured(self._id, reused, reread, cost_s, self._sent.first_changed, source))

    def _told_cached(self, usage: Usage) -> int | None:
        """What the server says it reused, in the answer or while it read."""
        if usage.cached_tokens is None and self._prefill is not None:
            return self._prefill.cached_tokens
        return usage.cached_tokens

    def _likely_reused(self, prompt_tokens: int, ttft_s: float) -> int | None:
        """What must have been reused, from what was sent before, unless the first token took far too long."""
        likely, pace = self._sent.likely_cached_tokens, self._pace.tok_per_s
        if likely is None:
            return None if pace is None else max(0, prompt_tokens - round(ttft_s * pace))
        likely = min(likely, prompt_tokens)
        read = 0 if pace is None else min(prompt_tokens, round(ttft_s * pace))
        is_lost = read > LOST_RATIO * (prompt_tokens - likely) + LOST_LEAST_TOKENS
        return prompt_tokens - read if is_lost else likely

    def _measured_prefill(self, usage: Usage) -> float | None:
        """Tokens really read per second until the first token; a lower bound, as queueing is in it."""
        cached = self._told_cached(usage)
        if cached is None:
            cached = self._sent.likely_cached_tokens
        if cached is None or usage.prompt_tokens is None:
            return self._running_prefill()
        read_tokens = usage.prompt_tokens - cached
        # A few tokens drown in the fixed cost of a request: their quotient says nothing of the prefill.
        return _per_second(read_tokens, self.ttft_s) if read_tokens >= LEAST_PREFILL_TOKENS else None

    def _final_usage(self) -> tuple[Usage, Source]:
        told = self._usage.usage if self._usage else None
        if told is not None and told.prompt_tokens is not None and told.completion_tokens is not None:
            return told, "reported"
        if not self._tokens:
            return told or Usage(), "estimated" if told is None else "reported"
        prompt = told.prompt_tokens if told else None
        if prompt is None:
            prompt = self._prefill.total_tokens if self._prefill else self._sent.estimated_prompt_tokens
        cached = told.cached_tokens if told else None
        return Usage(prompt, self._tokens, told.reasoning_tokens if told else None, cached), "estimated"


class _RollingRate:
    """Tokens per second over the last `WINDOW_S`; constant cost however fast tokens come."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._now = (0.0, 0)

    def add(self, at_s: float, tokens: int) -> None:
        self._now = (at_s, tokens)
        if not self._marks or at_s - self._marks[-1][0] >= _STEP_S:
            self._marks.append((at_s, tokens))
        while len(self._marks) > 1 and at_s - self._marks[0][0] > WINDOW_S:
            self._marks.popleft()

    @property
    def tok_per_s(self) -> float | None:
        if not self._marks:
            return None
        began_s, began_tokens = self._marks[0]
        span_s = self._now[0] - began_s
        return _per_second(self._now[1] - began_tokens, span_s) if span_s >= LEAST_SPAN_S else None


def _per_second(tokens: int, seconds: float | None) -> float | None:
    return tokens / seconds if seconds and seconds > 0 and tokens > 0 else None
