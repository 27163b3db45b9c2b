"""The folder of a session that runs commands on the host goes with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agentui.sandbox.private_folder import PREFIX, PrivateFolder

HOLD = """
import sys
from agentui.sandbox.private_folder import PrivateFolder
print(PrivateFolder().path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, here and in what it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_that_is_removed_is_gone(temporary: Path) -> None:
    folder = PrivateFolder()
    (folder.path / "bin").mkdir()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_session_left_is_removed_and_what_a_living_one_holds_is_not(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        held = Path(other.stdout.readline().strip())
        PrivateFolder().remove()
        assert held.is_dir()
        other.kill()
        other.wait()
        PrivateFolder().remove()
        assert not held.exists()


def test_a_link_or_a_folder_that_has_no_lock_yet_is_left_alone(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.write_text("kept")
    (temporary / f"{PREFIX}new").mkdir()
    trap = temporary / f"{PREFIX}trap"
    trap.mkdir()
    os.symlink(elsewhere, trap / "lock")
    PrivateFolder().remove()
    assert sorted(path.name for path in temporary.iterdir()) == [f"{PREFIX}new", f"{PREFIX}trap", "elsewhere"]
