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
    return printed_by(_TELL.format(program=program))


def printed_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
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


# `Settings` is looked into while it is imported, and blocks inherit: `agentui.frozen` does not help those.
# Widgets have dataclasses, for they know nothing of agentui.
_DATACLASSES = """
import dataclasses
made = []
process = dataclasses._process_class
def counted(cls, *args):
    if cls.__module__.startswith("agentui."):
        made.append(cls.__qualname__)
    return process(cls, *args)
dataclasses._process_class = counted
import agentui.cli.task, agentui.cli.run_cmd, agentui.wire, agentui.tui.app
print("LOADED", *made)
"""


def test_hardly_any_class_is_compiled_by_dataclasses_before_the_first_frame() -> None:
    """Each costs as much as importing a small module; `agentui.frozen` is for these."""
    blocks = {"BlockBase", "MessageBlock", "ThinkingBlock", "CallBlock", "NoticeBlock", "QuestionBlock"}
    assert printed_by(_DATACLASSES) == {*blocks, "Settings", "SettingRule"}
