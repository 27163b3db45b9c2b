from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.unit.cli.sessions import a_run, recorded_session


def _opened(journal: Path, term: str = "xterm-256color") -> tuple[subprocess.Popen[bytes], int]:
    main_end, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "agentui", "replay", str(journal), "--speed", "max"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env={**os.environ, "TERM": term, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(terminal)
    return process, main_end


def _read_until(fd: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(fd, 65536)


def _read_to_the_end(fd: int) -> None:
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        return


@pytest.mark.parametrize("end", ["key", signal.SIGTERM, signal.SIGHUP])
def test_a_replay_opens_on_the_dashboard_and_ends_when_asked(end: str | signal.Signals) -> None:
    process, main_end = _opened(recorded_session(Path.cwd(), a_run("look at the report")))
    _read_until(main_end, b"look at the report")
    if isinstance(end, signal.Signals):
        process.send_signal(end)
    else:
        os.write(main_end, b"\x11")
    _read_to_the_end(main_end)
    assert process.wait(60) == 0
    os.close(main_end)


def test_a_terminal_that_cannot_place_text_gets_a_sentence_that_points_to_print() -> None:
    process, main_end = _opened(recorded_session(Path.cwd(), a_run("look at the report")), "dumb")
    _read_until(main_end, b"agentui -p TASK")
    _read_to_the_end(main_end)
    assert process.wait(60) == 2
    os.close(main_end)
