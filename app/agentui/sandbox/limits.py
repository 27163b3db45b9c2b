"""What a sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Upper bounds for everything the agent runs at one time.

    `memory_bytes` includes the files in the temporary folder; there is no swap on top. `tmp_bytes` is the size
    of that folder, in a container at most half of the memory. `open_files` counts per process. There is no
    quota for the copy: a command is ended when the disk it lies on has less than `free_disk_bytes` left.
    """

    memory_bytes: int = 2048 * MIB
    cpus: float = 2.0
    pids: int = 256
    tmp_bytes: int = 256 * MIB
    open_files: int = 1024
    free_disk_bytes: int = 1024 * MIB
