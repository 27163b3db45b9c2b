from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from agentui.cli.outputs import forget_unread
sys.stdout.write("x")
"""


def environment() -> dict[str, str]:
    """Ours, with outputs that are buffered as they are by default."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(("last", "code"), [("forget_unread()", 0), ("", 120)], ids=["forgotten", "left"])
def test_what_nobody_reads_of_standard_output_costs_no_exit_code_once_it_is_forgotten(
    last: str, code: int
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT + last],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == code
    assert bool(done.stderr) is bool(code)


def test_an_output_that_was_closed_before_is_no_error() -> None:
    script = "from agentui.cli.outputs import forget_unread; forget_unread()"
    shell = f"exec {sys.executable} -c '{script}' >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", shell], env=environment(), check=False).returncode == 0
