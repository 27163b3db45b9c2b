"""Reads the machine at fixed intervals and turns what the meters know into samples.

The sampler owns three asyncio tasks: memory, our own process, and values that follow from events. Blocking
reads run in threads. A reading that fails becomes a sample with `error`, and the next one is tried as usual.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agentui.errors import AgentuiError
from agentui.events import (
    Event,
    ForecastMade,
    KvSample,
    MemorySample,
    ModelFacts,
    ProcessSample,
    Recorded,
    RequestEnded,
    TurnEnded,
)
from agentui.telemetry.accounts import TimeAccount
from agentui.telemetry.cache import CacheModel, FindCache, find_builtin_cache
from agentui.telemetry.forecast import RESERVE_BYTES, context_forecast, memory_forecast
from agentui.telemetry.memory.process import ModelProcess
from agentui.telemetry.memory.reader import MachineMemory, MemoryReader
from agentui.telemetry.meters import Meters
from agentui.telemetry.owners import SwapGrowth, engine_rest_bytes, headroom_bytes

_LOG = logging.getLogger(__name__)

LOOK_AGAIN_S = 10.0
"""A model's shape that could not be read is looked for again after this time: its server may have been busy."""
REMOTE = "the model runs on another machine"


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often things are read, in seconds; `change_s` is the least time between samples made from events.

    The sandbox's memory costs its engine a question and is asked every `sandbox_s`, at a memory reading.
    """

    memory_s: float = 2.0
    process_s: float = 2.0
    change_s: float = 0.5
    sandbox_s: float = 10.0


def _no_process() -> ModelProcess | None:
    return None


async def _no_sandbox() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Readers:
    """Where the readings come from.

    `memory` and `model_process` block and are called in threads. `sandbox_bytes` is the memory that commands
    have in use now. `own` must be quick.
    """

    memory: MemoryReader
    own: Callable[[], ProcessSample]
    model_process: Callable[[], ModelProcess | None] = _no_process
    sandbox_bytes: Callable[[], Awaitable[int | None]] = _no_sandbox
    find_cache: FindCache = find_builtin_cache


@dataclass(slots=True)
class _Changes:
    """What was emitted last, so that only changes are."""

    kv: KvSample | None = None
    cache: CacheModel | None = None
    cache_error: str | None = None
    cache_for: ModelFacts | None = None
    cache_again_s: float = float("inf")
    waiting: list[Event] = field(default_factory=list)
    is_forecast_due: bool = False


class Sampler:
    """Emits samples until it is closed. `observe` must see every recorded event, on the event loop's thread."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        readers: Readers,
        intervals: Intervals | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meters = Meters()
        self._account = TimeAccount()
        self._clock = clock
        self._seen_s = (0.0, clock())
        self._machine_now = MachineMemory()
        self._swap = SwapGrowth()
        self._sandbox: tuple[float, int | None] | None = None
        self._emit = emit
        self._readers = readers
        self._intervals = intervals or Intervals()
        self._sleep = sleep
        self._tasks: list[asyncio.Task[None]] = []
        self._has_change = asyncio.Event()
        self._last = _Changes()
        self._own_bytes: int | None = None
        self._logged: set[str] = set()

    def start(self) -> None:
        """Begin to sample; needs a running event loop. A second call does nothing."""
        if self._tasks:
            return
        loops = {"memory": self._sample_memory, "process": self._sample_process, "change": self._follow_changes}
        self._tasks = [asyncio.create_task(loop(), name=f"sampler-{name}") for name, loop in loops.items()]

    async def aclose(self) -> None:
        """Stop sampling; what was worked out already is told. A reading in a thread ends by itself, unheard."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            self._emit_waiting()

    def observe(self, recorded: Recorded) -> None:
        """Take in one event; constant cost.

        What a request left in the cache is told before this returns, because the end of a short run would
        overtake the next change; so `emit` must take an event while another one is told.
        """
        self._seen_s = (recorded.t_s, self._clock())
        timed = self._account.observe(recorded)
        if timed is not None:
            self._last.waiting.append(timed)
        if not self.meters.observe(recorded) and timed is None:
            return
        event = recorded.event
        if isinstance(event, RequestEnded) and self._is_cache_found:
            self._tell_kv()
        if isinstance(event, TurnEnded) or (isinstance(event, RequestEnded) and self.meters.is_watching):
            self._last.waiting.append(context_forecast(list(self.meters.turns), self._limit_tokens))
            self._last.is_forecast_due = True
        self._has_change.set()

    def end_run(self) -> None:
        """Tell where the time since the last turn went, and what waits; before the run's end, which is last."""
        t_s, at_s = self._seen_s
        timed = self._account.end(t_s + self._clock() - at_s)
        if timed is not None:
            self._last.waiting.append(timed)
        self._emit_waiting()

    @property
    def _limit_tokens(self) -> int | None:
        context, model = self.meters.context, self.meters.model
        if context is not None:
            return context.limit_tokens
        return None if model is None else model.loaded_context_tokens

    async def _sample_memory(self) -> None:
        while True:
            self._emit(await self.read_memory())
            await self._sleep(self._intervals.memory_s)

    async def _sample_process(self) -> None:
        while True:
            try:
                sample = self._readers.own()
            except Exception as error:  # the edge of a sampler: whatever fails here must not end the others
                self._log_once("own process", error)
            else:
                self._own_bytes = sample.rss_bytes
                self._emit(sample)
            await self._sleep(self._intervals.process_s)

    async def _follow_changes(self) -> None:
        while True:
            await self._has_change.wait()
            self._has_change.clear()
            await self._emit_changes()
            await self._sleep(self._intervals.change_s)

    # --- memory ----------------------------------------------------------------------------------

    async def read_memory(self) -> MemorySample:
        """One reading of everything that holds memory; never raises for a reading that fails."""
        model = self.meters.model
        if model is not None and model.is_remote:
            self._machine_now = MachineMemory()
            return self._memory_sample(MachineMemory(), None, None, REMOTE)
        errors: list[str] = []
        machine = await self._machine(errors)
        process = await self._model_process(errors)
        sandbox_bytes = await self._sandbox_bytes(errors)
        if process is not None and process.memory.mapped_bytes:
            machine = machine.counting_mapped(process.memory.mapped_bytes)
        self._machine_now = machine
        return self._memory_sample(machine, process, sandbox_bytes, "; ".join(errors) or None)

    async def _machine(self, errors: list[str]) -> MachineMemory:
        try:
            return await asyncio.to_thread(self._readers.memory.machine)
        except Exception as error:  # the edge of a sampler
            errors.append(self._log_once("memory", error))
            return MachineMemory()

    async def _model_process(self, errors: list[str]) -> ModelProcess | None:
        try:
            return await asyncio.to_thread(self._readers.model_process)
        except Exception as error:  # the edge of a sampler
            errors.append(self._log_once("the model's process", error))
            return None

    async def _sandbox_bytes(self, errors: list[str]) -> int | None:
        """The newest figure; asked anew when it is older than its own interval."""
        now_s = self._clock()
        if self._sandbox is not None and now_s - self._sandbox[0] < self._intervals.sandbox_s:
            return self._sandbox[1]
        try:
            self._sandbox = (now_s, await self._readers.sandbox_bytes())
        except Exception as error:  # the edge of a sampler
            self._sandbox = None
            errors.append(self._log_once("the sandbox", error))
            return None
        return self._sandbox[1]

    def _memory_sample(
        self, machine: MachineMemory, process: ModelProcess | None, sandbox_bytes: int | None, error: str | None
    ) -> MemorySample:
        now_s = self._clock()
        model, cache = self.meters.model, self._last.cache
        compute = None if cache is None else cache.compute_bytes
        kv = None if self._last.kv is None else self._last.kv.allocated_bytes
        sandbox_age_s = None
        if sandbox_bytes is not None and self._sandbox is not None:
            sandbox_age_s = round(now_s - self._sandbox[0], 1)
        return MemorySample(
            total_bytes=machine.total_bytes,
            used_bytes=machine.used_bytes,
            available_bytes=machine.available_bytes,
            swap_used_bytes=machine.swap_used_bytes,
            model_process_bytes=None if process is None else process.memory.held_bytes,
            sandbox_bytes=sandbox_bytes,
            own_bytes=self._own_bytes,
            gpu_limit_bytes=machine.gpu_limit_bytes,
            gpu_limit_source=machine.gpu_limit_source,
            pressure=machine.pressure,
            source="measured",
            gpu_busy_percent=machine.gpu_busy_percent,
            weights_bytes=self._weights(machine.used_bytes),
            error=error,
            gpu_used_bytes=machine.gpu_used_bytes,
            compressed_bytes=machine.compressed_bytes,
            swap_growth_bytes=self._swap.add(now_s, machine.swap_used_bytes),
            compute_bytes=compute,
            engine_rest_bytes=engine_rest_bytes(process, model, kv, compute),
            is_process_sure=None if process is None else process.is_sure,
            sandbox_age_s=sandbox_age_s,
        )

    def _weights(self, used_bytes: int | None) -> int | None:
        """The weights' size as the server says; unknown where they cannot all be in this memory."""
        model = self.meters.model
        if model is None or model.size_bytes is None or used_bytes is None or model.size_bytes > used_bytes:
            return None
        return model.size_bytes

    # --- values that follow from events ----------------------------------------------------------

    async def _emit_changes(self) -> None:
        last = self._last
        await self.emit_kv()
        self._emit_waiting()
        if last.is_forecast_due:
            last.is_forecast_due = False
            self._emit(self._memory_forecast())

    def _emit_waiting(self) -> None:
        waiting, self._last.waiting = self._last.waiting, []
        for event in waiting:
            self._emit(event)

    def _memory_forecast(self) -> ForecastMade:
        """When the nearer wall is hit, from the cache's own growth."""
        model, cache = self.meters.model, self._last.cache
        if model is not None and model.is_remote:
            return ForecastMade("memory", None, None, REMOTE)
        if model is None or cache is None:
            return ForecastMade("memory", None, None, "the model's cache is not known")
        turns = list(self.meters.turns)

        def held(tokens: int) -> int:
            now = cache.at(tokens)
            return now.allocated_bytes + (now.checkpoint_bytes or 0)

        tokens_now = turns[-1].used_tokens if turns else 0
        engine = (model.size_bytes or 0) + cache.at(tokens_now).allocated_bytes + (cache.compute_bytes or 0)
        room = headroom_bytes(self._machine_now, engine, RESERVE_BYTES)
        is_upper = bool(cache.at(tokens_now + 1).checkpoint_bytes)
        return memory_forecast(turns, self._limit_tokens, room, held, cache.prefill_bytes, is_upper=is_upper)

    async def emit_kv(self) -> None:
        """Tell of the cache where it has changed; memory's owners are worked out with it from then on."""
        if self.meters.model is not None:
            await self._find_cache(self.meters.model)
            self._tell_kv()

    @property
    def _is_cache_found(self) -> bool:
        return self._last.cache is not None and self._last.cache_for == self.meters.model

    def _tell_kv(self) -> None:
        kv = self._kv()
        if kv is not None and kv != self._last.kv:
            self._last.kv = kv
            self._emit(kv)

    def _kv(self) -> KvSample | None:
        """The cache as it is now; ``None`` before a model is known."""
        model, tokens, cache = self.meters.model, self.meters.cached_tokens, self._last.cache
        if model is None:
            return None
        if cache is None:
            error = self._last.cache_error
            return KvSample(
                None, None, None, tokens, "estimated", f"the shape of {model.model} is not known", error
            )
        now = cache.at(tokens or 0)
        is_guessed = tokens is not None and self.meters.cached_source == "estimated"
        return KvSample(
            filled_bytes=None if tokens is None else now.filled_bytes,
            allocated_bytes=now.allocated_bytes,
            checkpoint_bytes=None if tokens is None else now.checkpoint_bytes,
            tokens=tokens,
            source="estimated" if is_guessed else cache.source,
            basis=cache.basis,
            cache_type=cache.cache_type,
        )

    async def _find_cache(self, model: ModelFacts) -> None:
        last = self._last
        if last.cache_for == model and self._clock() < last.cache_again_s:
            return
        last.cache_for, last.cache, last.cache_error = model, None, None
        last.cache_again_s = float("inf")
        try:
            last.cache = await self._readers.find_cache(model)
        except AgentuiError as error:
            last.cache_error = error.message
        except Exception as error:  # the edge of a sampler
            last.cache_error = self._log_once("the model's shape", error)
        if last.cache_error is not None:
            last.cache_again_s = self._clock() + LOOK_AGAIN_S

    def _log_once(self, what: str, error: Exception) -> str:
        """Log a failure the first time; a reader that fails every two seconds must not fill the log."""
        text = f"{what} cannot be read: {error or type(error).__name__}"
        if text not in self._logged:
            self._logged.add(text)
            _LOG.warning("%s", text, exc_info=error)
        return text
