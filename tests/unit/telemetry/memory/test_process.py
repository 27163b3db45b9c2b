from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import psutil
import pytest

from agentui.telemetry.memory.detect import UnknownMemoryReader, memory_reader
from agentui.telemetry.memory.process import (
    SEARCH_AGAIN_S,
    ModelProcessFinder,
    OwnProcess,
    PortOwner,
    ProcessLine,
    ProcessTable,
    candidates,
    is_lmstudio,
    largest,
    listener_of,
)
from agentui.telemetry.memory.reader import MachineMemory, ProcessMemory

GIB = 1024**3
OURS = 500

APP = ProcessLine(10, 1, "LM Studio", "/Applications/LM Studio.app/Contents/MacOS/LM Studio")
WORKER = ProcessLine(11, 10, "node", "/Users/a/.lmstudio/.internal/utils/node", "node llmworker.js")
IDLE_WORKER = ProcessLine(12, 10, "node", "/Users/a/.lmstudio/.internal/utils/node", "node llmworker.js")
ENGINE = ProcessLine(13, 11, "llama-server", "/opt/engines/llama-server", "llama-server -m a.gguf")
EDITOR = ProcessLine(20, 1, "vim", "/usr/bin/vim", "vim /Users/a/.lmstudio/settings.json")
LLAMA = ProcessLine(30, 1, "llama-server", "/usr/bin/llama-server", "llama-server -m b.gguf")
SHELL = ProcessLine(OURS, 1, "python", "/usr/bin/python", "agentui")
CHILD = ProcessLine(501, OURS, "node", "/usr/bin/node", "tail /Users/a/.lmstudio/log")
FORWARDER = ProcessLine(40, 1, "docker-proxy", "/usr/bin/docker-proxy", "docker-proxy -host-port 8080")


def pids(lines: Sequence[ProcessLine]) -> list[int]:
    return [line.pid for line in lines]


@pytest.mark.parametrize(
    "line",
    [
        APP,
        WORKER,
        ProcessLine(1, 0, "llmster", "/opt/llmster"),
        ProcessLine(1, 0, "lm-studio", "/tmp/.mount_LM-Stuab/lm-studio"),
        ProcessLine(1, 0, "node", "/usr/bin/node", "node /home/a/.lmstudio/llmster/1/.bundle/lib/llmworker.js"),
    ],
)
def test_processes_of_lmstudio_are_known_by_name_place_or_arguments(line: ProcessLine) -> None:
    assert is_lmstudio(line)


def test_editor_on_a_file_of_lmstudio_is_not_lmstudio() -> None:
    assert not is_lmstudio(EDITOR)


def test_engine_below_a_worker_is_a_candidate_though_nothing_in_it_names_lmstudio() -> None:
    assert pids(candidates([APP, WORKER, ENGINE, EDITOR], None, OURS)) == [10, 11, 13]


def test_our_own_processes_are_never_the_model() -> None:
    assert pids(candidates([APP, SHELL, CHILD], None, OURS)) == [10]


def test_another_server_on_the_port_is_taken_instead_of_lmstudio() -> None:
    assert pids(candidates([APP, WORKER, LLAMA], LLAMA.pid, OURS)) == [30]


def test_lmstudio_on_the_port_brings_all_its_workers() -> None:
    assert pids(candidates([APP, WORKER, IDLE_WORKER, LLAMA], APP.pid, OURS)) == [10, 11, 12]


def test_unknown_port_owner_falls_back_to_a_known_server() -> None:
    assert pids(candidates([LLAMA, EDITOR], None, OURS)) == [30]


def test_forwarder_on_the_port_says_nothing_of_the_model() -> None:
    assert candidates([FORWARDER, LLAMA], FORWARDER.pid, OURS) == []


def test_largest_process_is_the_model_and_a_close_second_makes_it_unsure() -> None:
    clear = largest([(WORKER, ProcessMemory(20 * GIB)), (APP, ProcessMemory(GIB))])
    assert clear is not None
    assert (clear.pid, clear.is_sure) == (11, True)
    close = largest([(WORKER, ProcessMemory(20 * GIB)), (IDLE_WORKER, ProcessMemory(15 * GIB))])
    assert close is not None
    assert (close.pid, close.is_sure) == (11, False)
    assert largest([]) is None


class TableReader:
    """Process memory from a table that the test changes."""

    def __init__(self, held: dict[int, int]) -> None:
        self.held = held

    def machine(self) -> MachineMemory:
        return MachineMemory()

    def process(self, pid: int) -> ProcessMemory | None:
        held = self.held.get(pid)
        return None if held is None else ProcessMemory(held)


def test_finder_looks_at_all_processes_only_when_it_must() -> None:
    searches: list[int] = []
    reader = TableReader({11: 5 * GIB, 30: GIB})

    def lines() -> list[ProcessLine]:
        searches.append(1)
        return [WORKER, LLAMA]

    finder = ModelProcessFinder(reader, None, lines, lambda port: None)
    for _ in range(10):
        reader.held[11] += 1
        found = finder.read()
        assert found is not None
        assert found.memory.held_bytes == reader.held[11]
    assert len(searches) == 1


def test_finder_searches_at_once_when_the_known_process_is_gone() -> None:
    reader = TableReader({11: 5 * GIB})
    running = [WORKER]
    finder = ModelProcessFinder(reader, None, lambda: running, lambda port: None)
    assert finder.read() is not None
    del reader.held[11]
    running[:] = [IDLE_WORKER]
    reader.held[12] = 6 * GIB
    found = finder.read()
    assert found is not None
    assert found.pid == 12


def test_finder_that_found_nothing_does_not_search_every_time() -> None:
    searches: list[int] = []

    def lines() -> list[ProcessLine]:
        searches.append(1)
        return []

    now_s = 0.0
    finder = ModelProcessFinder(TableReader({}), None, lines, lambda port: None, lambda: now_s)
    assert [finder.read() for _ in range(15)] == [None] * 15
    assert len(searches) == 1
    now_s = SEARCH_AGAIN_S
    finder.read()
    assert len(searches) == 2


def test_a_process_that_was_read_is_not_read_again_until_all_are() -> None:
    read: list[int] = []

    def line_of(process: psutil.Process) -> ProcessLine:
        read.append(process.pid)
        return ProcessLine(process.pid, 0, "old")

    table = ProcessTable(line_of, lambda: time.time() + 100.0)
    for _ in range(10):
        assert os.getpid() in pids(table.lines())
    assert read.count(os.getpid()) == 1
    table.lines()
    assert read.count(os.getpid()) == 2


def test_a_new_process_is_read_again_for_it_may_become_another_program() -> None:
    become = "os.execv(sys.executable, [sys.executable, '-c', 'input()', 'later'])"
    script = f"import os, sys; sys.stdin.readline(); {become}"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as changing:
        assert changing.stdin is not None
        table = ProcessTable()
        assert "later'" in arguments_of(changing.pid, table)
        changing.stdin.write(b"go\n")
        changing.stdin.flush()
        deadline_s = time.monotonic() + 20.0
        while not (found := arguments_of(changing.pid, table)).endswith(" later"):
            assert time.monotonic() < deadline_s, found
        changing.communicate(b"end\n")


def arguments_of(pid: int, table: ProcessTable) -> str:
    return next(line.arguments for line in table.lines() if line.pid == pid)


def test_who_listens_is_asked_of_the_last_one_before_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        owner = PortOwner()
        if owner(port) is None:
            pytest.skip("this system tells only root who listens")
        with monkeypatch.context() as patched:
            patched.setattr(psutil, "net_connections", lambda kind: pytest.fail("all processes were asked"))
            assert owner(port) == os.getpid()
    assert owner(port) is None


def test_real_server_is_found_by_its_port() -> None:
    listening = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    )
    command = [sys.executable, "-c", f"{listening}; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        owner = listener_of(port)
        lines = ProcessTable().lines()
        server.communicate()
    if owner is None:
        pytest.skip("this system tells only root who listens")
    assert owner == server.pid
    assert server.pid in pids(lines)


def test_port_nobody_listens_on_has_no_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert listener_of(port) is None


def test_own_process_has_a_cost_as_soon_as_it_was_watched_for_a_while() -> None:
    now_s = 100.0
    own = OwnProcess(lambda: now_s)
    sample = own.sample()
    assert sample.rss_bytes > 1024**2
    assert sample.cpu_percent is None
    now_s += 1.0
    later = own.sample().cpu_percent
    assert later is not None
    assert later >= 0
    now_s += 0.1
    assert own.sample().cpu_percent is None


@pytest.mark.parametrize("reader", [memory_reader(), UnknownMemoryReader()])
def test_every_reader_for_this_machine_reads_machine_and_process(reader: UnknownMemoryReader) -> None:
    machine = reader.machine()
    assert machine.total_bytes is not None
    assert machine.used_bytes is not None
    assert 0 < machine.used_bytes <= machine.total_bytes
    ours = reader.process(os.getpid())
    assert ours is not None
    assert ours.held_bytes > 1024**2
