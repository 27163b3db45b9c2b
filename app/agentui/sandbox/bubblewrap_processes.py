"""The processes of one jail: found as the descendants of its first process, ended with it by the kernel.

Everything here blocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

import psutil

from agentui.events import ToolOutcome
from agentui.sandbox.directory import disk_message
from agentui.sandbox.limits import SandboxLimits
from agentui.sandbox.process_fence import ProcessFence

START_TIMEOUT_S = 10.0
STOP_ROUNDS = 20
OWN_PROCESSES = 2
"""Bubblewrap's own first process, and the shell's, are none of the command's making."""
LOOK_S = 0.25
"""How often all processes of a jail are looked at."""
MANY_MORE_TASKS = 64


def started(
    arguments: Sequence[str],
    shell: Sequence[str],
    program: bytes | None,
    limits: Mapping[int, int],
    fence: ProcessFence | None,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start bubblewrap, set the limits of the jail's first process, and only then let the shell run.

    Returns bubblewrap's process and the jail's first one, as the host numbers it.

    Args:
        arguments: Bubblewrap and its arguments so far.
        shell: What runs inside.
        program: The system call filter.
        limits: Soft and hard value of each resource.
        fence: Holds all processes of the jail.

    Raises:
        OSError: If bubblewrap cannot be started, or ends before the shell starts; says what it said.
    """
    info_read, info_write = os.pipe()
    block_read, block_write = os.pipe()
    try:
        with tempfile.TemporaryFile() as filter_file:
            passed = [info_write, block_read]
            extra = ["--info-fd", str(info_write), "--block-fd", str(block_read)]
            if program is not None:
                filter_file.write(program)
                filter_file.seek(0)
                passed.append(filter_file.fileno())
                extra += ["--seccomp", str(filter_file.fileno())]
            process = subprocess.Popen(
                [*arguments, *extra, "--", *shell],
                # Bubblewrap itself is the first process in the jail, and its environment can be read there.
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=passed,
                start_new_session=True,
            )
        os.close(info_write)
        info_write = -1
        try:
            init_pid = _first_process(info_read)
            for name, value in limits.items():
                resource.prlimit(init_pid, name, (value, value))
            if fence is not None:
                fence.add(init_pid)
            os.write(block_write, b"x")
        except (OSError, ValueError) as error:
            process.kill()
            _, said = process.communicate()
            raise OSError(said.decode("utf-8", "replace").strip() or str(error)) from error
        return process, init_pid
    finally:
        for descriptor in (info_read, info_write, block_read, block_write):
            if descriptor >= 0:
                os.close(descriptor)


def _first_process(info: int) -> int:
    """Read bubblewrap's information up to the end of its JSON object."""
    text = b""
    while not text.rstrip().endswith(b"}"):
        if not select.select([info], [], [], START_TIMEOUT_S)[0]:
            raise OSError("bubblewrap did not start in time")
        data = os.read(info, 4096)
        if not data:
            raise OSError("bubblewrap ended before the command started")
        text += data
    return int(json.loads(text)["child-pid"])


class JailedProcesses:
    """What runs in one jail.

    Args:
        process: Bubblewrap, which ends when the command does.
        init_pid: The jail's first process: all others are its descendants, and end with it.
        root: The copy's folder, whose disk must not fill up.
        limits: What `enforce` looks at.
        fence: Holds all of them; removed at the end.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        init_pid: int,
        root: str,
        limits: SandboxLimits,
        fence: ProcessFence | None,
    ) -> None:
        self.process = process
        self.verdict: tuple[ToolOutcome, str] | None = None
        self._root = root
        self._limits = limits
        self._fence = fence
        self._looked_at: tuple[float, int] | None = None
        # With its start time, so that a number used again is never taken for it.
        self._init: psutil.Process | None = None
        with contextlib.suppress(psutil.Error):
            self._init = psutil.Process(init_pid)
        self._stopping = threading.Lock()

    @property
    def exit_code(self) -> int | None:
        """The command's, as bubblewrap hands it on; ``None`` if bubblewrap itself was killed."""
        code = self.process.returncode
        return None if code is None or code < 0 else code

    def stop(self) -> bool:
        """Stop every process, also those in sessions of their own."""
        with self._stopping:
            if self.process.poll() is not None:
                return False
            stopped: set[int] = set()
            for _ in range(STOP_ROUNDS):
                fresh = [process for process in self._all() if process.pid not in stopped]
                if not fresh:
                    break
                for process in fresh:
                    _signal(process, signal.SIGSTOP)
                    stopped.add(process.pid)
            return bool(stopped)

    def go_on(self) -> None:
        """Let every process go on."""
        with self._stopping:
            for process in self._all():
                _signal(process, signal.SIGCONT)

    def enforce(self) -> None:
        """End the largest process if they use too much memory; all if they are too many or the disk fills.

        Between two looks at all of them it is only looked whether the machine has many more tasks than before.
        """
        now_s, tasks = time.monotonic(), _tasks_of_machine()
        if self._looked_at is not None:
            then_s, before = self._looked_at
            if now_s - then_s < LOOK_S and tasks - before < MANY_MORE_TASKS:
                return
        self._looked_at = (now_s, tasks)
        found = self._all()
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize < self._limits.free_disk_bytes:
            self.verdict = ("killed", disk_message(disk.f_bavail * disk.f_frsize))
            self._kill_init()
            return
        if len(found) > self._limits.pids + OWN_PROCESSES:
            self.verdict = ("killed", f"Ended: it had started more than {self._limits.pids} processes.")
            self._kill_init()
            return
        sizes = [(_private_bytes(process), process) for process in found]
        if sum(size for size, _ in sizes) <= self._limits.memory_bytes:
            return
        limit = f"{self._limits.memory_bytes / 2**30:.3g} GiB"
        self.verdict = ("oom", f"Out of memory: the sandbox may use {limit}.")
        _signal(max(sizes, key=lambda pair: pair[0])[1], signal.SIGKILL)

    def end_everything(self) -> None:
        """Kill the jail's first process: the kernel ends the others with it."""
        self._kill_init()
        if self._init is None:
            self.process.kill()
        self.process.wait()
        if self._fence is not None:
            self._fence.remove()

    def memory_bytes(self) -> int:
        """Memory that only these processes use."""
        return sum(_private_bytes(process) for process in self._all())

    def _all(self) -> list[psutil.Process]:
        if self._init is None:
            return []
        try:
            return [self._init, *self._init.children(recursive=True)]
        except psutil.Error:
            return []

    def _kill_init(self) -> None:
        if self._init is not None:
            _signal(self._init, signal.SIGKILL)


def _tasks_of_machine() -> int:
    """Processes and threads of the whole machine: one short read, however many there are."""
    with open("/proc/loadavg", encoding="ascii") as file:
        return int(file.read().split()[3].partition("/")[2])


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        # psutil looks at the start time first: the number may belong to somebody else by now.
        process.send_signal(number)


def _private_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0
    return max(0, int(memory.rss) - int(getattr(memory, "shared", 0)))
