"""Pi on this machine, as a child in a group of its own. Its commands still run in the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from agentui.backends.gateway import Gateway
from agentui.errors import HarnessUnavailable, UsageError
from agentui.harness.pi.install import PiInstallation, find_pi
from agentui.harness.pi.launch import PiStart

CHUNK_BYTES = 1 << 16
ENDING_S = 2.0
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What of our own environment Pi gets to see: no keys, no proxies."""
_LAST_WORDS = 20


class HostProcess:
    """A child with pipes. Everything in its group ends with it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._listening = asyncio.create_task(self._listen(), name="Pi's standard error")

    async def read(self) -> bytes:
        """See `PiProcess.read`."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(CHUNK_BYTES)

    async def write(self, data: bytes) -> None:
        """See `PiProcess.write`."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(4096):
            self._words.extend(data.decode("utf-8", "replace").splitlines())

    def last_words(self) -> str:
        """See `PiProcess.last_words`."""
        return "\n".join(line for line in self._words if line.strip())[-2000:]

    async def wait(self) -> int:
        """See `PiProcess.wait`."""
        code = await self._process.wait()
        await asyncio.wait({self._listening}, timeout=0.5)
        return code

    async def end(self) -> None:
        """Close standard input, which ends Pi in order; then the group by force."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), ENDING_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


class HostPlace:
    """Runs the Pi that is installed in `folder` on this machine; see `PiPlace`."""

    kind = "host"
    label = "on this machine"

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._installation: PiInstallation | None = None
        self._environment = os.environ if environment is None else environment

    @property
    def version(self) -> str:
        """See `PiPlace.version`."""
        return self._installation.version if self._installation is not None else ""

    async def serve(self, gateway: Gateway) -> str:
        """See `PiPlace.serve`: a loopback port."""
        self._installation = await find_pi(self._folder)
        try:
            port = await gateway.listen_loopback()
        except UsageError as error:
            raise HarnessUnavailable(error.message, hint=error.hint) from error
        return f"http://127.0.0.1:{port}/v1"

    async def is_open(self) -> bool:
        """See `PiPlace.is_open`: a port of ours is there as long as we are."""
        return True

    def seen(self, path: Path) -> str:
        """See `PiPlace.seen`."""
        return str(path)

    async def launch(self, start: PiStart) -> HostProcess:
        """See `PiPlace.launch`."""
        installation = self._installation or await find_pi(self._folder)
        program = (str(installation.node), str(installation.entry))
        environment = {name: self._environment[name] for name in PASSED_ON if name in self._environment}
        environment |= {"HOME": str(start.folders.private), **start.environment}
        try:
            process = await asyncio.create_subprocess_exec(
                *program,
                *start.arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=start.folders.workdir,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise HarnessUnavailable(
                f"Pi could not be started with {program[0]}: {error.strerror or error}",
                hint="install it again: agentui pi install",
            ) from error
        return HostProcess(process)

    async def aclose(self) -> None:
        """See `PiPlace.aclose`; nothing is held beside the process."""
