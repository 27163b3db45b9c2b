from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from agentui.program import run_program

HANGS = "echo $$ >pid; sleep 600 & sleep 600"


def is_gone(group: int, within_s: float = 20.0) -> bool:
    """Whether a group of processes ends: what was killed is a member until its new parent has seen it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        os.sched_yield()
    return False


def run(folder: Path, script: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[bytes]:
    return run_program(["/bin/sh", "-c", script], folder, os.environ, timeout_s)


def test_what_a_program_writes_and_its_code_come_back(tmp_path: Path) -> None:
    done = run(tmp_path, "pwd; cat; echo no >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (f"{tmp_path}\n".encode(), b"no\n", 3)


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run(tmp_path, HANGS, 0.3)
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_what_a_program_leaves_behind_is_killed(tmp_path: Path) -> None:
    done = run(tmp_path, "sleep 600 >/dev/null 2>&1 & echo $$")
    assert is_gone(int(done.stdout))
