"""Generation: queue, load, silent reading of the prompt, token after token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import ceil
from typing import Literal

from agentui.simulator import answers
from agentui.simulator.catalog import CatalogModel
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.faults import Fault, FaultPlan
from agentui.simulator.registry import Instance, LoadSettings, Registry, Slot
from agentui.simulator.reply import Piece
from agentui.simulator.timing import Pace, TokenClock
from agentui.simulator.truth import RequestRecord, Truth

FinishReason = Literal["stop", "length", "tool_calls"]

_PREFILL_CHUNK_TOKENS = 512
_WATCH_S = 0.02
# A larger context than asked for, as MLX's auto-fit gave a 64 GB machine that asked for 32,768.
_UNASKED_CONTEXT = 208_896


class Disconnected(Exception):
    """The client closed its connection before the answer was complete."""


class EngineCrashed(Exception):
    """The engine ended a running generation with an error."""


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """How much of a prompt has been read; `processed` includes the `cached` tokens."""

    total: int
    cached: int
    processed: int
    elapsed_s: float

    @property
    def ratio(self) -> float:
        """Share of the uncached part that has been read, 0..1."""
        todo = self.total - self.cached
        return (self.processed - self.cached) / todo if todo else 1.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a generation."""

    reason: FinishReason


GenerationEvent = PromptProgress | Piece | Finished


@dataclass(frozen=True, slots=True)
class Job:
    """One generation to carry out. `is_gone` tells whether the client has left."""

    instance: Instance
    prompt: Sequence[str]
    pieces: Iterable[Piece]
    cap: int | None
    record: RequestRecord
    is_gone: Callable[[], bool]


class Engine:
    """Loads models and generates on them; the only writer of statuses and caches."""

    def __init__(self, config: SimulatorConfig, registry: Registry, truth: Truth, plan: FaultPlan) -> None:
        self.config = config
        self.registry = registry
        self.truth = truth
        self.plan = plan
        self.pace = Pace(config)
        self._jit = asyncio.Lock()

    # -- loading ---------------------------------------------------------------------------------

    async def load(
        self,
        model: CatalogModel,
        asked: LoadSettings | None,
        on_progress: Callable[[float], object] | None = None,
    ) -> Instance:
        """Load another instance; takes the configured time, with progress in tenths.

        Raises:
            Refusal: If a fault is switched on that lets loads fail.
        """
        for step in range(1, 11):
            if step == 4:
                self._refuse_load(model)
            await self.pace.wait(self.config.load_s / 10)
            if on_progress is not None:
                on_progress(step / 10)
        settings = asked or LoadSettings(
            min(self.config.context_length, model.max_context_length),
            self.config.parallel,
            num_experts=model.num_experts,
        )
        context = min(self.fitted_context(model, settings.context_length), model.max_context_length)
        fitted = LoadSettings(
            context,
            settings.parallel,
            settings.eval_batch_size,
            settings.flash_attention,
            settings.offload_kv_cache_to_gpu,
            settings.num_experts,
        )
        self.truth.loads += 1
        return self.registry.add(model, context, fitted)

    def _refuse_load(self, model: CatalogModel) -> None:
        if self.plan.is_on(Fault.LOW_MEMORY):
            raise answers.Refusal(
                400, answers.native_error("invalid_request", answers.low_memory_message(), code="low_memory")
            )
        if self.plan.is_on(Fault.LOAD_FAILED):
            message = f"Failed to load model {model.key}."
            raise answers.Refusal(
                500, answers.native_error("model_load_failed", message, code="model_load_failed")
            )

    def fitted_context(self, model: CatalogModel, asked: int) -> int:
        """Return the context a load really gets."""
        if self.plan.is_on(Fault.WRONG_CONTEXT):
            return max(_UNASKED_CONTEXT, asked)
        if model.format == "mlx" and self.config.mlx_fitted_context is not None:
            return self.config.mlx_fitted_context
        return asked

    async def resolve(self, name: str, ttl_s: float | None, record: RequestRecord) -> Instance:
        """Return the instance that answers a request, loading it just in time if that is allowed.

        Raises:
            Refusal: If there is no such model, nothing may be loaded, or the load failed.
        """
        started_s = self.pace.now_s()
        self.registry.drop_expired(started_s)
        instance = self._loaded_instance(name)
        if instance is None:
            # Requests that come during a load wait for it instead of starting another one.
            async with self._jit:
                instance = self._loaded_instance(name) or await self._load_just_in_time(name, ttl_s)
        elif instance.is_jit and ttl_s is not None:
            instance.ttl_s = ttl_s
        record.instance_id = instance.id
        record.load_s = self.pace.now_s() - started_s
        instance.last_used_s = self.pace.now_s()
        return instance

    def _loaded_instance(self, name: str) -> Instance | None:
        if name:
            return self.registry.find(name)
        return next(
            (item for item in self.registry.instances.values() if not item.model.is_embedding),
            None,
        )

    async def _load_just_in_time(self, name: str, ttl_s: float | None) -> Instance:
        model = self.registry.model(name)
        if not self.config.jit and (model is not None or not self.registry.instances):
            raise answers.no_models_loaded()
        if model is None:
            raise answers.unknown_model(name, [item.key for item in self.registry.models])
        for other in list(self.registry.instances.values()):
            if other.is_jit and other.queued == 0:
                self.registry.remove(other.id)
        try:
            instance = await self.load(model, None)
        except answers.Refusal as refusal:
            raise answers.jit_load_failed(name) from refusal
        instance.is_jit = True
        instance.ttl_s = 3600.0 if ttl_s is None else ttl_s
        return instance

    # -- generating ------------------------------------------------------------------------------

    async def generate(self, job: Job) -> AsyncGenerator[GenerationEvent, None]:
        """Carry out a generation: progress while the prompt is read, pieces, and the end.

        Close it with `aclosing`; what it holds is given back then.

        Raises:
            Disconnected: If the client left; during the prompt only after it has been read, unless
                `finish_prefill` is off.
            EngineCrashed: If the engine gave up while this was running.
        """
        instance, record = job.instance, job.record
        instance.enter_queue()
        started_s = self.pace.now_s()
        try:
            await self._wait_for_place(job)
            try:
                record.queued_s = self.pace.now_s() - started_s
                async with aclosing(self._with_slot(job)) as events:
                    async for event in events:
                        yield event
            finally:
                instance.places.release()
        finally:
            instance.leave_queue()
            instance.last_used_s = self.pace.now_s()

    async def _wait_for_place(self, job: Job) -> None:
        if not job.instance.places.locked():
            await job.instance.places.acquire()
            return
        waiting = asyncio.ensure_future(job.instance.places.acquire())
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=_WATCH_S)
                if job.is_gone():
                    self._note_gone(job.record, "queued")
            await waiting
        except BaseException:
            if waiting.done() and not waiting.cancelled():
                job.instance.places.release()
            waiting.cancel()
            raise

    async def _with_slot(self, job: Job) -> AsyncGenerator[GenerationEvent, None]:
        slot, cached = job.instance.take_slot(job.prompt)
        job.record.prompt_tokens, job.record.cached_tokens = len(job.prompt), cached
        try:
            job.instance.change(reading=1)
            is_reading = True
            try:
                async with aclosing(self._read_prompt(job, slot, cached)) as steps:
                    async for progress in steps:
                        yield progress
                job.instance.change(reading=-1, writing=1)
                is_reading = False
                async with aclosing(self._write(job, slot)) as events:
                    async for event in events:
                        yield event
            finally:
                if is_reading:
                    job.instance.change(reading=-1)
                else:
                    job.instance.change(writing=-1)
        finally:
            slot.is_busy = False

    async def _read_prompt(self, job: Job, slot: Slot, cached: int) -> AsyncGenerator[PromptProgress, None]:
        total, started_s = len(job.prompt), self.pace.now_s()
        job.record.planned_prefill_s = self.pace.prefill_s(total - cached)
        slot.tokens[:] = job.prompt[:cached]
        gone = False
        chunks = max(1, ceil((total - cached) / _PREFILL_CHUNK_TOKENS))
        for number in range(1, chunks + 1):
            read = round((total - cached) * number / chunks)
            due_s = started_s + self.pace.scaled_s(self.pace.prefill_s(read))
            while (left_s := due_s - self.pace.now_s()) > 0 and not (gone and not self.config.finish_prefill):
                await asyncio.sleep(min(left_s, _WATCH_S))
                gone = gone or job.is_gone()
            await asyncio.sleep(0)
            gone = gone or job.is_gone()
            if gone and not self.config.finish_prefill:
                break
            slot.tokens[:] = job.prompt[: cached + read]
            elapsed_s = self.pace.now_s() - started_s
            yield PromptProgress(total, cached, cached + read, elapsed_s)
        job.record.prefill_s = self.pace.now_s() - started_s
        if gone:
            self._note_gone(job.record, "prompt")

    async def _write(self, job: Job, slot: Slot) -> AsyncGenerator[GenerationEvent, None]:
        instance, record = job.instance, job.record
        clock = TokenClock(self.pace, self.config, f"{self.config.seed}/{record.number}")
        context_length = instance.settings.context_length
        has_calls, crashes = False, instance.crashes
        for piece in job.pieces:
            if job.cap is not None and record.completion_tokens + len(piece.tokens) > job.cap:
                yield Finished("length")
                return
            if len(slot.tokens) + len(piece.tokens) > context_length:
                yield Finished("length")
                return
            mean_s = self.pace.token_s(len(slot.tokens), context_length) * len(piece.tokens)
            await clock.tick(mean_s / self.config.pace_by_model.get(instance.model.key, 1.0))
            if job.is_gone():
                self._note_gone(record, "answer")
            if instance.crashes != crashes:
                raise EngineCrashed(instance.crash_text)
            slot.tokens.extend(piece.tokens)
            self._count(record, piece)
            has_calls = has_calls or piece.kind == "call"
            yield piece
        yield Finished("tool_calls" if has_calls else "stop")

    def _count(self, record: RequestRecord, piece: Piece) -> None:
        now_s = self.pace.now_s()
        if record.first_token_at_s is None:
            record.first_token_at_s = now_s
        record.last_token_at_s = now_s
        record.completion_tokens += len(piece.tokens)
        if piece.kind == "reasoning":
            record.reasoning_tokens += len(piece.tokens)

    def _note_gone(self, record: RequestRecord, during: str) -> None:
        if not record.disconnected:
            record.disconnected, record.disconnected_during = True, during
        raise Disconnected
