"""The shell's start file, on whatever bash is here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agentui.sandbox.image import TOOLS_FOLDER


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with a `python3` and a `perl` that must never start."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python3", "perl"):
        (folder / name).write_text("#!/bin/sh\necho STARTED\n")
        (folder / name).chmod(0o755)
    return folder


def bash(text: str, tools: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    found = shutil.which("bash")
    assert found is not None
    return subprocess.run(
        [found, "-c", text],
        env={"PATH": f"{tools}:/usr/bin:/bin", "BASH_ENV": str(TOOLS_FOLDER / "lib/bash_env"), **environment},
        capture_output=True,
    )


@pytest.mark.parametrize(
    "text",
    ["python3 -c 1", "perl -e 1", "bash -c 'python3 x'", "(python3)", "echo x | python3 -", "x=$(python3)"],
)
def test_an_interpreter_answers_127_and_one_sentence(tools: Path, text: str) -> None:
    done = bash(text, tools)
    assert (done.returncode, done.stdout) == (127, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"no interpreter" in done.stderr


def test_other_unknown_commands_answer_as_usual(tools: Path) -> None:
    done = bash("nothing-like-it", tools)
    assert done.returncode == 127
    assert done.stderr.endswith(b"nothing-like-it: command not found\n")


def test_the_outermost_shell_reports_and_its_children_do_not_see_how(tools: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    text = "cd /usr; bash -c 'cd /tmp; echo \"[$AGENTUI_REPORT]\"'; (cd /etc); exit 7"
    done = bash(text, tools, AGENTUI_REPORT=f"{report}:token")
    assert (done.returncode, done.stdout) == (7, b"[]\n")
    assert report.read_bytes() == b"token /usr\0"


@pytest.mark.parametrize("text", ["set -e; false", "set -euC; cd /usr; exit 3", "exit 0"])
def test_the_report_leaves_the_exit_status_alone(tools: Path, tmp_path: Path, text: str) -> None:
    expected = bash(text, tools).returncode
    for report in (tmp_path / "report", Path("/nowhere/report")):
        done = bash(text, tools, AGENTUI_REPORT=f"{report}:token")
        assert (done.returncode, done.stderr) == (expected, b"")
