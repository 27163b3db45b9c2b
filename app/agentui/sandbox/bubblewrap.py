"""A jail of Linux namespaces, made by bubblewrap for each command: no network, no host files but tools.

Its root is an empty read-only tree; in it lie the host's libraries, and of the host's programs only those named
in `images/host_tools`. So there is no interpreter to mask: what is not on the list is not there.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from agentui.errors import SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox.bubblewrap_processes import (
    LOOK_S,
    OWN_PROCESSES,
    JailedProcesses,
    started,
)
from agentui.sandbox.host_launch import SHELL_ENVIRONMENT, Launch, Processes, host_tools
from agentui.sandbox.limits import MIB, SandboxLimits
from agentui.sandbox.process_fence import make_fence
from agentui.sandbox.seccomp import seccomp_filter
from agentui.sandbox.selftest import CheckName

WORKSPACE = "/workspace"
REPORT = "/run/agentui/report"
UID = "1000"
TIGHT_WATCH_S = 0.02
"""How often it is looked at how many processes there are, where the kernel does not count them."""
PROBE_TIMEOUT_S = 10.0
PROMISED = frozenset({"awk", "diff", "fd", "file", "git", "jq", "less", "make", "patch", "rg", "sed", "tree"})
"""Tools that the agent is told of; those that the machine lacks are named in the facts."""
DATA = (
    "/usr/lib/git-core",
    "/usr/libexec/git-core",
    "/usr/lib/file",
    "/usr/lib/locale",
    "/usr/lib/terminfo",
    "/usr/share/file",
    "/usr/share/git-core",
    "/usr/share/misc",
    "/usr/share/terminfo",
)
"""What the tools read beside their libraries."""
LIBRARIES = ("lib", "lib32", "lib64", "libx32")
MASKED = (
    "jvm",
    "go*",
    "llvm*",
    "node_modules",
    "nodejs",
    "ruby",
    "gcc",
    "python*",
    "perl*",
    "dotnet",
    "R",
    "erlang",
)
"""Folders of programs which interpret or compile, where a system keeps them among its libraries; hidden."""

NOT_GIVEN: Mapping[str, str] = {
    "noexec": "files of the workspace and of /tmp can be executed",
    "memory": "memory is watched, not fenced: what outgrows the limit is killed a moment later",
    "cpus": "commands may use every processor",
    "interpreters": "programs among the host's libraries that interpret code can be started by their full path",
    "pid1": "the first process of the jail belongs to the commands' user (it is bubblewrap itself)",
    "sysfs": "there is no /sys",
    "owner": "giving a file to another user fails with other words (Invalid argument)",
}
"""What Docker's sandbox holds and this one does not; the contract suite leaves out these and nothing else."""
PROCESSES_AS_ROOT = (
    "agentui runs as root and can make no control group: the number of processes is only watched"
)


class Bubblewrap:
    """Starts each command in new namespaces that end with it.

    Args:
        limits: Upper bounds for the commands.
        program: Bubblewrap; found on the usual paths when ``None``.
    """

    def __init__(self, limits: SandboxLimits | None = None, program: str | None = None) -> None:
        self._limits = limits or SandboxLimits()
        self._program = program or shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin") or ""
        self._arguments: tuple[str, ...] = ()
        self._filter: bytes | None = seccomp_filter(platform.machine())
        self._missing: tuple[str, ...] = ()
        self._is_root = os.getuid() == 0
        self._has_fence = False

    @property
    def watch_s(self) -> float:
        """Seconds between two looks."""
        return TIGHT_WATCH_S if self._is_root and not self._has_fence else LOOK_S

    @property
    def not_given(self) -> Mapping[str, str]:
        """What it does not hold."""
        given = dict(NOT_GIVEN)
        if self._is_root and not self._has_fence:
            given["processes"] = PROCESSES_AS_ROOT
        if self._filter is None:
            given["seccomp"] = f"system calls are not filtered on {platform.machine()}"
        return given

    @property
    def given_up(self) -> tuple[CheckName, ...]:
        """The one check that may fail."""
        return ("noexec",)

    @property
    def facts(self) -> SandboxFacts:
        """What it is; names the tools that this machine lacks after `prepare`."""
        missing = (f"not on this machine: {' '.join(self._missing)}",) if self._missing else ()
        return SandboxFacts(
            kind="bubblewrap",
            label="bubblewrap, no network",
            is_isolated=True,
            memory_limit_bytes=self._limits.memory_bytes,
            pids_limit=self._limits.pids,
            notes=(*self.not_given.values(), *missing),
        )

    def root(self, folder: str) -> str:
        """The same as in the container, wherever the copy lies."""
        return WORKSPACE

    def prepare(self, private: Path, bash: str) -> None:
        """Find the tools, and try an empty command.

        Raises:
            SandboxUnavailable: If this is no Linux, there is no bubblewrap, or it may make no namespaces here.
        """
        if sys.platform != "linux":
            raise SandboxUnavailable("bubblewrap is for Linux only", hint="Use Docker here.")
        if not self._program:
            raise SandboxUnavailable(
                "bubblewrap is not installed",
                hint="Install it (Debian, Ubuntu: sudo apt install bubblewrap), or start Docker.",
            )
        try:
            _lay_out_tools(private / "tools")
        except OSError as error:
            raise SandboxUnavailable(f"The jail's tools could not be laid out: {error}") from error
        (private / "passwd").write_text(f"agent:x:{UID}:{UID}:agent:/tmp/home:/bin/bash\n")
        (private / "group").write_text(f"agent:x:{UID}:\n")
        self._missing = tuple(name for name in sorted(PROMISED) if _find_tool(name) is None)
        if self._is_root and (fence := make_fence(self._limits.pids)):
            fence.remove()
            self._has_fence = True
        self._arguments = (self._program, *_walls(self._limits), *_files(private))
        try:
            tried = subprocess.run(
                [*self._arguments, "--", "/bin/bash", "-c", "exit 42"],
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxUnavailable(f"{self._program} cannot be run: {error}") from error
        if tried.returncode != 42:
            said = tried.stderr.decode("utf-8", "replace").strip() or f"exit code {tried.returncode}"
            raise SandboxUnavailable(
                f"bubblewrap can make no namespaces here: {said}",
                hint="Inside a container, or where AppArmor forbids user namespaces, it cannot: use Docker.",
            )

    def launch(self, launch: Launch) -> Processes:
        """Start a command, with its limits set before it runs."""
        launch.report.touch()
        fence = make_fence(self._limits.pids + OWN_PROCESSES) if self._is_root else None
        arguments = [
            *self._arguments,
            *("--bind", launch.root, WORKSPACE),
            *("--bind", str(launch.report), REPORT),
            *("--remount-ro", "/"),
            *("--chdir", f"{WORKSPACE}/{launch.cwd}" if launch.cwd else WORKSPACE),
            *("--setenv", "AGENTUI_REPORT", f"{REPORT}:{launch.token}"),
        ]
        shell = ["/bin/bash", "-c", "--", launch.text]
        try:
            process, init_pid = started(arguments, shell, self._filter, self._resource_limits(), fence)
        except OSError:
            if fence is not None:
                fence.remove()
            raise
        return JailedProcesses(process, init_pid, launch.root, self._limits, fence)

    def _resource_limits(self) -> Mapping[int, int]:
        limits = self._limits
        return {
            resource.RLIMIT_NOFILE: limits.open_files,
            resource.RLIMIT_CORE: 0,
            # Counted within the jail's own user namespace (Linux 5.14); root is exempt from it.
            resource.RLIMIT_NPROC: limits.pids,
            # For what grows faster than it is looked at.
            resource.RLIMIT_DATA: 2 * limits.memory_bytes,
        }


def _walls(limits: SandboxLimits) -> Iterator[str]:
    yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session")
    yield from ("--clearenv", "--cap-drop", "ALL", "--uid", UID, "--gid", UID, "--hostname", "sandbox")
    # A writable /proc/PID/mem lets dd put native code into another process.
    yield from ("--proc", "/proc", "--remount-ro", "/proc")
    yield from ("--dev", "/dev", "--size", str(8 * MIB), "--tmpfs", "/dev/shm", "--remount-ro", "/dev")
    yield from ("--size", str(limits.tmp_bytes), "--tmpfs", "/tmp", "--dir", "/tmp/home")


def _files(private: Path) -> Iterator[str]:
    yield from _libraries()
    for name in ("bin", *LIBRARIES):
        top = Path("/") / name
        if name == "bin" or top.is_symlink():
            yield from ("--symlink", f"usr/{name}", str(top))
        elif top.is_dir():
            yield from ("--ro-bind", str(top), str(top))
    yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")
    for source, target in (
        ("tools", "/usr/bin"),
        ("passwd", "/etc/passwd"),
        ("group", "/etc/group"),
        ("gitconfig", "/etc/gitconfig"),
        ("bin/edit", "/usr/local/bin/edit"),
        ("bin/check", "/usr/local/bin/check"),
        ("bash_env", "/usr/local/lib/agentui/bash_env"),
        ("report", "/usr/local/lib/agentui/report"),
    ):
        yield from ("--ro-bind", str(private / source), target)
    for name, value in {
        **SHELL_ENVIRONMENT,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp/home",
        "USER": "agent",
        "LANG": "C.UTF-8",
        "BASH_ENV": "/usr/local/lib/agentui/bash_env",
    }.items():
        yield from ("--setenv", name, value)


def _lay_out_tools(folder: Path) -> None:
    """Copies, some 20 MB: bubblewrap needs longer for each mount than the one before it."""
    folder.mkdir(exist_ok=True)
    for name in host_tools():
        tool = _find_tool(name)
        if tool is not None:
            shutil.copyfile(tool, folder / name)
            (folder / name).chmod(0o555)


def _libraries() -> Iterator[str]:
    for name in LIBRARIES:
        folder = Path("/usr") / name
        of_machine = [path for path in folder.glob("*-linux-*") if path.is_dir() and not path.is_symlink()]
        for library in of_machine or [folder]:
            yield from ("--ro-bind-try", str(library), str(library))
        for pattern in () if of_machine else MASKED:
            for hidden in folder.glob(pattern):
                if hidden.is_dir() and not hidden.is_symlink():
                    yield from ("--tmpfs", str(hidden), "--remount-ro", str(hidden))
    for path in DATA:
        if Path(path).exists():
            yield from ("--ro-bind-try", path, path)


def _find_tool(name: str) -> Path | None:
    """The file behind a tool's name; Debian has `fd` under another one."""
    for folder in ("/usr/bin", "/bin"):
        for candidate in (name, "fdfind") if name == "fd" else (name,):
            path = Path(folder) / candidate
            if path.is_file() and os.access(path, os.X_OK):
                return path.resolve()
    return None
