"""How a host starts a command, and how it ends everything that command started.

`PlainLauncher` is for the sandboxes that are none: nothing it starts is contained. Jails start the same bash in
walls of their own (see `jailed`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from agentui.events import ToolOutcome
from agentui.sandbox.image import TOOLS_FOLDER

MARK = "AGENTUI_MARK"
PASSED_ON = ("PATH", "USER", "LOGNAME", "TZ")
"""What of our own environment commands get to see; never keys or tokens."""
SHELL_ENVIRONMENT: Mapping[str, str] = {
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """One command to start. `private` is our folder with `bin`, `home`, `bash_env` and `gitconfig`."""

    text: str
    root: str
    cwd: str
    token: str
    private: Path
    bash: str

    @property
    def report(self) -> Path:
        """Where the shell says in which directory it ended."""
        return self.private / f"report-{self.token}"


class Processes(Protocol):
    """A started command and everything it started in turn. All methods block."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What was started, with its pipes."""
        ...

    @property
    def exit_code(self) -> int | None:
        """As a shell gives it: 128 and the signal's number for one ended by a signal; ``None``: not known."""
        ...

    @property
    def verdict(self) -> tuple[ToolOutcome, str] | None:
        """Outcome and reason where `enforce` ended something."""
        ...

    def stop(self) -> bool:
        """Stop all of it in place; False if there is nothing to stop."""
        ...

    def go_on(self) -> None:
        """Let it go on."""
        ...

    def enforce(self) -> None:
        """Look whether it keeps within its limits, and end what does not."""
        ...

    def end_everything(self) -> None:
        """Kill all of it and wait until it is gone."""
        ...

    def memory_bytes(self) -> int:
        """Resident memory of all of it."""
        ...


class Launcher(Protocol):
    """Starts commands. `watch_s` is how often `Processes.enforce` is called; ``None`` for never."""

    @property
    def watch_s(self) -> float | None:
        """Seconds between two looks at the limits."""
        ...

    def root(self, folder: str) -> str:
        """The copy's root as commands see it."""
        ...

    def prepare(self, private: Path, bash: str) -> None:
        """Get ready; `private` is laid out.

        Raises:
            SandboxUnavailable: If commands cannot be started this way on this machine.
        """
        ...

    def launch(self, launch: Launch) -> Processes:
        """Start a command.

        Raises:
            OSError: If no process could be started.
        """
        ...


class PlainLauncher:
    """Starts bash as it is, in the copy's folder.

    Args:
        environment: Our own, of which little is passed on.
    """

    watch_s: float | None = None

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def root(self, folder: str) -> str:
        """The folder itself."""
        return folder

    def prepare(self, private: Path, bash: str) -> None:
        """Nothing to get ready."""

    def launch(self, launch: Launch) -> Processes:
        """Start bash in a session of its own."""
        return start_marked(
            [launch.bash, "-c", "--", launch.text], launch, host_environment(launch, self._environment)
        )


def host_environment(launch: Launch, environment: Mapping[str, str]) -> dict[str, str]:
    """What a command on the host gets to see: `edit` first on PATH, a home of its own, none of our keys."""
    private = launch.private
    kept = {name: environment[name] for name in PASSED_ON if name in environment}
    return {
        **SHELL_ENVIRONMENT,
        **kept,
        "PATH": f"{private}/bin:{kept.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
        "HOME": f"{private}/home",
        "TMPDIR": f"{private}/home",
        "LANG": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
        "BASH_ENV": f"{private}/bash_env",
        "AGENTUI_REPORT": f"{launch.report}:{launch.token}",
        MARK: launch.token,
        "GIT_CONFIG_GLOBAL": f"{private}/gitconfig",
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def start_marked(argv: list[str], launch: Launch, environment: Mapping[str, str]) -> MarkedProcesses:
    """Start a command whose processes all carry its mark in their environment.

    Raises:
        OSError: If it cannot be started.
    """
    process = subprocess.Popen(
        argv,
        cwd=os.path.join(launch.root, launch.cwd),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    return MarkedProcesses(process, launch.token)


class MarkedProcesses:
    """Processes found by their group, and by the mark in their environment."""

    verdict: tuple[ToolOutcome, str] | None = None

    def __init__(self, process: subprocess.Popen[bytes], token: str) -> None:
        self.process = process
        self._token = token
        # Read like those it is compared with: what psutil says may be off from the clock by a second.
        self._started_at_s = psutil.Process(process.pid).create_time()

    @property
    def exit_code(self) -> int | None:
        """As a shell gives it."""
        code = self.process.returncode
        return code if code is None or code >= 0 else 128 - code

    def stop(self) -> bool:
        """Stop the group; processes in sessions of their own go on."""
        return self._signal_group(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the group go on."""
        self._signal_group(signal.SIGCONT)

    def enforce(self) -> None:
        """There is no limit."""

    def end_everything(self) -> None:
        """Kill the group, then whoever left it but still carries our mark; until nobody is found."""
        self._signal_group(signal.SIGKILL)
        found: list[psutil.Process] = []
        for _ in range(10):
            found = self._marked()
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not found:
                break
            psutil.wait_procs(found, timeout=0.5)
        else:
            _log.warning("processes of a command could not be ended: %s", found)
        self.process.wait()

    def memory_bytes(self) -> int:
        """Resident memory of all of them. Looks at every process of the machine."""
        total = 0
        for process in self._marked():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def _signal_group(self, number: signal.Signals) -> bool:
        """Whether there was anybody to get it."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _marked(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_young = process.create_time() >= self._started_at_s
                if (
                    is_young
                    and process.environ().get(MARK) == self._token
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found


def find_bash() -> str | None:
    """A bash of this machine; never one from a folder of the user's."""
    return shutil.which("bash", path="/bin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")


def host_tools() -> tuple[str, ...]:
    """The programs of the host that a jail's commands get to see. Reads a file."""
    text = (TOOLS_FOLDER.parent / "host_tools").read_text("ascii")
    return tuple(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
