"""Run commands on the host itself, for the two sandboxes that are none: `scripted` and `none`.

The same shell as in the container as far as a host allows: a fresh bash per command, our `edit` first on PATH,
refused interpreters, a small environment, everything ended after the command. Nothing here contains a command.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

import psutil

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Command, CommandResult, OnOutput, OutputChunk
from agentui.sandbox.clock import RunningClock
from agentui.sandbox.directory import cwd_below, gone_message
from agentui.sandbox.image import TOOLS_FOLDER
from agentui.sandbox.settle import settled

OPEN_SHELL_START = TOOLS_FOLDER / "lib" / "report"
CHUNK_BYTES = 32 * 1024
BACKGROUND_GRACE_S = 2.0
"""How long output of background processes is taken after the command itself ended; engines do the same."""
MARK = "AGENTUI_MARK"
PASSED_ON = ("PATH", "USER", "LOGNAME", "TZ")
"""What of our own environment commands get to see; never keys or tokens."""

_log = logging.getLogger(__name__)


class HostRunner:
    """One command at a time in a folder of the host.

    Args:
        folder: The copy's root; must exist when a command runs.
        environment: Our own, of which little is passed on.
        has_interpreters: Whether the host's interpreters answer; else they are refused as in the image.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        has_interpreters: bool = False,
    ) -> None:
        self._folder = folder
        self._shell_start = OPEN_SHELL_START if has_interpreters else TOOLS_FOLDER / "lib" / "bash_env"
        self._environment = os.environ if environment is None else environment
        self._private: Path | None = None
        self._bash = ""
        self._running: _Running | None = None
        self._one_at_a_time = asyncio.Lock()

    def open(self) -> None:
        """Lay out the private folder with `edit` and the shell's start file. Blocks.

        Raises:
            SandboxUnavailable: If the host has no bash or no room.
        """
        bash = shutil.which("bash", path="/bin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
        if bash is None:
            raise SandboxUnavailable(
                "There is no bash on this machine", hint="Install bash, or use --sandbox docker."
            )
        self._bash = bash
        if self._private is not None:
            return
        try:
            private = Path(tempfile.mkdtemp(prefix="agentui-host-")).resolve()
            (private / "bin").mkdir()
            (private / "home").mkdir()
            # An installed package need not have kept the executable bit.
            for tool in ("edit", "check"):
                shutil.copyfile(TOOLS_FOLDER / "bin" / tool, private / "bin" / tool)
                (private / "bin" / tool).chmod(0o755)
            shutil.copyfile(self._shell_start, private / "bash_env")
            shutil.copyfile(TOOLS_FOLDER / "lib" / "report", private / "report")
            shutil.copyfile(TOOLS_FOLDER / "gitconfig", private / "gitconfig")
        except OSError as error:
            raise SandboxUnavailable(f"No private folder could be made for the commands: {error}") from error
        self._private = private

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run a command to its end; see the sandbox protocol. A second caller waits."""
        async with self._one_at_a_time:
            root = os.path.realpath(self._folder)
            folder = os.path.join(root, command.cwd)
            if not os.path.isdir(folder):
                return CommandResult("refused", None, 0.0, "", gone_message(folder))
            token = secrets.token_hex(8)
            process = await asyncio.to_thread(self._spawn, command.text, folder, token)
            running = _Running(process, token, RunningClock(command.timeout_s))
            self._running = running
            try:
                timed_out = await self._see_through(running, on_output)
            except asyncio.CancelledError:
                await settled(asyncio.to_thread(running.end_everything))
                raise
            finally:
                self._running = None
            wall_s = running.clock.elapsed_s
            cwd = cwd_below(self._reported(token), root, command.cwd)
        return _result(command, running.exit_code, wall_s, cwd, timed_out)

    async def freeze(self) -> bool:
        """Stop the running command and its clock; processes in sessions of their own go on."""
        running = self._running
        if running is None or running.clock.is_frozen or not running.signal_group(signal.SIGSTOP):
            return False
        running.clock.freeze()
        return True

    async def thaw(self) -> None:
        """Let it go on."""
        running = self._running
        if running is not None and running.clock.is_frozen:
            running.signal_group(signal.SIGCONT)
            running.clock.thaw()

    async def memory_bytes(self) -> int | None:
        """Resident memory of the running command's processes; 0 when none runs."""
        running = self._running
        return 0 if running is None else await asyncio.to_thread(running.memory_bytes)

    async def aclose(self) -> None:
        """End the running command and remove the private folder."""
        running, private = self._running, self._private
        if running is not None:
            await asyncio.to_thread(running.end_everything)
        self._private = None
        if private is not None:
            await asyncio.to_thread(shutil.rmtree, private, ignore_errors=True)

    async def _see_through(self, running: _Running, on_output: OnOutput) -> bool:
        """Until everything ended and all output is out; True if the deadline ended it."""
        readers = asyncio.gather(
            _deliver(running.process.stdout, "stdout", on_output),
            _deliver(running.process.stderr, "stderr", on_output),
        )
        deadline = asyncio.create_task(running.clock.expired())
        ended = asyncio.create_task(asyncio.to_thread(running.process.wait))
        try:
            await _first_of(deadline, ended)
            timed_out = not ended.done()
            if not timed_out:
                await _first_of(deadline, readers, timeout_s=BACKGROUND_GRACE_S)
            await asyncio.to_thread(running.end_everything)
            await ended
            await _first_of(readers, timeout_s=BACKGROUND_GRACE_S)
            if readers.done():
                readers.result()
            return timed_out
        finally:
            deadline.cancel()
            readers.cancel()
            await asyncio.gather(deadline, readers, return_exceptions=True)

    def _spawn(self, text: str, folder: str, token: str) -> subprocess.Popen[bytes]:
        assert self._private is not None, "open() comes first"
        return subprocess.Popen(
            [self._bash, "-c", text],
            cwd=folder,
            env=self._command_environment(token),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _command_environment(self, token: str) -> dict[str, str]:
        private = self._private
        kept = {name: self._environment[name] for name in PASSED_ON if name in self._environment}
        return {
            **kept,
            "PATH": f"{private}/bin:{kept.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
            "HOME": f"{private}/home",
            "TMPDIR": f"{private}/home",
            "LANG": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
            "BASH_ENV": f"{private}/bash_env",
            "AGENTUI_REPORT": f"{private}/report-{token}:{token}",
            MARK: token,
            "GIT_CONFIG_GLOBAL": f"{private}/gitconfig",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": ":",
            "GIT_SEQUENCE_EDITOR": ":",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_PAGER": "cat",
            "PAGER": "cat",
        }

    def _reported(self, token: str) -> str:
        path = Path(f"{self._private}/report-{token}")
        try:
            with path.open("rb") as file:
                text = file.read(16384)
            path.unlink()
        except OSError:
            return ""
        name, _, cwd = text.partition(b"\0")[0].partition(b" ")
        return os.fsdecode(cwd) if name == token.encode() else ""


class _Running:
    """A started command and everything it started in turn."""

    def __init__(self, process: subprocess.Popen[bytes], token: str, clock: RunningClock) -> None:
        self.process = process
        self.clock = clock
        self._token = token
        # Read like those it is compared with: what psutil says may be off from the clock by a second.
        self._started_at_s = psutil.Process(process.pid).create_time()

    @property
    def exit_code(self) -> int | None:
        """As a shell gives it: 128 and the signal's number for one ended by a signal."""
        code = self.process.returncode
        return code if code is None or code >= 0 else 128 - code

    def signal_group(self, number: signal.Signals) -> bool:
        """Whether there was anybody to get it."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def end_everything(self) -> None:
        """Kill the group, then whoever left it but still carries our mark; until nobody is found. Blocks."""
        self.signal_group(signal.SIGKILL)
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


async def _first_of(*futures: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    await asyncio.wait(set(futures), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


async def _deliver(pipe: IO[bytes] | None, stream: Literal["stdout", "stderr"], on_output: OnOutput) -> None:
    assert pipe is not None
    loop = asyncio.get_running_loop()
    # Above its limit the reader stops reading, the pipe fills up and the command waits: that is the back
    # pressure.
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while data := await reader.read(CHUNK_BYTES):
            on_output(OutputChunk(stream, data))
            await asyncio.sleep(0)
    finally:
        transport.close()


def _result(command: Command, exit_code: int | None, wall_s: float, cwd: str, timed_out: bool) -> CommandResult:
    if timed_out:
        text = f"Ended after {command.timeout_s:g} s with all it had started."
        return CommandResult("timeout", None, wall_s, command.cwd, text)
    if exit_code is None:
        return CommandResult("lost", None, wall_s, command.cwd, "The command's end was not seen.")
    if exit_code == 137:
        return CommandResult("killed", exit_code, wall_s, cwd, "Ended by SIGKILL.")
    return CommandResult("ok" if exit_code == 0 else "error", exit_code, wall_s, cwd)
