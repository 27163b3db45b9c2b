"""The gauges' part of the fold: the newest values with their sources, and a short history for charts."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import field, replace
from typing import Literal

from agentui.events import (
    ContextMeasured,
    Event,
    ForecastMade,
    GuardChanged,
    GuardLevel,
    KvSample,
    MemorySample,
    ModelFacts,
    ModelSeen,
    PrefillProgressed,
    PrefixMeasured,
    ProcessSample,
    RateSample,
    Recorded,
    RequestEnded,
    RequestStarted,
    RunEnded,
    RunStarted,
    Source,
    Stalled,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolStarted,
    TurnTimed,
)
from agentui.frozen import frozen, mutable
from agentui.view.blocks import BlockId

HISTORY_POINTS = 600
"""Samples kept for the charts: ten minutes at one a second."""

LEAST_DEPTH_TOKENS = 16
"""Shorter answers say nothing about the speed at their depth of the context."""

MEMORY = BlockId("@memory")
KV = BlockId("@kv")
CONTEXT = BlockId("@context")
SPEED = BlockId("@speed")
PROCESS = BlockId("@process")


@frozen
class KvPoint:
    """One sample of the KV cache, in bytes; `t_s` is seconds of the session."""

    t_s: float
    filled_bytes: int | None
    allocated_bytes: int | None


@frozen
class RatePoint:
    """One sample of the decode speed."""

    t_s: float
    decode_tok_per_s: float


@frozen
class DepthPoint:
    """The decode speed of one answer, and how full the context was in its middle."""

    depth_tokens: int
    decode_tok_per_s: float


@mutable
class Speed:
    """Speeds in tokens per second: `decode` of the answer now or last, `prefill` and `ttft_s` of the last."""

    decode_tok_per_s: float | None = None
    prefill_tok_per_s: float | None = None
    ttft_s: float | None = None
    source: Source = "measured"
    is_live: bool = False


@mutable
class Gauges:
    """The newest value of everything that is measured; ``None`` means not known."""

    memory: MemorySample | None = None
    kv: KvSample | None = None
    context: ContextMeasured | None = None
    prefill: PrefillProgressed | None = None
    speed: Speed = field(default_factory=Speed)
    reused_tokens: int | None = None
    read_tokens: int | None = None
    prefix: PrefixMeasured | None = None
    thinking_tokens: int | None = None
    times: TurnTimed | None = None
    depths: deque[DepthPoint] = field(default_factory=lambda: deque(maxlen=HISTORY_POINTS))
    model: ModelFacts | None = None
    memory_t_s: float = 0.0
    seen_t_s: dict[BlockId, float] = field(default_factory=dict)
    last_t_s: float = 0.0
    process: ProcessSample | None = None
    guard: GuardLevel = "ok"
    forecasts: dict[Literal["context", "memory"], ForecastMade] = field(default_factory=dict)
    kv_history: deque[KvPoint] = field(default_factory=lambda: deque(maxlen=HISTORY_POINTS))
    rate_history: deque[RatePoint] = field(default_factory=lambda: deque(maxlen=HISTORY_POINTS))
    _model: str | None = None

    def copy(self) -> Gauges:
        """An independent state; samples are shared."""
        new = copy.copy(self)
        new.speed = replace(self.speed)
        new.forecasts = dict(self.forecasts)
        new.seen_t_s = dict(self.seen_t_s)
        new.depths = self.depths.copy()
        new.kv_history = self.kv_history.copy()
        new.rate_history = self.rate_history.copy()
        return new

    def apply(self, recorded: Recorded) -> frozenset[BlockId]:
        """Fold one event; constant cost."""
        self.last_t_s = recorded.t_s
        changed = self._apply_sample(recorded) or self._apply_request(recorded.event)
        if changed is None:
            return frozenset()
        self.seen_t_s[changed] = recorded.t_s
        return frozenset((changed,))

    def _apply_sample(self, recorded: Recorded) -> BlockId | None:
        event = recorded.event
        match event:
            case MemorySample():
                self.memory, self.memory_t_s = event, recorded.t_s
                return MEMORY
            case KvSample():
                self.kv = event
                self.kv_history.append(KvPoint(recorded.t_s, event.filled_bytes, event.allocated_bytes))
                return KV
            case RateSample():
                return self._rate(recorded.t_s, event)
            case ProcessSample():
                self.process = event
                return PROCESS
            case ForecastMade():
                self.forecasts[event.limit] = event
                return MEMORY
            case GuardChanged():
                self.guard = event.level
                return MEMORY
            case _:
                return None

    def _apply_request(self, event: Event) -> BlockId | None:
        match event:
            case ContextMeasured():
                self.context = event
                return CONTEXT
            case ModelSeen(model):
                return self._model_seen(model)
            case RunStarted():
                self._model, self.model = event.model.model, event.model
                return None
            case RequestStarted():
                self.prefill = None
                return SPEED
            case PrefillProgressed():
                self.prefill = event
                return SPEED
            case TextDelta() | ThinkingDelta() | ToolCallDelta() | ToolStarted() if self.prefill is not None:
                self.prefill = None
                return SPEED
            case Stalled():
                self.speed.decode_tok_per_s = None
                return SPEED
            case RequestEnded():
                return self._request_ended(event)
            case PrefixMeasured():
                return self._prefix_measured(event)
            case TurnTimed():
                self.times = event if event.turn else self.times
                return SPEED
            case RunEnded():
                self.speed.is_live = False
                return SPEED
            case _:
                return None

    def _model_seen(self, model: ModelFacts) -> BlockId:
        """The limit is the new one at once; what fills it is a guess when another model counts the tokens."""
        before, self._model, self.model = self._model, model.model, model
        if self.context is not None:
            is_same = before in (None, model.model)
            self.context = replace(
                self.context,
                limit_tokens=model.loaded_context_tokens,
                source=self.context.source if is_same else "estimated",
            )
            if not is_same:
                self.reused_tokens = self.read_tokens = None
        # what was forecast held for the old limit
        self.forecasts.pop("context", None)
        return CONTEXT

    def _rate(self, t_s: float, event: RateSample) -> BlockId:
        speed = self.speed
        speed.is_live = event.decode_tok_per_s is not None
        speed.source = event.source
        if event.decode_tok_per_s is not None:
            speed.decode_tok_per_s = event.decode_tok_per_s
            self.rate_history.append(RatePoint(t_s, event.decode_tok_per_s))
        if event.prefill_tok_per_s is not None:
            speed.prefill_tok_per_s = event.prefill_tok_per_s
        if event.ttft_s is not None:
            speed.ttft_s = event.ttft_s
        return SPEED

    def _request_ended(self, event: RequestEnded) -> BlockId:
        self.prefill = None
        speed = self.speed
        speed.is_live = False
        if event.decode_tok_per_s is not None:
            speed.decode_tok_per_s, speed.source = event.decode_tok_per_s, event.timing_source
        if event.prefill_tok_per_s is not None:
            speed.prefill_tok_per_s = event.prefill_tok_per_s
        if event.ttft_s is not None:
            speed.ttft_s = event.ttft_s
        usage = event.usage
        self.thinking_tokens = usage.reasoning_tokens
        if event.decode_tok_per_s is not None and usage.prompt_tokens is not None:
            written = usage.completion_tokens or 0
            if written >= LEAST_DEPTH_TOKENS:
                depth = usage.prompt_tokens + written // 2
                self.depths.append(DepthPoint(depth, event.decode_tok_per_s))
        if usage.prompt_tokens is not None:
            self.reused_tokens = usage.cached_tokens
            cached = usage.cached_tokens
            self.read_tokens = None if cached is None else usage.prompt_tokens - cached
        return SPEED

    def _prefix_measured(self, event: PrefixMeasured) -> BlockId:
        self.prefix = event
        self.reused_tokens, self.read_tokens = event.reused_tokens, event.reread_tokens
        return CONTEXT
