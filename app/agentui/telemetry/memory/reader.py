"""What a reading of memory is, and the protocol behind which each operating system's way lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agentui.events import Source

Pressure = Literal["ok", "warn", "critical"]


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """Memory of the machine, or of the part of it that a control group leaves us. Bytes; ``None`` unknown.

    `available_bytes` is what could be had without swapping, `used_bytes` the rest. The GPU's limit is how much
    of unified memory one process may make resident on it; `gpu_used_bytes` is what all of them have there now.
    `compressed_bytes` is what the compressor's own pages take (macOS).
    """

    total_bytes: int | None = None
    used_bytes: int | None = None
    available_bytes: int | None = None
    swap_used_bytes: int | None = None
    pressure: Pressure | None = None
    gpu_limit_bytes: int | None = None
    gpu_limit_source: Source = "estimated"
    gpu_busy_percent: float | None = None
    gpu_used_bytes: int | None = None
    compressed_bytes: int | None = None

    def counting_mapped(self, mapped_bytes: int) -> MachineMemory:
        """The same reading with an engine's mapped weights counted as used.

        Linux calls mapped file pages available, but evicting a model's weights stalls the model.
        """
        if self.total_bytes is None or self.available_bytes is None or mapped_bytes <= 0:
            return self
        available = max(0, self.available_bytes - mapped_bytes)
        return replace(self, available_bytes=available, used_bytes=self.total_bytes - available)


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Memory of one process in bytes.

    `held_bytes` is all that it keeps in memory, `mapped_bytes` the part of it that only mirrors files (mapped
    weights), ``None`` where the system does not tell the two apart.
    """

    held_bytes: int
    mapped_bytes: int | None = None


class MemoryReader(Protocol):
    """One operating system's way to read memory. Both methods block for up to some tens of milliseconds."""

    def machine(self) -> MachineMemory:
        """The machine as it is now.

        Raises:
            OSError: If the system refused or answered in an unknown form.
        """
        ...

    def process(self, pid: int) -> ProcessMemory | None:
        """One process as it is now; ``None`` if it is gone or belongs to somebody else."""
        ...
