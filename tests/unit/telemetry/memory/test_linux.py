from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.telemetry.memory.linux import LinuxMemoryReader, pressure_from_psi, read_kib_table
from agentui.telemetry.memory.reader import MachineMemory, ProcessMemory

MIB = 1024**2
GIB = 1024**3

MEMINFO = """\
MemTotal:       16777216 kB
MemFree:         1048576 kB
MemAvailable:    8388608 kB
SwapTotal:       2097152 kB
SwapFree:        1572864 kB
HugePages_Total:       0
"""
CALM = "some avg10=0.12 avg60=0.10 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"


class Tree:
    """A machine made of files, as Linux shows it."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.sys = root / "sys"
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/pressure/memory", CALM)
        self.write("proc/self/cgroup", "0::/user.slice/session.scope\n")

    def write(self, path: str, text: str) -> None:
        file = self.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self) -> MachineMemory:
        return LinuxMemoryReader(self.proc, self.sys).machine()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_machine_counts_what_is_not_available_as_used(tree: Tree) -> None:
    reading = tree.read()
    assert reading.total_bytes == 16 * GIB
    assert reading.available_bytes == 8 * GIB
    assert reading.used_bytes == 8 * GIB
    assert reading.swap_used_bytes == 512 * MIB
    assert reading.pressure == "ok"


def test_tightest_group_above_us_is_the_machine_we_have(tree: Tree) -> None:
    group = "sys/fs/cgroup/user.slice"
    tree.write(f"{group}/memory.max", f"{4 * GIB}\n")
    tree.write(f"{group}/memory.current", f"{3 * GIB}\n")
    tree.write(f"{group}/memory.stat", f"anon 5\ninactive_file {GIB}\nactive_file 7\n")
    tree.write(f"{group}/session.scope/memory.max", "max\n")
    tree.write(f"{group}/session.scope/memory.current", "12\n")
    reading = tree.read()
    assert reading.total_bytes == 4 * GIB
    assert reading.used_bytes == 2 * GIB
    assert reading.available_bytes == 2 * GIB


def test_group_limit_above_the_machine_is_no_limit(tree: Tree) -> None:
    tree.write("sys/fs/cgroup/user.slice/memory.max", f"{64 * GIB}\n")
    tree.write("sys/fs/cgroup/user.slice/memory.current", "1\n")
    assert tree.read().total_bytes == 16 * GIB


def test_machine_cannot_have_more_available_than_its_group_or_itself(tree: Tree) -> None:
    tree.write("sys/fs/cgroup/user.slice/memory.max", f"{12 * GIB}\n")
    tree.write("sys/fs/cgroup/user.slice/memory.current", f"{GIB}\n")
    assert tree.read().available_bytes == 8 * GIB


def test_what_is_left_is_the_least_that_any_group_above_us_leaves(tree: Tree) -> None:
    group = "sys/fs/cgroup/user.slice"
    tree.write(f"{group}/memory.max", f"{6 * GIB}\n")
    tree.write(f"{group}/memory.current", f"{5 * GIB}\n")
    tree.write(f"{group}/session.scope/memory.max", f"{4 * GIB}\n")
    tree.write(f"{group}/session.scope/memory.current", f"{GIB}\n")
    reading = tree.read()
    assert reading.total_bytes == 4 * GIB
    assert reading.available_bytes == GIB


@pytest.mark.parametrize("folder", ["memory/box", "memory"], ids=["on the host", "in a container"])
@pytest.mark.parametrize("unlimited", [(1 << 63) - 4096, 64 * GIB])
def test_a_group_of_version_1_limits_the_machine(tree: Tree, folder: str, unlimited: int) -> None:
    tree.write("proc/self/cgroup", "9:cpu,cpuacct:/box\n4:memory:/box/inner\n0::/\n")
    group = f"sys/fs/cgroup/{folder}"
    tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{unlimited}\n")
    tree.write("sys/fs/cgroup/memory/memory.usage_in_bytes", f"{9 * GIB}\n")
    tree.write(f"{group}/memory.limit_in_bytes", f"{4 * GIB}\n")
    tree.write(f"{group}/memory.usage_in_bytes", f"{3 * GIB}\n")
    tree.write(f"{group}/memory.stat", f"inactive_file 9\ntotal_rss 1\ntotal_inactive_file {GIB}\n")
    reading = tree.read()
    assert reading.total_bytes == 4 * GIB
    assert reading.available_bytes == 2 * GIB


def test_names_that_are_no_text_hide_nothing(tree: Tree) -> None:
    (tree.proc / "self" / "cgroup").write_bytes(b"0::/user.slice/\xff\xfe\n")
    tree.write("sys/fs/cgroup/user.slice/memory.max", f"{4 * GIB}\n")
    tree.write("sys/fs/cgroup/user.slice/memory.current", f"{GIB}\n")
    assert tree.read().total_bytes == 4 * GIB
    (tree.proc / "7").mkdir()
    (tree.proc / "7" / "status").write_bytes(b"Name:\tmod\xe8le\nVmRSS:\t 8 kB\nRssFile:\t 4 kB\n")
    reader = LinuxMemoryReader(tree.proc, tree.sys)
    assert reader.process(7) == ProcessMemory(held_bytes=8192, mapped_bytes=4096)


def test_shared_memory_of_an_amd_apu_belongs_to_its_limit(tree: Tree) -> None:
    device = "sys/class/drm/card1/device"
    tree.write(f"{device}/mem_info_vram_total", f"{GIB}\n")
    tree.write(f"{device}/mem_info_gtt_total", f"{7 * GIB}\n")
    tree.write(f"{device}/gpu_busy_percent", "93\n")
    reading = tree.read()
    assert reading.gpu_limit_bytes == 8 * GIB
    assert reading.gpu_busy_percent == 93.0


def test_machine_without_gpu_has_no_gpu_limit(tree: Tree) -> None:
    reading = tree.read()
    assert reading.gpu_limit_bytes is None
    assert reading.gpu_busy_percent is None


def test_kernel_without_pressure_figures_has_unknown_pressure(tree: Tree) -> None:
    (tree.proc / "pressure" / "memory").unlink()
    assert tree.read().pressure is None


def test_meminfo_without_total_is_an_error(tree: Tree) -> None:
    tree.write("proc/meminfo", "MemFree: 1 kB\n")
    with pytest.raises(OSError, match="MemTotal"):
        tree.read()


def test_old_kernel_without_available_leaves_used_unknown(tree: Tree) -> None:
    tree.write("proc/meminfo", "MemTotal: 1024 kB\n")
    assert tree.read().used_bytes is None


@pytest.mark.parametrize(
    ("some", "full", "available_ratio", "expected"),
    [
        (0.5, 0.0, 0.5, "ok"),
        (8.0, 0.1, 0.5, "warn"),
        (0.0, 0.0, 0.01, "warn"),
        (60.0, 20.0, 0.5, "critical"),
        (0.0, 0.0, None, "ok"),
    ],
)
def test_pressure_follows_stalls_and_low_memory(
    some: float, full: float, available_ratio: float | None, expected: str
) -> None:
    text = f"some avg10={some} avg60=0 avg300=0 total=1\nfull avg10={full} avg60=0 avg300=0 total=1\n"
    assert pressure_from_psi(text, available_ratio) == expected


@given(st.text())
def test_any_text_can_be_read_as_a_table(text: str) -> None:
    assert all(value >= 0 for value in read_kib_table(text).values())


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z_()]{1,20}\Z"), st.integers(0, 2**50), max_size=20))
def test_table_gives_back_every_line(table: dict[str, int]) -> None:
    text = "".join(f"{name}:   {value} kB\n" for name, value in table.items())
    assert read_kib_table(text) == {name: value * 1024 for name, value in table.items()}


def test_mapped_weights_count_as_used() -> None:
    reading = MachineMemory(total_bytes=10, used_bytes=2, available_bytes=8)
    assert reading.counting_mapped(5) == MachineMemory(total_bytes=10, used_bytes=7, available_bytes=3)
    assert reading.counting_mapped(50).available_bytes == 0
    assert MachineMemory().counting_mapped(5) == MachineMemory()


HOLDER = """
import mmap, sys
path, anonymous, mapped = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = mmap.mmap(-1, anonymous, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, anonymous, 4096):
    held[at] = 1
with open(path, "rb") as file:
    weights = mmap.mmap(file.fileno(), mapped, prot=mmap.PROT_READ)
for at in range(0, mapped, 4096):
    weights[at]
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the real /proc")
def test_real_process_with_known_memory_is_attributed_within_one_percent() -> None:
    anonymous, mapped = 256 * MIB, 192 * MIB
    with tempfile.NamedTemporaryFile() as weights:
        weights.truncate(mapped)
        weights.seek(0)
        weights.write(os.urandom(MIB) * (mapped // MIB))
        weights.flush()
        command = [sys.executable, "-c", HOLDER, weights.name]
        small = _memory_of([*command, str(mmap.PAGESIZE), str(mmap.PAGESIZE)])
        large = _memory_of([*command, str(anonymous), str(mapped)])
    mapped_growth = large[1] - small[1]
    anonymous_growth = (large[0] - large[1]) - (small[0] - small[1])
    assert mapped_growth == pytest.approx(mapped, rel=0.01)
    assert anonymous_growth == pytest.approx(anonymous, rel=0.01)


def _memory_of(command: list[str]) -> tuple[int, int]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        memory = LinuxMemoryReader().process(process.pid)
        process.communicate()
    assert memory is not None
    assert memory.mapped_bytes is not None
    return memory.held_bytes, memory.mapped_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="reads the real /proc")
def test_process_that_is_gone_is_unknown() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert LinuxMemoryReader().process(process.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads the real /proc")
def test_this_machine_can_be_read() -> None:
    reading = LinuxMemoryReader().machine()
    assert reading.total_bytes is not None
    assert reading.used_bytes is not None
    assert 0 < reading.used_bytes < reading.total_bytes
