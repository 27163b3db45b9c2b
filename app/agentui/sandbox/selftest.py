"""Prove a sandbox by trying to get out of it, through the same door as every command.

Settings that an engine accepts and ignores are known, so what it was asked for proves nothing. Each check is an
attempt from inside, and what can be seen from the host is looked at from the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Command, OutputChunk, Sandbox

CheckName = Literal["outside", "secret", "network", "python", "proc", "noexec", "processes"]
TIMEOUT_S = 20.0

# One command for all: each try prints `name=held` or `name=open ...`. The values are ours and hold no quotes.
_SCRIPT = r"""
outside=held
for folder in / /etc /usr /usr/local/bin /var /root /opt /dev "@HOST_FOLDER@"; do
    { : >"$folder/agentui-probe"; } 2>/dev/null && outside="open $folder"
done
echo "outside=$outside"
if { : <"@SECRET@"; } 2>/dev/null; then echo "secret=open @SECRET@"; else echo secret=held; fi
network=held
for address in 127.0.0.1/@PORT@ 1.1.1.1/53 169.254.169.254/80; do
    timeout 2 bash -c "exec 3<>/dev/tcp/$address" 2>/dev/null && network="open $address"
done
echo "network=$network"
python3 -c 1 2>/dev/null; [[ $? == 127 ]] && echo python=held || echo "python=open"
if { printf x >/proc/self/comm; } 2>/dev/null; then echo "proc=open /proc/self/comm"; else echo proc=held; fi
noexec=held
for folder in . /tmp /dev/shm; do
    cp "$(type -P true)" "$folder/.agentui-probe" 2>/dev/null || continue
    "$folder/.agentui-probe" 2>/dev/null && noexec="open $folder"
    rm -f "$folder/.agentui-probe"
done
echo "noexec=$noexec"
(sleep 1000 @MARKER@ 2>/dev/null || exec -a @MARKER@ sleep 1000) >/dev/null 2>&1 &
setsid bash -c 'exec -a @MARKER@ sleep 1000' >/dev/null 2>&1 &
"""
_LOOK = r"""
for file in /proc/[0-9]*/cmdline; do
    { IFS= read -r -d '' name <"$file"; } 2>/dev/null || continue
    [[ $name == @MARKER@ ]] && echo "processes=open ${file//[!0-9]/}" && exit
done
echo processes=held
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One attempt: whether the sandbox held, and what was reached if it did not."""

    name: CheckName
    held: bool
    detail: str = ""

    @property
    def meaning(self) -> str:
        """What was tried, in words."""
        return _MEANING[self.name]


_MEANING: dict[CheckName, str] = {
    "outside": "writing outside of the workspace",
    "secret": "reading a file of the host",
    "network": "connecting to the network",
    "python": "starting python",
    "proc": "writing to /proc",
    "noexec": "executing a file of the workspace or of /tmp",
    "processes": "leaving a process behind",
}


class SelfTestFailed(SandboxUnavailable):
    """Something did not hold; `checks` says what."""

    def __init__(self, message: str, checks: tuple[Check, ...], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.checks = checks


async def self_test(sandbox: Sandbox) -> tuple[Check, ...]:
    """Try everything once; two commands. Checks without an answer count as failed."""
    marker = f"agentui-probe-{secrets.token_hex(4)}"
    answers: dict[str, str] = {}
    async with _bait() as (folder, port):
        secret = folder / "secret"
        secret.write_text("x")
        values = {
            "@HOST_FOLDER@": str(folder),
            "@SECRET@": str(secret),
            "@PORT@": str(port.number),
            "@MARKER@": marker,
        }
        for script in (_SCRIPT, _LOOK):
            for key, value in values.items():
                script = script.replace(key, value)
            answers.update(await _answers(sandbox, script))
        if (folder / "agentui-probe").exists():
            answers["outside"] = f"open {folder}"
        # Where each command has process numbers of its own, the second command cannot see what the first left.
        if await asyncio.to_thread(_is_running, marker):
            answers["processes"] = "open, seen from the host"
    if port.was_reached:
        answers["network"] = "open a port of the host"
    return tuple(_check(name, answers.get(name, "no answer")) for name in _MEANING)


async def require_self_test(sandbox: Sandbox, given_up: Collection[CheckName] = ()) -> tuple[Check, ...]:
    """Run the self-test; `given_up` names what this sandbox openly does not promise.

    Raises:
        SelfTestFailed: If anything else did not hold; no command may run then.
    """
    checks = await self_test(sandbox)
    broken = [check for check in checks if not check.held and check.name not in given_up]
    if broken:
        found = "; ".join(f"{check.meaning} ({check.detail})" for check in broken)
        raise SelfTestFailed(
            f"The sandbox did not pass its self-test. What should fail went through: {found}",
            checks,
            hint="No command will run. Details: agentui sandbox selftest",
        )
    return checks


def _check(name: CheckName, answer: str) -> Check:
    return Check(name, answer == "held", "" if answer == "held" else answer.removeprefix("open").strip())


def _is_running(marker: str) -> bool:
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[:1] == [marker]:
                return True
    return False


async def _answers(sandbox: Sandbox, script: str) -> dict[str, str]:
    output = bytearray()

    def collect(chunk: OutputChunk) -> None:
        if chunk.stream == "stdout":
            output.extend(chunk.data)

    await sandbox.run(Command(script, timeout_s=TIMEOUT_S), collect)
    lines = output.decode("utf-8", "replace").splitlines()
    return {name: answer for name, separator, answer in (line.partition("=") for line in lines) if separator}


@dataclass(slots=True)
class _Port:
    number: int = 0
    was_reached: bool = False


@contextlib.asynccontextmanager
async def _bait() -> AsyncIterator[tuple[Path, _Port]]:
    """A folder and a listening port of the host that a sandbox must not reach."""
    port = _Port()

    def reached(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port.was_reached = True
        writer.close()

    server = await asyncio.start_server(reached, "127.0.0.1", 0)
    try:
        port.number = int(server.sockets[0].getsockname()[1])
        with tempfile.TemporaryDirectory(prefix="agentui-bait-") as folder:
            yield Path(folder), port
    finally:
        server.close()
        await server.wait_closed()
