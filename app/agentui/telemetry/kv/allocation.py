"""Results of the model: cells and bytes, by kind of layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cells:
    """Token places per stream. `sliding` and `full` are 0 where the model has no such layers."""

    full: int
    sliding: int
    streams: int


@dataclass(frozen=True, slots=True)
class CacheBytes:
    """Bytes of a cache over all layers, streams and sequences."""

    full_k: int = 0
    full_v: int = 0
    sliding_k: int = 0
    sliding_v: int = 0
    recurrent_conv: int = 0
    recurrent_state: int = 0

    @property
    def full(self) -> int:
        """K and V of the layers that keep every token."""
        return self.full_k + self.full_v

    @property
    def sliding(self) -> int:
        """K and V of the layers with a window."""
        return self.sliding_k + self.sliding_v

    @property
    def recurrent(self) -> int:
        """Recurrent state, constant in the number of tokens."""
        return self.recurrent_conv + self.recurrent_state

    @property
    def total(self) -> int:
        """Everything."""
        return self.full + self.sliding + self.recurrent
