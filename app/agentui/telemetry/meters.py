"""Folds events into what samples and forecasts need: tokens in the cache, growth of the context per turn.

Speeds are measured where the answer is read, by the request's own meter; here only the newest is kept.

No clock and no IO: all times are those of the recorded events, so a replay gives the same values.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agentui.events import (
    ContextMeasured,
    HistoryReplaced,
    ModelFacts,
    ModelLoadEnded,
    ModelSeen,
    ModelUnloaded,
    PrefillProgressed,
    RateSample,
    Recorded,
    RequestEnded,
    RequestStarted,
    RunEnded,
    RunStarted,
    Source,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    TurnEnded,
    TurnStarted,
)

TURNS_KEPT = 20


@dataclass(frozen=True, slots=True)
class TurnGrowth:
    """What one turn did to the context; `work_s` is its time without waiting for the user and without sleep.

    Of other programs' work only the requests are seen: each of them is a turn, and its time is the server's.
    """

    used_tokens: int
    work_s: float


@dataclass(slots=True)
class _OpenRequest:
    """A request that is being answered."""

    prompt_tokens: int
    began_t_s: float
    prompt_source: Source = "estimated"
    read_tokens: int | None = None
    answer_tokens: int = 0
    told_tokens: int | None = None


class Meters:
    """Current values, folded from events. Not for several threads at once."""

    def __init__(self) -> None:
        self.model: ModelFacts | None = None
        self.context: ContextMeasured | None = None
        self.rates: RateSample | None = None
        self.turns: deque[TurnGrowth] = deque(maxlen=TURNS_KEPT)
        self._request: _OpenRequest | None = None
        self._held_tokens: int | None = None
        self._held_source: Source = "estimated"
        self._turn_started_t_s: float | None = None
        self._is_in_run = False

    @property
    def is_watching(self) -> bool:
        """Whether requests are those of other programs: no run of ours goes on."""
        return not self._is_in_run

    @property
    def cached_tokens(self) -> int | None:
        """Tokens of our sequence in the model's cache, which keeps them between requests; ``None`` before any.

        While the prompt is read: what is read so far. While the answer comes: the prompt and the chunks so far.
        """
        request = self._request
        if request is None:
            return self._held_tokens
        if request.told_tokens is not None:
            return request.told_tokens
        if request.answer_tokens:
            return request.prompt_tokens + request.answer_tokens
        return self._held_tokens if request.read_tokens is None else request.read_tokens

    @property
    def cached_source(self) -> Source:
        """How sure `cached_tokens` is."""
        request = self._request
        if request is None:
            return self._held_source
        return request.prompt_source if request.told_tokens is None else "reported"

    def observe(self, recorded: Recorded) -> bool:
        """Fold one event; true if a value may have changed. Constant cost."""
        t_s, event = recorded.t_s, recorded.event
        match event:
            case TextDelta(tokens=tokens) | ThinkingDelta(tokens=tokens) | ToolCallDelta(tokens=tokens):
                if self._request is None:
                    return False
                self._request.answer_tokens += tokens
            case RateSample():
                self.rates = event
                return self._counted_by_rate(event)
            case RequestStarted():
                self._request = _OpenRequest(event.estimated_prompt_tokens, t_s)
            case PrefillProgressed():
                if self._request is None:
                    return False
                self._request.prompt_tokens, self._request.prompt_source = event.total_tokens, event.source
                self._request.read_tokens = event.processed_tokens
            case RequestEnded():
                self._request_ended(t_s, event)
            case ContextMeasured():
                self.context = event
                if event.source == "reported":
                    self._fill_reported(event.used_tokens)
            case TurnStarted():
                self._turn_started_t_s, self._is_in_run = t_s, True
            case TurnEnded():
                self._turn_ended(t_s, event)
            case HistoryReplaced():
                self.turns.clear()
            case RunStarted(model=model):
                self._is_in_run = True
                self._use_model(model)
            case ModelSeen(model=model):
                self._use_model(model)
            case RunEnded():
                self._is_in_run = False
                return False
            case ModelUnloaded() | ModelLoadEnded(error=None):
                self._held_tokens = None
            case _:
                return False
        return True

    def _fill_reported(self, used_tokens: int) -> None:
        """A server's own word counts while it answers, and before anything was counted here."""
        if self._request is not None:
            self._request.told_tokens = used_tokens
        elif self._held_tokens is None:
            self._held_tokens, self._held_source = used_tokens, "reported"

    def _counted_by_rate(self, event: RateSample) -> bool:
        """An answer whose text does not come by here, as through a gateway, is counted by its samples."""
        request = self._request
        if request is None or (event.answer_tokens or 0) <= request.answer_tokens:
            return False
        request.answer_tokens = event.answer_tokens or 0
        return True

    def _request_ended(self, t_s: float, event: RequestEnded) -> None:
        request, self._request = self._request, None
        usage = event.usage
        if usage.prompt_tokens is not None:
            # The last sampled token is not yet in the cache.
            answer = max(0, (usage.completion_tokens or 0) - 1)
            self._held_tokens, self._held_source = usage.prompt_tokens + answer, event.usage_source
            if request is not None and self.is_watching:
                self._grew(self._held_tokens, t_s - request.began_t_s)
        elif request is not None and request.answer_tokens:
            self._held_tokens = request.prompt_tokens + request.answer_tokens - 1
            self._held_source = "estimated"

    def _turn_ended(self, t_s: float, event: TurnEnded) -> None:
        used = self.context.used_tokens if self.context is not None else None
        started = self._turn_started_t_s
        self._turn_started_t_s = None
        if used is not None and started is not None:
            self._grew(used, max(0.0, t_s - started - event.waiting_s))

    def _grew(self, used_tokens: int, work_s: float) -> None:
        if self.turns and used_tokens < self.turns[-1].used_tokens:
            self.turns.clear()  # the context shrank: what was before says nothing about its growth
        self.turns.append(TurnGrowth(used_tokens, work_s))

    def _use_model(self, model: ModelFacts) -> None:
        if self.model is not None and self.model.model != model.model:
            self._held_tokens = None
            self.turns.clear()
        self.model = model
