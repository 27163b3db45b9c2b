"""llama-server as a source: its slots, counters and properties. Whatever is switched off is left out."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentui.backends.base import Backend, ProcessingStatus, ServerFacts
from agentui.backends.failures import refusal
from agentui.backends.fields import as_count, as_list, as_object, as_size, as_text
from agentui.backends.native_http import NativeHttp
from agentui.backends.source import ModelFiles, ServerReading, ServerTotals, SlotReading
from agentui.events import ModelFacts

_log = logging.getLogger(__name__)

_READ_S = 5.0
_PREFIX = "llamacpp:"


class LlamaServerSource:
    """A llama-server. `/slots` and `/metrics` are asked until the server says that they are switched off.

    Args:
        backend: The same server; closed with this.
        api_key: Sent to it where given.
    """

    def __init__(self, backend: Backend, api_key: str | None) -> None:
        self._backend = backend
        self._http = NativeHttp(backend.facts.base_url, api_key)
        self._has = {"/slots": True, "/metrics": True}
        self._lengths = PromptLengths()

    @property
    def facts(self) -> ServerFacts:
        """What answers at the address."""
        return self._backend.facts

    async def describe(self, model: str | None) -> ModelFacts:
        """See `ServerSource.describe`."""
        return await self._backend.describe(model)

    async def files(self) -> ModelFiles:
        """See `ServerSource.files`: the path that the server was started with."""
        props = (await self._http.get("/props", timeout_s=_READ_S)).fields
        return ModelFiles(as_text(props.get("model_path")))

    async def read(self) -> ServerReading:
        """See `ServerSource.read`."""
        slots = self._lengths.told(parse_slot_readings(await self._ask("/slots")))
        metrics = parse_metrics(str(await self._ask("/metrics") or ""))
        if not slots and not metrics and not any(self._has.values()):
            # Neither is to be had: whether the server lives is all that can be seen.
            health = await self._http.get("/health", timeout_s=_READ_S)
            if health.status == 503:
                raise refusal(503, health.body or health.text, self.facts.base_url)
        return reading_of(slots, metrics)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._backend.aclose()

    async def _ask(self, path: str) -> object:
        if not self._has[path]:
            return None
        reply = await self._http.get(path, timeout_s=_READ_S)
        if reply.status in (200, 503):  # 503: it still loads its model, or all slots are busy
            return (reply.body if path == "/slots" else reply.text) if reply.status == 200 else None
        self._has[path] = False
        _log.info("%s%s answers %s and is not asked again", self.facts.base_url, path, reply.status)
        return None


class PromptLengths:
    """Finds out what a build counts as ``n_prompt_tokens`` while a prompt is read, and tells lengths by it.

    Some builds count the whole prompt, others what is in the cache with the batch that is being read: then the
    length is not told. A figure that stays while more was read, and more is to come, is the whole prompt's; one
    that grew is not.
    """

    def __init__(self) -> None:
        self._is_whole: bool | None = None
        self._before: dict[int, SlotReading] = {}

    def told(self, slots: tuple[SlotReading, ...]) -> tuple[SlotReading, ...]:
        """The same slots; those that read a prompt with what is read so far, and with its length if known."""
        for slot in slots:
            self._learn(self._before.get(slot.slot), slot)
        self._before = {slot.slot: slot for slot in slots}
        return tuple(self._with_length(slot) for slot in slots)

    def _learn(self, before: SlotReading | None, now: SlotReading) -> None:
        if before is None or before.task != now.task or not (_is_reading(before) and _is_reading(now)):
            return
        if now.used_tokens != before.used_tokens:
            self._is_whole = False
        elif (now.read_tokens or 0) > (before.read_tokens or 0) and (now.used_tokens or 0) > _done(now):
            self._is_whole = True

    def _with_length(self, slot: SlotReading) -> SlotReading:
        if not _is_reading(slot) or slot.used_tokens is None:
            return slot
        done = _done(slot)
        prompt = slot.used_tokens if self._is_whole and slot.used_tokens >= done else None
        return replace(slot, used_tokens=done, prompt_tokens=prompt)


def _is_reading(slot: SlotReading) -> bool:
    """Whether a slot reads its prompt, and tells how far it is."""
    return slot.is_busy and not slot.answer_tokens and None not in (slot.cached_tokens, slot.read_tokens)


def _done(slot: SlotReading) -> int:
    return (slot.cached_tokens or 0) + (slot.read_tokens or 0)


def reading_of(slots: tuple[SlotReading, ...], metrics: Mapping[str, float]) -> ServerReading:
    """What the two routes say together; either may be empty."""
    busy = [slot for slot in slots if slot.is_busy]
    running = metrics.get("requests_processing")
    deferred = metrics.get("requests_deferred")
    status: ProcessingStatus | None = None
    if busy:
        status = "generating" if any(slot.answer_tokens for slot in busy) else "prefill"
    elif slots or running == 0:
        status = "idle"
    elif running:
        status = "other"
    queued = len(busy) if slots else None if running is None else int(running)
    if queued is not None and deferred:
        queued += int(deferred)
    return ServerReading(status, queued, slots, _totals(metrics))


def parse_slot_readings(body: object) -> tuple[SlotReading, ...]:
    """Read ``/slots``.

    ``n_prompt_tokens`` counts what the slot's cache holds, prompt and answer; older builds do not have it. The
    last token of an answer is not in the cache yet.
    """
    return tuple(_slot(as_object(entry), number) for number, entry in enumerate(as_list(body)))


def _slot(entry: Mapping[str, Any], number: int) -> SlotReading:
    is_busy = entry.get("is_processing") is True or (as_count(entry.get("state")) or 0) > 0
    told = entry.get("next_token")
    answer = as_count(as_object(as_list(told)[0] if as_list(told) else told).get("n_decoded")) or 0
    held = as_count(entry.get("n_prompt_tokens"))
    cached = as_count(entry.get("n_prompt_tokens_cache"))
    read = as_count(entry.get("n_prompt_tokens_processed"))
    slot = as_count(entry.get("id"))
    is_answering = is_busy and answer > 0
    prompt: int | None = None
    if is_answering and cached is not None and read is not None:
        prompt = cached + read
    return SlotReading(
        slot=number if slot is None else slot,
        is_busy=is_busy,
        context_tokens=as_size(entry.get("n_ctx")),
        task=as_count(entry.get("id_task")),
        used_tokens=held,
        prompt_tokens=prompt,
        cached_tokens=cached if is_busy else None,
        read_tokens=read if is_busy else None,
        answer_tokens=answer if is_busy else 0,
    )


def parse_metrics(text: str) -> dict[str, float]:
    """Read ``/metrics``: values by name, without the prefix; lines that are none are skipped."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.strip().rpartition(" ")
        if not name.startswith(_PREFIX):
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            found[name.removeprefix(_PREFIX).partition("{")[0]] = number
    return found


def _totals(metrics: Mapping[str, float]) -> ServerTotals | None:
    if not metrics:
        return None

    def count(name: str) -> int | None:
        return as_count(metrics.get(name))

    return ServerTotals(
        prompt_tokens=count("prompt_tokens_total"),
        prompt_s=metrics.get("prompt_seconds_total"),
        cached_tokens=count("prompt_tokens_cached_total"),
        answer_tokens=count("tokens_predicted_total"),
        answer_s=metrics.get("tokens_predicted_seconds_total"),
        most_used_tokens=count("n_tokens_max"),
    )
