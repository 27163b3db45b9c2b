from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentui.paths import Places, places
from agentui.wire.demo import Scratch


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return places({"HOME": str(tmp_path), "AGENTUI_HOME": str(tmp_path / "own")})


def ended(where: Places, age_s: int) -> Path:
    scratch = Scratch(where)
    where.workspace(scratch.project).mkdir(parents=True)
    scratch.close()
    began_s = scratch.project.parent.stat().st_mtime - age_s
    os.utime(scratch.project.parent, (began_s, began_s))
    return scratch.project


def test_of_ended_demos_only_the_latest_project_is_kept(where: Places) -> None:
    oldest, older = ended(where, 300), ended(where, 200)
    running = Scratch(where)
    latest = ended(where, 100)
    now = Scratch(where)
    assert [project.exists() for project in (oldest, older, latest)] == [False, False, True]
    assert [where.workspace(project).exists() for project in (oldest, older, latest)] == [False, False, True]
    assert (running.project / "report.py").exists()
    assert (now.project / "report.py").exists()
    running.close()
    now.close()


def test_the_project_of_a_demo_that_was_killed_counts_as_ended(where: Places) -> None:
    program = (
        "import sys; from agentui.paths import places; from agentui.wire.demo import Scratch\n"
        "s = Scratch(places()); print(s.project, flush=True); sys.stdin.read()"
    )
    environment = {
        **os.environ,
        "AGENTUI_HOME": str(where.state.parent),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        killed = Path(process.stdout.readline().strip())
        ended(where, 100)
        assert killed.exists()
        process.kill()
    ended(where, -100)
    Scratch(where).close()
    assert not killed.exists()
