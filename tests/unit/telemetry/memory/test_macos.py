"""All input here is constructed from Apple's documented forms; none was recorded on a Mac."""

from __future__ import annotations

import plistlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.telemetry.memory.macos import (
    GpuUse,
    MacMemoryReader,
    MacSystem,
    gpu_limit,
    gpu_use,
    parse_vm_stat,
    used_bytes,
)

GIB = 1024**3
IOREG_KEYS = ("PerformanceStatistics", "Device Utilization %", "In use system memory")
PAGE = 16384

CONSTRUCTED_VM_STAT = b"""\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              131072.
Pages active:                           1000000.
Pages inactive:                          900000.
Pages speculative:                        12345.
Pages throttled:                              0.
Pages wired down:                        524288.
Pages purgeable:                          65536.
"Translation faults":                 987654321.
Pages copy-on-write:                    1234567.
File-backed pages:                       700000.
Anonymous pages:                        1114112.
Pages stored in compressor:              400000.
Pages occupied by compressor:            131072.
"""
CONSTRUCTED_IOREG = plistlib.dumps(
    [
        {
            "IOClass": "AGXAcceleratorG14X",
            "PerformanceStatistics": {"Device Utilization %": 97, "In use system memory": 20 * GIB},
        }
    ]
)


class ConstructedMac(MacSystem):
    """Answers sysctl and footprint from a table."""

    def __init__(self, variables: dict[str, bytes], footprints: dict[int, int] | None = None) -> None:
        self._variables = variables
        self._footprints = footprints or {}

    def sysctl(self, name: str, size: int) -> bytes | None:
        value = self._variables.get(name)
        return None if value is None else value[:size]

    def footprint(self, pid: int) -> int | None:
        return self._footprints.get(pid)


def variables(**changed: int) -> dict[str, bytes]:
    values = {"pressure": 1, "wired_mib": 0, "swap_used": 3 * GIB} | changed
    return {
        "hw.memsize": struct.pack("<Q", 64 * GIB),
        "iogpu.wired_limit_mb": struct.pack("<i", values["wired_mib"]),
        "kern.memorystatus_vm_pressure_level": struct.pack("<i", values["pressure"]),
        "vm.swapusage": struct.pack("<QQQIi", 4 * GIB, GIB, values["swap_used"], PAGE, 1),
    }


def run_constructed(command: tuple[str, ...]) -> bytes:
    return CONSTRUCTED_VM_STAT if command[0] == "vm_stat" else CONSTRUCTED_IOREG


def test_used_memory_is_application_wired_and_compressed() -> None:
    expected = (1114112 - 65536 + 524288 + 131072) * PAGE
    assert used_bytes(parse_vm_stat(CONSTRUCTED_VM_STAT.decode())) == expected


def test_whole_reading_of_a_constructed_64_gib_mac() -> None:
    reading = MacMemoryReader(ConstructedMac(variables()), run_constructed).machine()
    assert reading.total_bytes == 64 * GIB
    assert reading.used_bytes == 26 * GIB
    assert reading.available_bytes == 38 * GIB
    assert reading.swap_used_bytes == 3 * GIB
    assert reading.pressure == "ok"
    assert (reading.gpu_limit_bytes, reading.gpu_limit_source) == (48 * GIB, "estimated")
    assert reading.gpu_busy_percent == 97.0
    assert reading.gpu_used_bytes == 20 * GIB
    assert reading.compressed_bytes == 131072 * PAGE


def test_accelerators_are_asked_at_every_second_reading() -> None:
    asked: list[str] = []

    def run(command: tuple[str, ...]) -> bytes:
        asked.append(command[0])
        return run_constructed(command)

    reader = MacMemoryReader(ConstructedMac(variables()), run)
    assert {reader.machine().gpu_busy_percent for _ in range(4)} == {97.0}
    assert (asked.count("vm_stat"), asked.count("ioreg")) == (4, 2)


@pytest.mark.parametrize(("level", "expected"), [(1, "ok"), (2, "warn"), (4, "critical"), (3, None)])
def test_pressure_is_the_kernels_verdict(level: int, expected: str | None) -> None:
    reader = MacMemoryReader(ConstructedMac(variables(pressure=level)), run_constructed)
    assert reader.machine().pressure == expected


def test_limit_set_by_the_user_is_measured() -> None:
    reading = MacMemoryReader(ConstructedMac(variables(wired_mib=57344)), run_constructed).machine()
    assert (reading.gpu_limit_bytes, reading.gpu_limit_source) == (56 * GIB, "measured")


def test_small_machines_give_the_gpu_two_thirds() -> None:
    assert gpu_limit(24 * GIB, None) == (16 * GIB, "estimated")
    assert gpu_limit(32 * GIB, 0)[0] // 1024**2 == 21845


def test_missing_ioreg_is_asked_only_once() -> None:
    asked: list[str] = []

    def run(command: tuple[str, ...]) -> bytes:
        asked.append(command[0])
        if command[0] == "ioreg":
            raise FileNotFoundError("ioreg")
        return CONSTRUCTED_VM_STAT

    reader = MacMemoryReader(ConstructedMac(variables()), run)
    assert reader.machine().gpu_busy_percent is None
    assert reader.machine().gpu_busy_percent is None
    assert asked.count("ioreg") == 1


def test_an_ioreg_that_was_too_slow_once_is_asked_again() -> None:
    answers = iter([OSError("ioreg failed: timed out"), None])

    def run(command: tuple[str, ...]) -> bytes:
        if command[0] == "ioreg" and (failure := next(answers)) is not None:
            raise failure
        return run_constructed(command)

    reader = MacMemoryReader(ConstructedMac(variables()), run)
    assert [reader.machine().gpu_busy_percent for _ in range(3)] == [None, None, 97.0]


def test_footprint_is_what_a_process_holds() -> None:
    reader = MacMemoryReader(ConstructedMac(variables(), {7: 30 * GIB}), run_constructed)
    memory = reader.process(7)
    assert memory is not None
    assert (memory.held_bytes, memory.mapped_bytes) == (30 * GIB, None)
    assert reader.process(8) is None


def test_vm_stat_without_page_size_is_an_error() -> None:
    with pytest.raises(OSError, match="page size"):
        parse_vm_stat("Pages free: 1.\n")


def test_vm_stat_without_a_needed_line_is_an_error() -> None:
    with pytest.raises(OSError, match="Anonymous pages"):
        used_bytes({"Pages wired down": 1})


@given(st.binary(max_size=400))
def test_any_ioreg_output_is_survived(output: bytes) -> None:
    assert gpu_use(output) == GpuUse()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 2**40) | st.text("ab%", max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(IOREG_KEYS),
                inner,
            )
        ),
    )
)
def test_any_shape_of_ioreg_output_is_survived(value: object) -> None:
    try:
        output = plistlib.dumps([value])
    except TypeError:  # a null has no place in a property list
        return
    used = gpu_use(output)
    assert used.busy_percent is None or used.busy_percent >= 0
    assert used.used_bytes is None or used.used_bytes >= 0
