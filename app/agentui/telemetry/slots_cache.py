"""The cache of a server whose sequences are all known, whoever uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentui.events import Source
from agentui.telemetry.cache import CacheBytesNow, LlamaCppCacheModel


@dataclass(frozen=True, slots=True)
class SlotsCacheModel:
    """A llama.cpp cache filled by the sequences that `used_tokens` tells; by one where it tells none."""

    cache: LlamaCppCacheModel
    used_tokens: Callable[[], Sequence[int]]

    @property
    def basis(self) -> str:
        """What the figures rest on, in words for the user."""
        return self.cache.basis

    @property
    def cache_type(self) -> str:
        """What the values are stored as."""
        return self.cache.cache_type

    @property
    def source(self) -> Source:
        """How sure they are."""
        return self.cache.source

    def at(self, tokens: int) -> CacheBytesNow:
        """Bytes now; `tokens` is what counts where no sequence is known."""
        from agentui.telemetry.kv import llama_cpp

        sequences = list(self.used_tokens()) or [tokens]
        now = self.cache.at(max(sequences))
        shape, settings = self.cache.shape, self.cache.settings
        return CacheBytesNow(
            filled_bytes=llama_cpp.filled_bytes(shape, settings, sequences),
            allocated_bytes=now.allocated_bytes,
            checkpoint_bytes=llama_cpp.checkpoints_upper_bytes(shape, settings, sequences),
        )

    @property
    def compute_bytes(self) -> int | None:
        """The engine's compute buffer, an estimate."""
        return self.cache.compute_bytes

    def prefill_bytes(self, new_tokens: int) -> int:
        """Nothing: the buffers are there since the load."""
        return self.cache.prefill_bytes(new_tokens)
