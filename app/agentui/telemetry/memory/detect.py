"""Chooses the memory reader for the system we run on."""

from __future__ import annotations

import platform

from agentui.telemetry.memory.reader import MachineMemory, MemoryReader, ProcessMemory


class UnknownMemoryReader:
    """For systems nobody has written a reader for: total and available memory by psutil, nothing else."""

    def machine(self) -> MachineMemory:
        """What psutil knows on every system."""
        import psutil

        memory = psutil.virtual_memory()
        return MachineMemory(
            total_bytes=memory.total,
            used_bytes=memory.total - memory.available,
            available_bytes=memory.available,
            swap_used_bytes=psutil.swap_memory().used,
        )

    def process(self, pid: int) -> ProcessMemory | None:
        """Resident memory, mapped files included."""
        import psutil

        try:
            return ProcessMemory(held_bytes=psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return None


def memory_reader() -> MemoryReader:
    """The reader for this machine."""
    match platform.system():
        case "Linux":
            from agentui.telemetry.memory.linux import LinuxMemoryReader

            return LinuxMemoryReader()
        case "Darwin":
            from agentui.telemetry.memory.macos import MacMemoryReader

            return MacMemoryReader()
        case _:
            return UnknownMemoryReader()
