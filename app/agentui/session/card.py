"""The run card: what a run was made of, what it took and how it ended, as a fold of its events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from agentui.events import (
    CallId,
    CheckResult,
    CompactionEnded,
    Event,
    HistoryAppended,
    HistoryReplaced,
    Json,
    KvSample,
    MemorySample,
    ModelSeen,
    PrefixMeasured,
    Recorded,
    RequestEnded,
    RunCard,
    RunCarded,
    RunEnded,
    RunStarted,
    Source,
    SpeedAtDepth,
    TimeByKind,
    ToolEnded,
    ToolStarted,
    TurnStarted,
    TurnTimed,
)

HASH_DIGITS = 12
SHALLOWEST_TOKENS = 4096
"""Depth of the first class of speeds; each further one is twice as deep."""

_SYSTEM_ROLES = ("system", "developer")


class EventStream(Protocol):
    """A session that is being recorded."""

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` with every record from now on."""
        ...

    def emit(self, event: Event) -> None:
        """Record an event."""
        ...


def tell_cards(stream: EventStream, cards: CardFold) -> Callable[[], None]:
    """Record a `RunCarded` after every run that ends from now on; returns the way to end that.

    `cards` has folded what was recorded before.
    """

    def listen(recorded: Recorded) -> None:
        card = cards.apply(recorded)
        if card is not None:
            stream.emit(RunCarded(card))

    return stream.subscribe(listen)


def run_cards(records: Iterable[Recorded]) -> tuple[RunCard, ...]:
    """The cards of all runs of a session, in order; the last one also when it did not end."""
    fold = CardFold()
    found: list[RunCard] = []

    def keep(card: RunCard | None) -> None:
        if card is not None and card.resumed:
            found.pop()  # that of its earlier parts
        if card is not None:
            found.append(card)

    for recorded in records:
        keep(fold.apply(recorded))
    keep(fold.current())
    return tuple(found)


class CardFold:
    """Folds the events of a session into one card per run. Constant cost for each event but a first message."""

    def __init__(self) -> None:
        self._run: _Run | None = None
        self._saved: _Run | None = None
        self._system_hash: str | None = None
        self._has_history = False

    def current(self) -> RunCard | None:
        """The card of the run that has not ended, as it stands; ``None`` between runs."""
        return None if self._run is None else self._run.card(self._system_hash)

    def apply(self, recorded: Recorded) -> RunCard | None:
        """Fold one event; the card of the run that it ends, else ``None``."""
        match recorded.event:
            case RunStarted() as event:
                saved, self._saved = self._saved, None
                if saved is not None and event.goes_on and saved.is_same(event):
                    saved.go_on(recorded, event)
                    self._run = saved
                else:
                    self._run = _Run(recorded, event)
            case HistoryAppended(message):
                if not self._has_history:
                    self._take_system(message)
            case HistoryReplaced(messages):
                self._has_history = False
                if messages:
                    self._take_system(messages[0])
            case RunEnded() as event if self._run is not None:
                self._run.end(recorded.t_s, event)
                card = self._run.card(self._system_hash)
                self._saved, self._run = (self._run if event.is_saved else None), None
                return card
            case event:
                if self._run is not None:
                    self._run.apply(recorded.t_s, event)
        return None

    def _take_system(self, message: Json) -> None:
        """The first message of the history is the system prompt, or there is none."""
        self._has_history = True
        is_system = message.get("role") in _SYSTEM_ROLES
        self._system_hash = short_hash(message.get("content")) if is_system else None


def short_hash(value: Any) -> str:
    """The first digits of the SHA-256 of a text, or of the JSON (keys sorted) of anything else."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


@dataclass(slots=True)
class _Pace:
    """Tokens and the seconds they took."""

    tokens: float = 0.0
    seconds: float = 0.0

    def add(self, tokens: float | None, tok_per_s: float | None) -> None:
        if tokens and tok_per_s:
            self.tokens += tokens
            self.seconds += tokens / tok_per_s

    @property
    def tok_per_s(self) -> float | None:
        return self.tokens / self.seconds if self.seconds else None


@dataclass(slots=True)
class _Depth:
    requests: int = 0
    prefill: _Pace = field(default_factory=_Pace)
    decode: _Pace = field(default_factory=_Pace)


@dataclass(slots=True)
class _Peaks:
    """The highest samples of a run; swap counts from its first sample."""

    memory_bytes: int | None = None
    model_bytes: int | None = None
    kv_bytes: int | None = None
    kv_source: Source | None = None
    kv_type: str | None = None
    first_swap_bytes: int | None = None
    swap_growth_bytes: int | None = None

    def memory(self, sample: MemorySample) -> None:
        self.memory_bytes = _higher(self.memory_bytes, sample.used_bytes)
        self.model_bytes = _higher(self.model_bytes, sample.model_process_bytes)
        if sample.swap_used_bytes is None:
            return
        if self.first_swap_bytes is None:
            self.first_swap_bytes = sample.swap_used_bytes
        growth = max(0, sample.swap_used_bytes - self.first_swap_bytes)
        self.swap_growth_bytes = _higher(self.swap_growth_bytes, growth)

    def kv(self, sample: KvSample) -> None:
        self.kv_type = sample.cache_type or self.kv_type
        if sample.filled_bytes is not None and sample.filled_bytes >= (self.kv_bytes or 0):
            self.kv_bytes, self.kv_source = sample.filled_bytes, sample.source


class _Run:
    """One run while it goes on."""

    def __init__(self, recorded: Recorded, started: RunStarted) -> None:
        self._began_s = recorded.t_s
        sandbox = started.sandbox
        self._card = RunCard(
            run_id=recorded.run_id,
            task=started.task,
            started_utc=recorded.at_utc,
            model=started.model,
            backend=started.backend,
            harness=started.harness,
            sandbox=sandbox.label if sandbox is not None else "none, talk only",
            profile=started.profile,
            sampling=started.sampling,
            sampling_hash=short_hash(dict(started.sampling)),
        )
        self._tools: dict[CallId, ToolStarted] = {}
        self._checks: dict[str, CheckResult] = {}
        self._depths: dict[int, _Depth] = {}
        self._peaks = _Peaks()
        self._time: TimeByKind | None = None
        self._turns = self._commands = self._requests = self._compactions = 0
        self._prompt = self._completion = self._cached = None
        self._reused: int | None = None
        self._reread: int | None = None
        self._ttfts: list[float] = []
        self._wall_before_s = 0.0
        self._turns_before = self._commands_before = 0

    _prompt: int | None
    _completion: int | None
    _cached: int | None

    def is_same(self, started: RunStarted) -> bool:
        """Whether what goes on is still the same thing: with another model or sampling it is another run."""
        card = self._card
        return (card.model.model, card.harness, card.sampling) == (
            started.model.model,
            started.harness,
            started.sampling,
        )

    def go_on(self, recorded: Recorded, started: RunStarted) -> None:
        """Begin the next part of a run that was saved."""
        self._began_s = recorded.t_s
        self._wall_before_s = self._card.wall_s or 0.0
        self._turns_before, self._commands_before = self._turns, self._commands
        self._tools.clear()
        self._card = replace(
            self._card,
            run_id=recorded.run_id,
            model=started.model,
            reason=None,
            error=None,
            is_saved=False,
            wall_s=None,
            resumed=self._card.resumed + 1,
        )

    def apply(self, t_s: float, event: Event) -> None:
        match event:
            case TurnStarted():
                self._turns += 1
            case ModelSeen(model) if model.model == self._card.model.model:
                self._card = replace(self._card, model=model)
            case RequestEnded():
                self._request(event)
            case PrefixMeasured():
                self._reused = _sum(self._reused, event.reused_tokens)
                self._reread = _sum(self._reread, event.reread_tokens)
            case ToolStarted() if event.label != "user":
                self._tools[event.call_id] = event
            case ToolEnded():
                self._tool(event)
            case MemorySample():
                self._peaks.memory(event)
            case KvSample():
                self._peaks.kv(event)
            case CompactionEnded(error=None):
                self._compactions += 1
            case TurnTimed():
                self._time = _added(self._time, event)
            case _:
                pass

    def end(self, t_s: float, event: RunEnded) -> None:
        self._turns = max(self._turns, self._turns_before + event.turns)
        self._commands = max(self._commands, self._commands_before + event.commands)
        wall_s = self._wall_before_s + (event.wall_s or t_s - self._began_s)
        self._card = replace(
            self._card,
            reason=event.reason,
            error=event.error,
            is_saved=event.is_saved,
            wall_s=wall_s,
            pending_changes=event.pending_changes,
        )
        if self._time is not None:
            # What came after the last turn is of no other kind.
            rest_s = max(0.0, wall_s - _total(self._time))
            self._time = replace(self._time, other_s=self._time.other_s + rest_s)

    def _request(self, event: RequestEnded) -> None:
        usage = event.usage
        self._requests += 1
        self._prompt = _sum(self._prompt, usage.prompt_tokens)
        self._completion = _sum(self._completion, usage.completion_tokens)
        self._cached = _sum(self._cached, usage.cached_tokens)
        if event.ttft_s is not None:
            self._ttfts.append(event.ttft_s)
        if usage.prompt_tokens is None:
            return
        depth = self._depths.setdefault(_depth_class(usage.prompt_tokens), _Depth())
        depth.requests += 1
        depth.decode.add(usage.completion_tokens, event.decode_tok_per_s)
        depth.prefill.add(usage.prompt_tokens - (usage.cached_tokens or 0), event.prefill_tok_per_s)

    def _tool(self, event: ToolEnded) -> None:
        started = self._tools.pop(event.call_id, None)
        if started is None or event.outcome in ("skipped", "denied", "refused"):
            return  # it never ran
        if started.label == "check":
            name = started.check or started.command
            self._checks.pop(name, None)
            self._checks[name] = CheckResult(name, event.outcome, event.exit_code, event.wall_s)
        else:
            self._commands += 1

    def card(self, system_hash: str | None) -> RunCard:
        """The card as it stands."""
        peaks = self._peaks
        decode, prefill = _Pace(), _Pace()
        for depth in self._depths.values():
            decode = _Pace(decode.tokens + depth.decode.tokens, decode.seconds + depth.decode.seconds)
            prefill = _Pace(prefill.tokens + depth.prefill.tokens, prefill.seconds + depth.prefill.seconds)
        reread = self._reread
        if reread is None and self._prompt is not None and self._cached is not None:
            reread = self._prompt - self._cached
        return replace(
            self._card,
            system_hash=system_hash,
            kv_type=peaks.kv_type,
            turns=self._turns,
            commands=self._commands,
            requests=self._requests,
            compactions=self._compactions,
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            reused_tokens=self._cached if self._reused is None else self._reused,
            reread_tokens=reread,
            ttft_s=sum(self._ttfts) / len(self._ttfts) if self._ttfts else None,
            prefill_tok_per_s=prefill.tok_per_s,
            decode_tok_per_s=decode.tok_per_s,
            speeds=tuple(
                SpeedAtDepth(tokens, depth.requests, depth.prefill.tok_per_s, depth.decode.tok_per_s)
                for tokens, depth in sorted(self._depths.items())
            ),
            time=self._time,
            peak_memory_bytes=peaks.memory_bytes,
            peak_model_bytes=peaks.model_bytes,
            peak_kv_bytes=peaks.kv_bytes,
            kv_source=peaks.kv_source,
            swap_growth_bytes=peaks.swap_growth_bytes,
            checks=tuple(self._checks.values()),
        )


def _depth_class(prompt_tokens: int) -> int:
    depth = SHALLOWEST_TOKENS
    while depth < prompt_tokens:
        depth *= 2
    return depth


def _added(time: TimeByKind | None, turn: TurnTimed) -> TimeByKind:
    before = time or TimeByKind()
    return TimeByKind(
        prefill_s=before.prefill_s + turn.prefill_s,
        decode_s=before.decode_s + turn.decode_s,
        commands_s=before.commands_s + turn.commands_s,
        checks_s=before.checks_s + turn.checks_s,
        waiting_s=before.waiting_s + turn.waiting_s,
        slept_s=before.slept_s + turn.slept_s,
        other_s=before.other_s + turn.other_s,
    )


def _total(time: TimeByKind) -> float:
    kinds = (time.prefill_s, time.decode_s, time.commands_s, time.checks_s, time.waiting_s, time.slept_s)
    return sum(kinds) + time.other_s


def _sum(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more


def _higher(peak: int | None, value: int | None) -> int | None:
    return value if peak is None else peak if value is None else max(peak, value)
