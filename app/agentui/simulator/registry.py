"""What is loaded, what state it is in, and which tokens its cache holds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agentui.simulator.catalog import CATALOG, CatalogModel
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.tokens import common_prefix

Status = Literal["idle", "processingPrompt", "generating"]

# As in llama-server: the slot whose tokens are similar enough, else the least recently used one. The share is
# taken of the shorter side, so that one long command output does not make a conversation a stranger.
_SLOT_SIMILARITY_RATIO = 0.1


@dataclass(slots=True)
class Slot:
    """One sequence of an instance and the tokens in its part of the cache."""

    tokens: list[str] = field(default_factory=list)
    is_busy: bool = False
    used_at: int = 0


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How an instance was loaded."""

    context_length: int
    parallel: int
    eval_batch_size: int = 512
    flash_attention: bool = True
    offload_kv_cache_to_gpu: bool = True
    num_experts: int | None = None


class Instance:
    """One model in memory."""

    def __init__(self, identifier: str, model: CatalogModel, settings: LoadSettings, reference: str) -> None:
        self.id = identifier
        self.model = model
        self.settings = settings
        self.reference = reference
        self.ttl_s: float | None = None
        self.is_jit = False
        self.last_used_s: float | None = None
        self.slots = [Slot() for _ in range(settings.parallel)]
        self.places = asyncio.Semaphore(settings.parallel)
        self.transitions: list[Status] = ["idle"]
        self.crashes = 0
        self.crash_text = ""
        self._reading = 0
        self._writing = 0
        self._queued = 0
        self._clock = 0

    @property
    def status(self) -> Status:
        """What the instance does now."""
        return self.transitions[-1]

    @property
    def queued(self) -> int:
        """Requests that wait or run."""
        return self._queued

    @property
    def kv_tokens(self) -> int:
        """Tokens in the cache over all slots, prompt and generated."""
        return sum(len(slot.tokens) for slot in self.slots)

    @property
    def kv_bytes(self) -> int:
        """Bytes of those tokens; 0 for a model without a known layout."""
        growth = self.model.kv
        return sum(growth.bytes_of(len(slot.tokens)) for slot in self.slots) if growth else 0

    def crash(self, reason: str) -> None:
        """End every running generation with an error and empty the cache."""
        self.crashes += 1
        self.crash_text = reason
        for slot in self.slots:
            slot.tokens.clear()

    def enter_queue(self) -> None:
        """Count a request in."""
        self._queued += 1

    def leave_queue(self) -> None:
        """Count a request out."""
        self._queued -= 1

    def change(self, *, reading: int = 0, writing: int = 0) -> None:
        """Count requests into and out of the two kinds of work and note a change of the status."""
        self._reading += reading
        self._writing += writing
        status: Status = "idle"
        if self._writing:
            status = "generating"
        elif self._reading:
            status = "processingPrompt"
        if status != self.status:
            self.transitions.append(status)

    def take_slot(self, prompt: Sequence[str]) -> tuple[Slot, int]:
        """Choose a free slot for a prompt; returns it with the number of tokens it can reuse.

        Raises:
            RuntimeError: If no slot is free; whoever holds one of `places` always finds one.
        """
        free = [slot for slot in self.slots if not slot.is_busy]
        if not free:
            raise RuntimeError("a request was let in without a free slot")
        shared = {id(slot): common_prefix(slot.tokens, prompt) for slot in free}
        best = max(free, key=lambda slot: shared[id(slot)])
        if shared[id(best)] < _SLOT_SIMILARITY_RATIO * min(len(prompt), max(len(best.tokens), 1)):
            best = min(free, key=lambda slot: slot.used_at)
        self._clock += 1
        best.is_busy, best.used_at = True, self._clock
        # At least one token is always read again: the first new one needs its logits.
        reused = min(shared[id(best)], max(len(prompt) - 1, 0))
        self._evict(best, len(prompt) - reused)
        return best, reused

    def _evict(self, keep: Slot, needed: int) -> None:
        # All slots share one pool of context_length cells (unified KV); idle ones give way, oldest first.
        for slot in sorted(self.slots, key=lambda slot: slot.used_at):
            if self.kv_tokens + needed <= self.settings.context_length:
                return
            if slot is not keep and not slot.is_busy:
                slot.tokens.clear()


class Registry:
    """The models of one server and the instances that are loaded."""

    def __init__(self, config: SimulatorConfig, models: Sequence[CatalogModel] = CATALOG) -> None:
        self.config = config
        self.models = tuple(models)
        self.instances: dict[str, Instance] = {}
        self._loads = 0
        self.reset()

    def reset(self) -> None:
        """Go back to what is loaded at the start, with empty caches, as after a restart."""
        self.instances.clear()
        for key in self.config.loaded:
            model = self.model(key)
            if model is not None:
                self.add(model, self.config.context_length)
        if self.config.second_instance and self.config.loaded:
            model = self.model(self.config.loaded[0])
            if model is not None:
                self.add(model, self.config.context_length)

    def model(self, key: str) -> CatalogModel | None:
        """Return the downloaded model of that key or variant."""
        for model in self.models:
            if key == model.key or key in model.variants:
                return model
        return None

    def loaded(self, model: CatalogModel) -> list[Instance]:
        """Return the instances of a model, first one first."""
        return [instance for instance in self.instances.values() if instance.model is model]

    def find(self, name: str) -> Instance | None:
        """Return the instance a request's `model` means: an instance id, or the first of a model key."""
        if name in self.instances:
            return self.instances[name]
        model = self.model(name)
        instances = self.loaded(model) if model else []
        return instances[0] if instances else None

    def by_reference(self, reference: str) -> Instance | None:
        """Return the instance of that internal reference."""
        found = (instance for instance in self.instances.values() if instance.reference == reference)
        return next(found, None)

    def add(self, model: CatalogModel, context_length: int, settings: LoadSettings | None = None) -> Instance:
        """Put another instance into memory; a second one of the same model is named `:2`."""
        number = 1
        identifier = model.key
        while identifier in self.instances:
            number += 1
            identifier = f"{model.key}:{number}"
        self._loads += 1
        reference = hashlib.sha256(f"{identifier}/{self._loads}".encode()).hexdigest()[:24]
        chosen = settings or LoadSettings(
            min(context_length, model.max_context_length), self.config.parallel, num_experts=model.num_experts
        )
        instance = Instance(identifier, model, chosen, reference)
        self.instances[identifier] = instance
        return instance

    def remove(self, identifier: str) -> bool:
        """Unload an instance, which ends what runs on it; returns whether there was one."""
        instance = self.instances.pop(identifier, None)
        if instance is not None:
            instance.crash("The model was unloaded.")
        return instance is not None

    def drop_expired(self, now_s: float) -> None:
        """Unload idle instances whose time to live has passed."""
        for instance in list(self.instances.values()):
            idle = instance.queued == 0 and instance.last_used_s is not None
            if idle and instance.ttl_s is not None and now_s - (instance.last_used_s or 0) > instance.ttl_s:
                del self.instances[instance.id]
