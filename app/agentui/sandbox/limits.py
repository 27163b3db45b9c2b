"""What a sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Upper bounds for everything the agent runs at one time.

    `memory_bytes` includes the files in the temporary folder; there is no swap on top. `tmp_bytes` is the size
    of that folder. `open_files` counts per process.
    """

    memory_bytes: int = 2048 * MIB
    cpus: float = 2.0
    pids: int = 256
    tmp_bytes: int = 256 * MIB
    open_files: int = 1024
