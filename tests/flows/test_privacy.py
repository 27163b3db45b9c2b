"""Nothing leaves the machine: the whole program, watched at its connects and look-ups, speaks with one address.

Watched twice: by Python's own audit events in every Python process, and by strace in every process there is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.flows.test_terminal import Terminal

AGENTUI = [sys.executable, "-P", "-m", "agentui"]
NO_ENGINE = "/nonexistent/docker.sock"
DEMO = ["--demo", "--demo-speed", "50"]
PATIENCE_S = 120

WATCHER = """
import json, os, sys
_NAMES = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
def _watch(name, args):
    if name in _NAMES and args[1] is not None:
        said = ["connect", args[1] if isinstance(args[1], str) else list(args[1])[:2]]
    elif name in _LOOKUPS:
        said = ["look-up", str(args[0])]
    else:
        return
    fd = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (json.dumps(said, default=repr) + "\\n").encode())
    os.close(fd)
sys.addaudithook(_watch)
"""

NUMERIC = re.compile(r"[\d.]+|[0-9a-f:]*:[0-9a-f:]*|None|")


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Where connects are noted, and the environment in which all Python processes note them."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCHER)
    record = tmp_path / "connects"
    record.touch()
    paths = [str(tmp_path / "watch"), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "WATCHED": str(record), "DOCKER_HOST": f"unix://{NO_ENGINE}"}
    return record, {**os.environ, **own}


def connects(record: Path) -> list[tuple[str, str, int]]:
    """Internet addresses that were connected to; unix sockets and look-ups are judged here."""
    found = []
    for line in record.read_text().splitlines():
        what, address = json.loads(line)
        if what == "look-up":
            assert address == "localhost" or NUMERIC.fullmatch(address), f"a name was looked up: {address}"
        elif isinstance(address, str):
            assert address == NO_ENGINE, address
        else:
            found.append(("inet", str(address[0]), int(address[1])))
    return found


@contextmanager
def a_server() -> Iterator[str]:
    command = [*AGENTUI, "simulate", "--port", "0", "--unpaced", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def test_the_watcher_sees_what_it_should(watched: tuple[Path, dict[str, str]]) -> None:
    record, environment = watched
    program = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('203.0.113.9', 53))"
    )
    subprocess.run([sys.executable, "-P", "-c", program], env=environment, check=False)
    assert connects(record) == [("inet", "203.0.113.9", 53)]


def test_without_a_screen_only_the_server_that_was_named_is_spoken_with(
    watched: tuple[Path, dict[str, str]], project: Path
) -> None:
    record, environment = watched
    with a_server() as url:
        flags = ["-p", "--url", url, "--sandbox", "none"]
        done = subprocess.run(
            [*AGENTUI, *flags, "write unit tests for report.py"],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert {(host, port) for _, host, port in connects(record)} == {("127.0.0.1", urlsplit(url).port)}


def test_the_demo_speaks_with_its_own_server_only(watched: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    record, environment = watched
    done = subprocess.run(
        [*AGENTUI, "-p", *DEMO, "--mode", "json"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    port = urlsplit(next(r["backend"] for r in records if r["type"] == "RunStarted")).port
    assert {(host, seen) for _, host, seen in connects(record)} == {("127.0.0.1", port)}


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_screen_speaks_with_its_own_server_only(
    watched: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    record, environment = watched
    kept = ("HOME", "AGENTUI_HOME", "PATH", "LANG", "PYTHONPATH", "WATCHED", "DOCKER_HOST")
    values = " ".join(f"{name}='{environment[name]}'" for name in kept if name in environment)
    terminal = Terminal(tmp_path, 120, 40)
    try:
        terminal.start(f"env -i {values} TERM=xterm-256color {' '.join([*AGENTUI, *DEMO])}; sleep 600")
        terminal.wait_for(r"○ done")
    finally:
        terminal.close()
    addresses = {(host, port) for _, host, port in connects(record)}
    assert len(addresses) == 1
    assert next(iter(addresses))[0] == "127.0.0.1"


STRACE = [
    *("strace", "-f", "-qq", "-s", "0", "--seccomp-bpf"),
    *("-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none"),
]
INET = re.compile(r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(\"([^\"]+)\"|inet_pton\(AF_INET6, \"([^\"]+)\")")


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return (
        subprocess.run([*STRACE, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace here")
def test_no_process_of_a_run_connects_to_anything_else(project: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with a_server() as url:
        flags = ["-p", "--url", url, "--sandbox", "none"]
        done = subprocess.run(
            [*STRACE, "-o", str(trace), *AGENTUI, *flags, "write unit tests for report.py"],
            cwd=project,
            env={**os.environ, "DOCKER_HOST": f"unix://{NO_ENGINE}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        seen = trace.read_text()
        addresses = {(v4 or v6, int(port)) for port, v4, v6 in INET.findall(seen)}
        assert addresses == {("127.0.0.1", urlsplit(url).port)}
        # `ls -l` asks the machine's own cache for the names of users, and systemd-inhibit keeps it awake.
        local = {"/var/run/nscd/socket", "/run/dbus/system_bus_socket", NO_ENGINE}
        assert set(re.findall(r'sun_path="([^"]+)"', seen)) <= local
