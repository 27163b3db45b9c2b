"""Which process holds the model, and what our own process costs.

LM Studio runs its engines in workers whose names are no contract: a `node` with `llmworker.js`, or a
`llama-server` per model. So every process that looks like LM Studio's is taken together with all of its
descendants, and the one with the largest footprint is believed to hold the model. For any other server it is
looked for below the process that listens on the server's port.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import psutil

from agentui.events import ProcessSample
from agentui.telemetry.memory.reader import MemoryReader, ProcessMemory

_MARKS = (".lmstudio", "lm-studio", "lm studio.app", "llmworker.js")
_NAMES = frozenset({"llmster", "lm studio", "lm-studio"})
_SERVERS = frozenset({"llama-server", "ollama", "mlx_lm.server", "vllm"})
_EDITORS_ARGUMENTS = frozenset(
    {"vim", "nvim", "emacs", "code", "less", "grep", "rg", "tail", "cat", "bash", "zsh", "sh"}
)
"""Programs whose arguments may name LM Studio's folders without being part of it."""
_FORWARDERS = frozenset({"docker-proxy", "com.docker.backend", "ssh", "sshd", "socat", "rootlessport"})
"""Programs that listen for a server which runs somewhere else; their own memory says nothing."""
_UNSURE_RATIO = 0.5
"""A second process with more than this share of the largest one's memory makes the choice unsure."""
SEARCH_AGAIN_S = 30.0
"""Look at all processes once in this time; in between only the known one is read."""
_SETTLED_S = 60.0
"""A process as old as this is what it will be: until then a start script may still `exec` the server."""
_ANEW_SEARCHES = 10
"""What was read is believed for so many searches: a number may belong to another process by then."""


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """What the rules look at of one process."""

    pid: int
    parent: int
    name: str
    executable: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ModelProcess:
    """The process believed to hold the model; `is_sure` is false when another one might as well."""

    pid: int
    name: str
    memory: ProcessMemory
    is_sure: bool


def is_lmstudio(line: ProcessLine) -> bool:
    """Whether a process is part of LM Studio by its executable, name or arguments."""
    name = line.name.lower()
    if name in _NAMES:
        return True
    places = [line.executable.lower()]
    if name not in _EDITORS_ARGUMENTS:
        places.append(line.arguments.lower())
    return any(mark in place for mark in _MARKS for place in places)


def is_known_server(line: ProcessLine) -> bool:
    """Whether a process is a model server of another make."""
    return line.name in _SERVERS or "mlx_lm.server" in line.arguments or "mlx_lm/server" in line.arguments


def candidates(lines: Sequence[ProcessLine], port_owner: int | None, own_pid: int) -> list[ProcessLine]:
    """Processes that may hold the model: those of the server on the port, else of any server, and descendants.

    `port_owner` is the process that listens on the server's port where that is known. LM Studio's engines need
    not descend from it, so all that looks like LM Studio's is taken then. Our own process and all that descend
    from it are left out.
    """
    children: dict[int, list[ProcessLine]] = defaultdict(list)
    by_pid = {line.pid: line for line in lines}
    for line in lines:
        children[line.parent].append(line)
    ours = _with_descendants([own_pid], children)
    owner = None if port_owner is None else by_pid.get(port_owner)
    if owner is not None and owner.name in _FORWARDERS:
        return []
    if owner is None or is_lmstudio(owner):
        roots = [line.pid for line in lines if is_lmstudio(line)]
        roots = roots or [line.pid for line in lines if is_known_server(line)]
    else:
        roots = [owner.pid]
    found = _with_descendants(roots, children) - ours
    return [by_pid[pid] for pid in sorted(found) if pid in by_pid]


def largest(found: Iterable[tuple[ProcessLine, ProcessMemory]]) -> ModelProcess | None:
    """The candidate that holds most memory."""
    ranked = sorted(found, key=lambda item: item[1].held_bytes, reverse=True)
    if not ranked:
        return None
    line, memory = ranked[0]
    runner_up = ranked[1][1].held_bytes if len(ranked) > 1 else 0
    return ModelProcess(line.pid, line.name, memory, is_sure=runner_up <= memory.held_bytes * _UNSURE_RATIO)


class ModelProcessFinder:
    """Finds the model's process and keeps reading it.

    Looking at all processes costs tens of milliseconds, so it is done seldom and when the known one is gone.
    """

    def __init__(
        self,
        reader: MemoryReader,
        port: int | None = None,
        lines: Callable[[], Sequence[ProcessLine]] | None = None,
        port_owner: Callable[[int], int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._port = port
        self._lines = lines or ProcessTable().lines
        self._port_owner = port_owner or PortOwner()
        self._clock = clock
        self._known: ModelProcess | None = None
        self._search_due_s = float("-inf")

    def read(self) -> ModelProcess | None:
        """The model's process with its memory as it is now. Blocks; may be called from a thread."""
        if self._clock() < self._search_due_s:
            if self._known is None:
                return None
            memory = self._reader.process(self._known.pid)
            if memory is not None:
                self._known = replace(self._known, memory=memory)
                return self._known
        self._known = self._search()
        self._search_due_s = self._clock() + SEARCH_AGAIN_S
        return self._known

    def _search(self) -> ModelProcess | None:
        owner = None if self._port is None else self._port_owner(self._port)
        found = candidates(self._lines(), owner, os.getpid())
        read = ((line, self._reader.process(line.pid)) for line in found)
        return largest((line, memory) for line, memory in read if memory is not None)


class ProcessTable:
    """All processes we may look at, each read once: of those seen before nothing is asked.

    `read` reads one process, or raises `psutil.Error` if it is gone; `now` is the time in seconds since 1970.
    """

    def __init__(
        self,
        read: Callable[[psutil.Process], ProcessLine] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._read = read or _line_of
        self._now = now
        self._settled: dict[psutil.Process, ProcessLine] = {}
        self._searches = 0

    def lines(self) -> list[ProcessLine]:
        """The processes that run now. Blocks, the first time for some 0.2 ms for each."""
        before = {} if self._searches % _ANEW_SEARCHES == 0 else self._settled
        self._searches += 1
        self._settled = {}
        found: list[ProcessLine] = []
        for process in psutil.process_iter():
            line = before.get(process)
            try:
                if line is None:
                    line = self._read(process)
                    is_settled = self._now() - process.create_time() >= _SETTLED_S
                else:
                    is_settled = True
            except psutil.Error:  # it ended meanwhile
                continue
            found.append(line)
            if is_settled:
                self._settled[process] = line
        return found


def _line_of(process: psutil.Process) -> ProcessLine:
    known = process.as_dict(["pid", "ppid", "name", "exe", "cmdline"])
    arguments = " ".join(known["cmdline"] or ())
    return ProcessLine(known["pid"], known["ppid"] or 0, known["name"] or "", known["exe"] or "", arguments)


class PortOwner:
    """Finds who listens on a port: the one found last is asked first, so that not all need to be asked."""

    def __init__(self) -> None:
        self._last: int | None = None

    def __call__(self, port: int) -> int | None:
        """See `listener_of`."""
        if self._last is None or not _listens(self._last, port):
            self._last = listener_of(port)
        return self._last


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port for one in connections)


def listener_of(port: int) -> int | None:
    """The process that listens on a local TCP port; ``None`` if we may not know (macOS tells only root)."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            return connection.pid
    return None


LEAST_INTERVAL_S = 0.5
"""Processor time is counted in steps of 10 ms: a share of a shorter time says nothing."""


class OwnProcess:
    """What agentui itself costs. Reading takes well under a millisecond."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._process = psutil.Process()
        self._clock = clock
        self._process.cpu_percent()  # the first call only sets the point to count from
        self._counted_s = clock()

    def sample(self) -> ProcessSample:
        """Share of one core since the last call (may exceed 100), and resident memory.

        The share of less than `LEAST_INTERVAL_S` would be noise: then it is unknown, and counted on.
        """
        with self._process.oneshot():
            rss_bytes = self._process.memory_info().rss
            now_s = self._clock()
            if now_s - self._counted_s < LEAST_INTERVAL_S:
                return ProcessSample(None, rss_bytes)
            self._counted_s = now_s
            return ProcessSample(self._process.cpu_percent(), rss_bytes)


def _with_descendants(roots: Iterable[int], children: dict[int, list[ProcessLine]]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid in found:
            continue
        found.add(pid)
        waiting.extend(child.pid for child in children.get(pid, ()))
    return found
