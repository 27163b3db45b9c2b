"""The real program, killed with SIGKILL at random points of a scripted run, goes on and loses nothing.

`AGENTUI_KILLS` is the number of kills (8 unless set), `AGENTUI_KILL_SEED` the first seed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentui.history import open_call_ids
from agentui.paths import places
from agentui.run.resumed import resumed_from
from agentui.session.journal import read_journal
from agentui.session.store import SessionStore
from agentui.session.verify import verify

KILLS = int(os.environ.get("AGENTUI_KILLS", "8"))
FIRST_SEED = int(os.environ.get("AGENTUI_KILL_SEED", "1"))
PROGRAM = [sys.executable, "-P", "-m", "agentui"]
DEMO = ["-p", "--demo", "--demo-speed", "1000", "--mode", "json"]


def environment(home: Path) -> dict[str, str]:
    """No container engine, so that the demo is the same everywhere; a place of its own for everything."""
    return {**os.environ, "AGENTUI_HOME": str(home), "DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def run(home: Path, *more: str, kill_after: int | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Run the demo to its end, or kill it as soon as it printed so many events."""
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(
        [*PROGRAM, *DEMO, *more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(home),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(json.loads(line))
            if len(lines) == kill_after:
                os.kill(process.pid, signal.SIGKILL)
                break
    return process.returncode, lines


def files_of(home: Path) -> dict[str, bytes]:
    """The files of the one scratch project."""
    (project,) = (home / "cache" / "demo").glob("*/shop")
    return {str(p.relative_to(project)): p.read_bytes() for p in project.rglob("*") if p.is_file()}


def journal_of(home: Path) -> Path:
    (info,) = SessionStore(places({"AGENTUI_HOME": str(home)}).sessions).sessions()
    return info.journal


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The files after a run that nobody disturbs, and how many events it printed."""
    home = tmp_path_factory.mktemp("whole")
    code, lines = run(home)
    assert code == 0
    assert lines[-1]["reason"] == "done"
    return files_of(home), len(lines)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + KILLS))
def test_a_run_killed_at_a_random_point_goes_on_to_done_with_the_same_files(
    seed: int, undisturbed: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    files, events = undisturbed
    chance = random.Random(seed)
    kill_after = chance.randint(1, events - 1)
    print(f"seed {seed}: killed after event {kill_after} of {events}")
    code, _ = run(tmp_path, kill_after=kill_after)
    assert code == -signal.SIGKILL
    while chance.random() < 0.3 and not has_ended(tmp_path):
        kill_after = chance.randint(1, events // 2)
        print(f"and again after event {kill_after}")
        run(tmp_path, "-c", kill_after=kill_after)
    verdict = verify(journal_of(tmp_path))
    assert verdict.findings == ()
    for _ in range(2):  # the second time there is nothing left to do
        code, lines = run(tmp_path, "-c")
        assert (code, lines[-1]["type"], lines[-1]["reason"]) == (0, "RunEnded", "done")
    assert files_of(tmp_path) == files
    assert verify(journal_of(tmp_path)).is_clean
    state = resumed_from(read_journal(journal_of(tmp_path)).records)
    assert open_call_ids(state.messages) == []
    assert state.closings == ()


def has_ended(home: Path) -> bool:
    """Whether the run was done before the kill came: then there is nothing to go on with."""
    events = [recorded.event for recorded in read_journal(journal_of(home)).records]
    return resumed_from(read_journal(journal_of(home)).records).unfinished is None and any(
        type(event).__name__ == "RunEnded" for event in events
    )
