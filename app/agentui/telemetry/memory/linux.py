"""Memory on Linux: /proc, the control groups we are in (versions 1 and 2), and amdgpu's files in /sys.

Everything is one short read of a file that the kernel makes on the spot: the whole reading takes well under a
millisecond. NVIDIA cards are not read (their figures need a library of their own) and stay unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentui.telemetry.memory.reader import MachineMemory, Pressure, ProcessMemory

_KIB = 1024
_AVG10 = re.compile(r"^(some|full) avg10=([0-9.]+)", re.MULTILINE)

STALL_WARN_PERCENT = 5.0
"""Some task waited for memory in this share of the last ten seconds. Ordinary work stays below 1."""
STALL_CRITICAL_PERCENT = 5.0
"""All tasks at once waited for memory in this share of the last ten seconds: the machine thrashes."""
LOW_AVAILABLE_RATIO = 0.03
"""Below this share of available memory the pressure is called a warning, whatever the stall figures say."""


def read_kib_table(text: str) -> dict[str, int]:
    """Bytes by name of a file made of lines like ``MemTotal:  123 kB``; lines without a number are skipped."""
    table: dict[str, int] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        words = value.split()
        if colon and len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            table[name] = int(words[0]) * _KIB
    return table


def pressure_from_psi(text: str, available_ratio: float | None = None) -> Pressure:
    """The word for what ``/proc/pressure/memory`` says; `available_ratio` 0..1 is a second opinion."""
    stalls = {kind: float(value) for kind, value in _AVG10.findall(text)}
    if stalls.get("full", 0.0) >= STALL_CRITICAL_PERCENT:
        return "critical"
    is_low = available_ratio is not None and available_ratio < LOW_AVAILABLE_RATIO
    return "warn" if is_low or stalls.get("some", 0.0) >= STALL_WARN_PERCENT else "ok"


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """The least that control groups allow, and the least they leave, without cache that can go at once."""

    limit_bytes: int
    left_bytes: int


@dataclass(frozen=True, slots=True)
class _GroupFiles:
    """Names of one version's files, and of the line for cache that can go at once, children's included."""

    limit: str
    used: str
    inactive: str


_VERSION_1 = _GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _GroupFiles("memory.max", "memory.current", "inactive_file")


class LinuxMemoryReader:
    """Reads memory on Linux. The roots can be moved, so that recorded trees can be read."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc = proc
        self._sys = sys

    def machine(self) -> MachineMemory:
        """The machine, or the control group if that is smaller.

        Raises:
            OSError: If /proc/meminfo cannot be read or lacks MemTotal.
        """
        table = read_kib_table(_text(self._proc / "meminfo"))
        total, available = table.get("MemTotal"), table.get("MemAvailable")
        if total is None:
            raise OSError(f"{self._proc / 'meminfo'} has no MemTotal")
        group = self._group(total)
        if group is not None:
            total = group.limit_bytes
            available = group.left_bytes if available is None else min(available, group.left_bytes)
        return MachineMemory(
            total_bytes=total,
            used_bytes=None if available is None else total - available,
            available_bytes=available,
            swap_used_bytes=_difference(table.get("SwapTotal"), table.get("SwapFree")),
            pressure=self._pressure(total, available),
            gpu_limit_bytes=self._gpu_limit(),
            gpu_limit_source="measured",
            gpu_busy_percent=self._gpu_busy(),
            gpu_used_bytes=self._gpu_used(),
        )

    def process(self, pid: int) -> ProcessMemory | None:
        """Resident memory of a process: anonymous, shared and mapped pages, by /proc/PID/status."""
        try:
            table = read_kib_table(_text(self._proc / str(pid) / "status"))
        except OSError:
            return None
        if "VmRSS" not in table:  # a kernel thread, or a process that has ended but was not waited for
            return None
        return ProcessMemory(held_bytes=table["VmRSS"], mapped_bytes=table.get("RssFile"))

    def _pressure(self, total: int, available: int | None) -> Pressure | None:
        try:
            text = (self._proc / "pressure" / "memory").read_text()
        except OSError:  # a kernel without CONFIG_PSI, or one that switched it off
            return None
        return pressure_from_psi(text, None if available is None else available / total)

    def _group(self, machine_total: int) -> GroupMemory | None:
        """What the groups above us leave that allow less than the machine has; ``None`` if none does."""
        found: GroupMemory | None = None
        for folder, files in self._group_folders():
            limit, used = _read_int(folder / files.limit), _read_int(folder / files.used)
            if limit is None or used is None or limit >= machine_total:
                continue
            left = max(0, limit - max(0, used - _inactive_file(folder / "memory.stat", files.inactive)))
            if found is not None:
                limit, left = min(limit, found.limit_bytes), min(left, found.left_bytes)
            found = GroupMemory(limit, left)
        return found

    def _group_folders(self) -> Iterator[tuple[Path, _GroupFiles]]:
        """Our groups and those above. In a container the path may be the host's; the root is all it has."""
        try:
            lines = _text(self._proc / "self" / "cgroup").splitlines()
        except OSError:
            return
        root = self._sys / "fs" / "cgroup"
        for line in lines:
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if "memory" in controllers.split(","):
                yield from ((folder, _VERSION_1) for folder in _upwards(root / controllers, path))
            elif number == "0" and not controllers:
                yield from ((folder, _VERSION_2) for folder in _upwards(root, path))

    def _gpu_devices(self) -> Iterator[Path]:
        yield from sorted((self._sys / "class" / "drm").glob("card[0-9]*/device"))

    def _gpu_limit(self) -> int | None:
        """Video memory of an AMD card; with shared memory (an APU) also what it may borrow of the machine's."""
        for device in self._gpu_devices():
            vram = _read_int(device / "mem_info_vram_total")
            if vram:
                return vram + (_read_int(device / "mem_info_gtt_total") or 0)
        return None

    def _gpu_used(self) -> int | None:
        for device in self._gpu_devices():
            vram = _read_int(device / "mem_info_vram_used")
            if vram is not None:
                return vram + (_read_int(device / "mem_info_gtt_used") or 0)
        return None

    def _gpu_busy(self) -> float | None:
        for device in self._gpu_devices():
            busy = _read_int(device / "gpu_busy_percent")
            if busy is not None:
                return float(busy)
        return None


def _text(path: Path) -> str:
    """A file of the kernel's; names of processes and groups in it may be bytes of any kind."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """A group's folder below `root`, then those above it, the root last."""
    folder = root / path.strip("/")
    while folder != root:
        yield folder
        folder = folder.parent
    yield root


def _read_int(path: Path) -> int | None:
    """A file's whole content as a number; ``None`` for a missing file, ``max`` and anything else."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _inactive_file(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else whole - part
