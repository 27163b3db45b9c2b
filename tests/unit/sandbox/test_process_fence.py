from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentui.sandbox.process_fence import PREFIX, ProcessFence, make_fence

LIMIT = 12


@pytest.fixture
def fence() -> Iterator[ProcessFence]:
    made = make_fence(LIMIT)
    if made is None:
        pytest.skip("no control group of processes can be made here: this needs root and a writable cgroup")
    yield made
    made.remove()


def test_root_too_can_start_no_more_than_the_limit(fence: ProcessFence) -> None:
    script = (
        "read -r; for ((i = 0; i < 100; i++)); do sleep 60 & done 2>/dev/null; jobs -p | wc -l; kill $(jobs -p)"
    )
    process = subprocess.Popen(
        ["bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    fence.add(process.pid)
    # Bash tries again for half a minute where it can start nothing: so it is asked from outside.
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    folder = fence.folder
    while len((folder / "cgroup.procs").read_text().split()) < LIMIT:
        assert process.poll() is None
    assert int((folder / "pids.current").read_text()) == LIMIT
    for pid in (folder / "cgroup.procs").read_text().split():
        os.kill(int(pid), 9)
    process.communicate()


def test_no_group_is_left_behind(fence: ProcessFence) -> None:
    folder = fence.folder
    dead = folder.parent / f"{PREFIX}999999999-aa"
    dead.mkdir()
    fence.remove()
    assert not folder.exists()
    again = make_fence(LIMIT)
    assert again is not None
    again.remove()
    assert not dead.exists()


def test_where_none_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert make_fence(LIMIT, iter([tmp_path / "missing", Path("/proc/self"), tmp_path])) is None
    assert list(tmp_path.iterdir()) == []
