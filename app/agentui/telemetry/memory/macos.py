"""Memory on macOS (Apple silicon), unprivileged: sysctl, `vm_stat`, `ioreg` and libproc.

Not verified on a Mac: written from Apple's headers and documented output, tested on outputs built from those.
One reading runs two small commands and takes some tens of milliseconds.

Used memory is counted as Activity Monitor does: anonymous pages less purgeable ones, wired pages, and pages
held by the compressor. psutil's own figures leave the compressor out and count weights that are mapped from
their file as used or as available, depending on the queue they happen to be in.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import plistlib
import re
import struct
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from agentui.events import Source
from agentui.frozen import frozen
from agentui.telemetry.memory.reader import MachineMemory, Pressure, ProcessMemory

_MIB = 1024**2
_GIB = 1024**3
_COMMAND_TIMEOUT_S = 5.0
_GPU_EVERY = 2
_PAGE_SIZE = re.compile(r"page size of (\d+) bytes")
_PAGES = re.compile(r'^"?([^":]+)"?:\s+(\d+)\.?$', re.MULTILINE)
_PRESSURE: Mapping[int, Pressure] = {1: "ok", 2: "warn", 4: "critical"}
"""Values of kern.memorystatus_vm_pressure_level."""
_RUSAGE_BYTES = 512
"""More than any version of struct rusage_info takes; version 0 fills the first 96 bytes."""
_FOOTPRINT_OFFSET = 72
"""Of ri_phys_footprint in struct rusage_info_v0 (sys/resource.h)."""
_SWAP_LAYOUT = struct.Struct("=QQQ")
"""Start of struct xsw_usage (sys/sysctl.h): total, available, used."""

RunText = Callable[[tuple[str, ...]], bytes]


def parse_vm_stat(text: str) -> dict[str, int]:
    """Bytes by name of `vm_stat`'s page counts, e.g. ``Pages wired down``.

    Raises:
        OSError: If the text does not name the page size.
    """
    size = _PAGE_SIZE.search(text)
    if size is None:
        raise OSError("vm_stat does not name its page size")
    page = int(size.group(1))
    return {name.strip(): int(count) * page for name, count in _PAGES.findall(text)}


def used_bytes(pages: Mapping[str, int]) -> int:
    """Memory in use as Activity Monitor counts it, from `parse_vm_stat`.

    Raises:
        OSError: If one of the counts is missing.
    """
    try:
        app = pages["Anonymous pages"] - pages.get("Pages purgeable", 0)
        return max(0, app) + pages["Pages wired down"] + pages["Pages occupied by compressor"]
    except KeyError as error:
        raise OSError(f"vm_stat has no line {error}") from error


def gpu_limit(total_bytes: int, wired_limit_mib: int | None) -> tuple[int, Source]:
    """How much memory the GPU may hold at once, and how sure that is.

    A limit the user set counts; else Metal's recommended working set, reported as two thirds of the memory up
    to 32 GB and three quarters above. Newer systems allow somewhat more on some sizes.
    """
    if wired_limit_mib:
        return wired_limit_mib * _MIB, "measured"
    if total_bytes <= 32 * _GIB:
        return total_bytes * 2 // 3, "estimated"
    return total_bytes * 3 // 4, "estimated"


@frozen
class GpuUse:
    """What the accelerators do: use of the busiest in per cent, and memory that all programs have there."""

    busy_percent: float | None = None
    used_bytes: int | None = None


def gpu_use(ioreg_plist: bytes) -> GpuUse:
    """What the output of ``ioreg -a -c IOAccelerator`` says; unknown where it says nothing."""
    try:
        devices: Any = plistlib.loads(ioreg_plist)
    except (plistlib.InvalidFileException, ValueError):
        return GpuUse()
    busy: list[float] = []
    used: list[int] = []
    for device in devices if isinstance(devices, list) else ():
        statistics = device.get("PerformanceStatistics") if isinstance(device, dict) else None
        if not isinstance(statistics, dict):
            continue
        percent, held = statistics.get("Device Utilization %"), statistics.get("In use system memory")
        if isinstance(percent, int | float):
            busy.append(float(percent))
        if isinstance(held, int) and not isinstance(held, bool) and held >= 0:
            used.append(held)
    return GpuUse(max(busy, default=None), max(used, default=None))


class MacSystem:
    """The system calls a reading needs, apart from the commands."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        self._libproc = ctypes.CDLL(ctypes.util.find_library("proc"), use_errno=True)

    def sysctl(self, name: str, size: int) -> bytes | None:
        """Raw value of a kernel variable, at most `size` bytes; ``None`` if there is no such variable."""
        value = ctypes.create_string_buffer(size)
        length = ctypes.c_size_t(size)
        failed = self._libc.sysctlbyname(name.encode(), value, ctypes.byref(length), None, ctypes.c_size_t(0))
        return None if failed else value.raw[: length.value]

    def footprint(self, pid: int) -> int | None:
        """Physical footprint of a process of the same user in bytes: Activity Monitor's "Memory"."""
        usage = ctypes.create_string_buffer(_RUSAGE_BYTES)
        if self._libproc.proc_pid_rusage(pid, 0, usage):
            return None
        return int.from_bytes(usage.raw[_FOOTPRINT_OFFSET : _FOOTPRINT_OFFSET + 8], "little")


class MacMemoryReader:
    """Reads memory on macOS. Commands and system calls can be given, so that recorded output can be read."""

    def __init__(self, system: MacSystem | None = None, run: RunText | None = None) -> None:
        self._system = system or MacSystem()
        self._run = run or _run
        self._has_ioreg = True
        self._gpu = GpuUse()
        self._readings = 0

    def machine(self) -> MachineMemory:
        """The machine as it is now.

        Raises:
            OSError: If `vm_stat` cannot be run or understood, or the installed memory is not told.
        """
        total = self._number("hw.memsize", 8)
        if not total:
            raise OSError("sysctl hw.memsize gave nothing")
        pages = parse_vm_stat(self._run(("vm_stat",)).decode(errors="replace"))
        used = min(used_bytes(pages), total)
        gpu = self._gpu_use()
        limit, source = gpu_limit(total, self._number("iogpu.wired_limit_mb", 4))
        return MachineMemory(
            total_bytes=total,
            used_bytes=used,
            available_bytes=total - used,
            swap_used_bytes=self._swap_used(),
            pressure=_PRESSURE.get(self._number("kern.memorystatus_vm_pressure_level", 4) or 0),
            gpu_limit_bytes=limit,
            gpu_limit_source=source,
            gpu_busy_percent=gpu.busy_percent,
            gpu_used_bytes=gpu.used_bytes,
            compressed_bytes=pages["Pages occupied by compressor"],
        )

    def process(self, pid: int) -> ProcessMemory | None:
        """Footprint of a process. Weights that are mapped from their file are not in it; MLX's are."""
        held = self._system.footprint(pid)
        return None if held is None else ProcessMemory(held_bytes=held)

    def _number(self, name: str, size: int) -> int | None:
        raw = self._system.sysctl(name, size)
        return int.from_bytes(raw, "little") if raw else None

    def _swap_used(self) -> int | None:
        raw = self._system.sysctl("vm.swapusage", 64)
        if raw is None or len(raw) < _SWAP_LAYOUT.size:
            return None
        used: int = _SWAP_LAYOUT.unpack_from(raw)[2]
        return used

    def _gpu_use(self) -> GpuUse:
        """Asked at each `_GPU_EVERY`-th reading only: the answer is large, and changes slowly."""
        is_due = self._readings % _GPU_EVERY == 0
        self._readings += 1
        if not is_due or not self._has_ioreg:
            return self._gpu
        try:
            self._gpu = gpu_use(self._run(("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator", "-a")))
        except FileNotFoundError:
            self._has_ioreg = False  # it will not come back within a session; do not start a process in vain
        except OSError:
            self._gpu = GpuUse()  # too slow this time
        return self._gpu


def _run(command: tuple[str, ...]) -> bytes:
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_COMMAND_TIMEOUT_S, check=True
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"{command[0]} failed: {error}") from error
    return done.stdout
