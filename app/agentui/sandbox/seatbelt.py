"""A jail of macOS's own Seatbelt, by `sandbox-exec`. Not verified on a Mac: used only where asked for by name.

Everything is denied, then what a shell needs is allowed: the tools by name, the system's libraries to read, the
copy and a private folder to write. Paths come in as parameters, so no name of a project is ever part of a rule.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentui.errors import SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox.host_launch import Launch, Processes, host_environment, host_tools, start_marked
from agentui.sandbox.selftest import CheckName

PROGRAM = "/usr/bin/sandbox-exec"
SEARCH_PATH = "/usr/bin:/bin"
PROBE_TIMEOUT_S = 10.0
GIT = "/Library/Developer/CommandLineTools/usr"
SYSCTLS = (
    "hw.activecpu",
    "hw.byteorder",
    "hw.cachelinesize",
    "hw.cpufamily",
    "hw.cputype",
    "hw.logicalcpu",
    "hw.machine",
    "hw.memsize",
    "hw.ncpu",
    "hw.pagesize",
    "hw.physicalcpu",
    "kern.argmax",
    "kern.hostname",
    "kern.maxfilesperproc",
    "kern.osproductversion",
    "kern.osrelease",
    "kern.ostype",
    "kern.osversion",
    "kern.version",
)

NOT_GIVEN: Mapping[str, str] = {
    "verified": "experimental: not verified on a Mac",
    "limits": "no limits on memory, processors and processes",
    "processes": "background processes are found by a mark; one that hides it may stay",
    "freeze": "a command in a session of its own is not frozen",
}
"""What Docker's sandbox holds and this one does not, or nobody has seen it hold."""


class Seatbelt:
    """Starts each command under one profile."""

    watch_s: float | None = None

    @property
    def not_given(self) -> Mapping[str, str]:
        """What it does not hold."""
        return NOT_GIVEN

    @property
    def given_up(self) -> tuple[CheckName, ...]:
        """Nothing: all that the self-test tries must fail."""
        return ()

    @property
    def facts(self) -> SandboxFacts:
        """What it is."""
        return SandboxFacts(
            kind="seatbelt",
            label="seatbelt (experimental), no network",
            is_isolated=True,
            notes=tuple(NOT_GIVEN.values()),
        )

    def root(self, folder: str) -> str:
        """The folder itself: there is no other view of the files."""
        return folder

    def prepare(self, private: Path, bash: str) -> None:
        """Write the profile and try it.

        Raises:
            SandboxUnavailable: If this is no Mac, or the profile is not accepted.
        """
        if sys.platform != "darwin":
            raise SandboxUnavailable("Seatbelt is for macOS only", hint="Use Docker or bubblewrap here.")
        (private / "seatbelt.sb").write_text(profile(host_tools()))
        command = [*_arguments(private, str(private), "none"), "/bin/bash", "-c", "exit 42"]
        try:
            tried = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxUnavailable(f"{PROGRAM} cannot be run: {error}") from error
        if tried.returncode != 42:
            said = tried.stderr.decode("utf-8", "replace").strip() or f"exit code {tried.returncode}"
            raise SandboxUnavailable(f"Seatbelt does not accept the profile: {said}", hint="Use Docker here.")

    def launch(self, launch: Launch) -> Processes:
        """Start a command."""
        launch.report.touch()
        argv = [
            *_arguments(launch.private, launch.root, str(launch.report)),
            "/bin/bash",
            "-c",
            "--",
            launch.text,
        ]
        environment = host_environment(launch, {"PATH": SEARCH_PATH, "USER": os.environ.get("USER", "")})
        return start_marked(argv, launch, environment)


def profile(tools: Sequence[str]) -> str:
    """The rules, in Seatbelt's own language; COPY, PRIVATE and REPORT are parameters."""
    names = sorted(name for name in tools if name.isascii() and '"' not in name and "\\" not in name)
    programs = "\n".join(
        f'  (literal "{folder}/{name}")' for folder in SEARCH_PATH.split(":") for name in names
    )
    sysctls = "\n".join(f'  (sysctl-name "{name}")' for name in SYSCTLS)
    return f"""(version 1)
(deny default)
(allow process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow process-exec
{programs}
  (literal "{GIT}/bin/git")
  (subpath "{GIT}/libexec/git-core")
  (subpath (string-append (param "PRIVATE") "/bin")))
(allow sysctl-read
{sysctls})
(allow file-read-metadata)
(allow file-read*
  (literal "/")
  (subpath "/bin")
  (subpath "/usr/bin")
  (subpath "/usr/lib")
  (subpath "/usr/share")
  (subpath "/System/Library")
  (subpath "/System/Volumes/Preboot/Cryptexes")
  (subpath "/private/var/db/dyld")
  (subpath "{GIT}")
  (literal "/private/var/select/sh")
  (literal "/dev/random")
  (literal "/dev/urandom")
  (literal "/dev/zero")
  (subpath (param "PRIVATE"))
  (subpath (param "COPY")))
(allow file-read* file-write-data file-ioctl
  (literal "/dev/null")
  (literal "/dev/dtracehelper")
  (subpath "/dev/fd"))
(allow file-write*
  (literal (param "REPORT"))
  (subpath (string-append (param "PRIVATE") "/home"))
  (subpath (param "COPY")))
"""


def _arguments(private: Path, copy: str, report: str) -> list[str]:
    values = {"COPY": copy, "PRIVATE": str(private), "REPORT": report}
    parameters = [word for name, value in values.items() for word in ("-D", f"{name}={value}")]
    return [PROGRAM, *parameters, "-f", str(private / "seatbelt.sb")]
