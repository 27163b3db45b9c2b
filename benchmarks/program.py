"""A program in a terminal of its own: started, fed with keys, watched, ended."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

ROWS, COLUMNS = 45, 160
_LONGEST_CHARACTER_BYTES = 4


def unique_characters() -> Iterator[str]:
    """Letters that nothing on the screen shows by itself; they repeat after some three hundred."""
    while True:
        yield from (chr(code) for code in range(0x100, 0x180))
        yield from (chr(code) for code in range(0x250, 0x2B0))
        yield from (chr(code) for code in range(0x400, 0x460))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process with all its threads, ended ones too; exact to microseconds on Linux."""
    if sys.platform == "linux":
        return time.clock_gettime(((~pid) << 3) | 2)  # the process's own clock, see clock_getcpuclockid(3)
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds of a program with its children since its start, at a time of the clock."""

    at: float
    cpu_s: float


class Program:
    """A child process on a pty. Everything it prints is read at once and stamped."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        modes = termios.tcgetattr(slave)
        modes[
            3
        ] &= ~termios.ECHO  # else the terminal itself would echo what is typed before the program listens
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        self.started = time.perf_counter()
        self._child = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=dict(env),
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self._chunks: list[tuple[float, bytes]] = []
        self._arrived = threading.Condition()
        self._is_watched = True
        self.readings: list[Reading] = []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._drain, self._watch)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process now."""
        return psutil.Process(self.pid).memory_info().rss

    @property
    def is_listening(self) -> bool:
        """Whether the program takes keys one by one: until then the terminal keeps lines."""
        return not termios.tcgetattr(self._master)[3] & termios.ICANON

    def check(self) -> None:
        """Raise if the program has ended, with the end of what it printed."""
        if self._child.poll() is not None:
            with self._arrived:
                text = b"".join(data for _, data in self._chunks)[-2000:].decode(errors="replace")
            raise RuntimeError(f"the program ended by itself (exit {self._child.returncode}):\n{text}")

    def write(self, text: str) -> float:
        """Type; returns when."""
        now = time.perf_counter()
        os.write(self._master, text.encode())
        return now

    def printed(self) -> int:
        """How many chunks have come so far; where to search from."""
        with self._arrived:
            return len(self._chunks)

    def find(self, texts: Sequence[str], since: int, timeout_s: float) -> float | None:
        """When any of `texts` was printed first, looking from chunk `since` on; ``None`` if it was not."""
        wanted = [text.encode() for text in texts]
        deadline = time.perf_counter() + timeout_s
        at, tail = since, b""
        with self._arrived:
            while True:
                while at < len(self._chunks):
                    moment, data = self._chunks[at]
                    at += 1
                    if any(text in tail + data for text in wanted):
                        return moment
                    tail = data[-_LONGEST_CHARACTER_BYTES:]
                left_s = deadline - time.perf_counter()
                if left_s <= 0 or not self._arrived.wait(left_s):
                    return None

    def cpu_at(self, moment: float) -> float:
        """CPU seconds at a time of the wall clock (`time.time`), interpolated between readings."""
        before = [reading for reading in self.readings if reading.at <= moment]
        after = [reading for reading in self.readings if reading.at > moment]
        if not before or not after:
            return (before or after)[-1 if before else 0].cpu_s
        first, second = before[-1], after[0]
        share = (moment - first.at) / (second.at - first.at)
        return first.cpu_s + share * (second.cpu_s - first.cpu_s)

    def end(self) -> None:
        """End the program with all that it started, and give the terminal back."""
        self._is_watched = False
        if self._child.poll() is None:
            os.killpg(self.pid, signal.SIGTERM)
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._child.wait()
        for thread in self._threads:
            thread.join(2)
        os.close(self._master)

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # the last process has closed the terminal
                return
            if not data:
                return
            with self._arrived:
                self._chunks.append((time.perf_counter(), data))
                self._arrived.notify_all()

    def _watch(self) -> None:
        children: list[int] = []
        for turn in range(1 << 30):
            if not self._is_watched:
                return
            try:
                if turn % 50 == 0:
                    children = [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
                used = cpu_s(self.pid)
            except (OSError, psutil.Error):
                return
            self.readings.append(Reading(time.time(), used + sum(map(_cpu_or_nothing, children))))
            time.sleep(0.02)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _cpu_or_nothing(pid: int) -> float:
    try:
        return cpu_s(pid)
    except (OSError, psutil.Error):  # a child that has ended
        return 0.0
