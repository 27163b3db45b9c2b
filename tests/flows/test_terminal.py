"""The dashboard in a real terminal (tmux), on the demo: as a user starts it, types, and looks at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

PATIENCE_S = 90
"""Given up after so long; a wait for a condition ends as soon as it holds."""


class Terminal:
    """A tmux server of its own with one pane."""

    def __init__(self, folder: Path, columns: int, lines: int) -> None:
        self._socket = str(folder / "tmux.sock")
        self._size = (str(columns), str(lines))

    def start(self, command: str) -> None:
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", self._size[0], "-y", self._size[1], command)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def wait_for(self, what: str | Callable[[str], bool]) -> str:
        """The screen as soon as it shows `what` (a regular expression, or a test of it)."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            shown = self.screen()
            if what(shown) if callable(what) else re.search(what, shown):
                return shown
            time.sleep(0.1)  # tmux offers nothing to wait on
        raise AssertionError(f"never shown: {what}\n{self.screen()}")

    def close(self) -> None:
        self._tmux("kill-server")


def command(*arguments: str) -> str:
    """The program as a shell line; it leaves its exit code on the screen."""
    words = " ".join([sys.executable, "-P", "-m", "agentui", *arguments])
    # Not the variables of the tmux server, which a test machine may run already.
    kept = {k: v for k, v in os.environ.items() if k in ("HOME", "AGENTUI_HOME", "PATH", "LANG", "COLORTERM")}
    values = " ".join(f"{name}='{value}'" for name, value in kept.items())
    return (
        f"env -i {values} TERM=xterm-256color DOCKER_HOST=unix:///nonexistent {words}; echo exit=$?; sleep 600"
    )


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Callable[[int, int], Terminal]]:
    opened: list[Terminal] = []

    def make(columns: int, lines: int) -> Terminal:
        folder = tmp_path / f"t{len(opened)}"
        folder.mkdir()
        opened.append(Terminal(folder, columns, lines))
        return opened[-1]

    yield make
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize(("columns", "lines"), [(160, 45), (90, 50), (200, 15), (80, 24), (40, 10)])
def test_the_demo_starts_its_task_and_reaches_done_in_every_layout(
    terminals: Callable[[int, int], Terminal], columns: int, lines: int
) -> None:
    terminal = terminals(columns, lines)
    terminal.start(command("--demo", "--demo-speed", "25"))
    shown = terminal.wait_for(r"○ done")
    assert "simulated" in shown.splitlines()[0]
    assert "scripted" in shown.splitlines()[0]
    assert "exit=" not in shown
    for line in shown.splitlines():
        assert len(line) <= columns
    if columns > 100 and lines > 20:
        assert "exit 127" in shown
        assert "Context" in shown
        assert re.search(r"applied", shown)
    terminal.type("C-q")
    left = terminal.wait_for("exit=0")
    assert re.search(r"session \S+ · agentui replay", left.replace("\n", ""))


def test_pause_holds_with_no_request_open_and_a_steer_changes_what_the_model_does(
    terminals: Callable[[int, int], Terminal],
) -> None:
    terminal = terminals(160, 45)
    terminal.start(command("--demo", "--demo-speed", "4"))
    terminal.wait_for("generating")
    terminal.type("Space")
    terminal.wait_for("paused")
    terminal.type("-l", "keep the public names")
    terminal.wait_for("keep the public names")
    terminal.type("Enter")
    terminal.wait_for(lambda shown: "paused" in shown and "keep the public names" in shown)
    terminal.type("Space")
    terminal.wait_for("You said: .keep the public names")
    terminal.type("Escape")
    terminal.wait_for("interrupted")
    terminal.type("C-q")
    terminal.wait_for("exit=0")


def told(shown: str) -> list[str]:
    """What the screen of 160x45 says of the run: the transcript, the figures that have settled, tools, changes.

    Left out is what belongs to the program and not to the run (header, footer, prompt) and what is sampled on,
    or drawn at most every other second: the machine's memory and the curve. The scroll bars too: what was never
    in sight has an estimated height.
    """
    rows = shown.splitlines()[1:-1]
    left = [row[:87].rstrip() for row in rows[:-2]]
    right = [row[88:159].rstrip() for row in rows]
    # A replay does not offer to undo.
    right = [re.sub(r"─+", "─", row).replace("  /undo", "").rstrip("─") for row in right]
    figures = next((at for at, row in enumerate(right) if row.strip().startswith("Context")), 0)
    return [*left, *right[figures:]]


def test_replay_shows_the_same_run(terminals: Callable[[int, int], Terminal]) -> None:
    first = terminals(160, 45)
    first.start(command("--demo", "--demo-speed", "25"))
    ended = re.search(r"done · (\d+) turns", first.wait_for(r"done · \d+ turns"))
    assert ended is not None
    # Where the last turn's time went is told a moment later, and a replay has what was told when it began.
    first.wait_for(rf"Time +turn {ended[1]} ")
    sessions = sorted((Path(os.environ["AGENTUI_HOME"]) / "state" / "sessions").iterdir())
    second = terminals(160, 45)
    second.start(command("replay", str(sessions[-1]), "--speed", "max"))
    shown = second.wait_for(lambda shown: "○ done" in shown and told(shown) == told(first.screen()))
    transcript = [row[:88].strip() for row in shown.splitlines()[1:-3]]
    assert any(re.search(r"done · \d+ turns · \d+ commands", row) for row in transcript[-4:]), shown
    assert "Changes" in shown
    assert re.search(r"✓ +report/cli.py", shown), shown
    second.type("C-q")
    second.wait_for("exit=0")
    first.type("C-q")
    first.wait_for("exit=0")
