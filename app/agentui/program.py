"""Run another program to its end, with nothing left of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def run_program(
    argv: Sequence[str], folder: Path, environ: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a program in `folder`, with nothing to read, and return what it wrote. Blocks for up to `timeout_s`.

    It is a group of its own, which is killed at the end: also what it left behind, which would hold the pipes
    or outlive us.

    Raises:
        OSError: If it cannot be started.
        subprocess.TimeoutExpired: If it did not end in time.
    """
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=timeout_s)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return subprocess.CompletedProcess(argv, process.returncode, out, said)
