"""What the program costs before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Each takes from tenths of a second to a second; only the command that needs one may pay for it.
SLOW = {
    "openai",
    "docker",
    "textual",
    "aiohttp",
    "websockets",
    "plotext",
    "httpx",
    "rich",
    "psutil",
    "requests",
}

_TELL = """
import sys
{program}
print("LOADED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def loaded_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TELL.format(program=program)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "program",
    [
        "import agentui.cli",
        "from agentui.cli import main; main(['--help'])",
        "from agentui.cli import main; main(['--version'])",
        "from agentui.cli import main; main(['models', '--help'])",
        "from agentui.cli import main; main(['doctor', '--help'])",
        "from agentui.cli import main; main(['replay', '--help'])",
    ],
)
def test_the_command_line_loads_nothing_slow(program: str) -> None:
    loaded = loaded_by(program)
    assert "agentui" in loaded
    assert loaded & SLOW == set()


def test_wire_loads_no_client_before_it_is_used() -> None:
    assert loaded_by("import agentui.wire") & {"openai", "docker", "textual", "aiohttp", "websockets"} == set()


def test_the_check_sees_what_is_loaded() -> None:
    assert "textual" in loaded_by("import textual")
