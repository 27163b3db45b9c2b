"""The dashboard in a terminal that goes away: the process ends, and its run is saved."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agentui.paths import places
from agentui.session.listing import summarise
from agentui.session.store import SessionStore
from agentui.session.verify import verify
from tests.flows.test_headless import AGENTUI, environment

PATIENCE_S = 60


@dataclass
class Program:
    """The demo as the leader of its own terminal's session."""

    process: subprocess.Popen[bytes]
    master: int

    def wait_until_shown(self, words: bytes) -> None:
        seen = b""
        while words not in seen:
            ready, _, _ = select.select([self.master], [], [], PATIENCE_S)
            assert ready, seen[-2000:]
            seen = (seen + os.read(self.master, 1 << 16))[-100_000:]


@pytest.fixture
def program() -> Iterator[Program]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [*AGENTUI, "--demo", "--demo-speed", "2"],
        env={**environment(), "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    running = Program(process, master)
    yield running
    process.kill()
    process.wait()
    os.close(running.master)


def is_saved() -> bool:
    (info,) = SessionStore(places().sessions).sessions()
    assert verify(info.journal).is_clean
    return summarise(info).is_saved


def test_a_terminal_that_is_closed_saves_the_run_and_ends_the_process(program: Program) -> None:
    program.wait_until_shown(b"generating")
    os.close(program.master)
    program.master = os.open(os.devnull, os.O_RDONLY)
    assert program.process.wait(PATIENCE_S) == 0
    assert is_saved()
