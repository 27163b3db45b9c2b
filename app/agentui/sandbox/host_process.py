"""Run commands on the host itself, one at a time: for the sandboxes that are none, and for jails.

The same shell as in the container as far as a host allows: a fresh bash per command, our `edit` first on PATH,
refused interpreters, a small environment, everything ended after the command. What contains a command, if
anything, is its launcher.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Command, CommandResult, OnOutput, OutputChunk, unfit
from agentui.sandbox.clock import RunningClock
from agentui.sandbox.directory import cwd_below, gone_message
from agentui.sandbox.host_launch import Launch, Launcher, PlainLauncher, Processes, find_bash
from agentui.sandbox.image import TOOLS_FOLDER
from agentui.sandbox.private_folder import PrivateFolder
from agentui.sandbox.settle import settled

OPEN_SHELL_START = TOOLS_FOLDER / "lib" / "report"
CHUNK_BYTES = 32 * 1024
BACKGROUND_GRACE_S = 2.0
"""How long output of background processes is taken after the command itself ended; engines do the same."""
REPORT_BYTES = 16 * 1024


class HostRunner:
    """One command at a time in a folder of the host.

    Args:
        folder: The copy's root; must exist when a command runs.
        environment: Our own, of which little is passed on; for the plain launcher.
        launcher: What starts the commands; without one they are not contained.
        has_interpreters: Whether the host's interpreters answer; else they are refused as in the image.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        launcher: Launcher | None = None,
        *,
        has_interpreters: bool = False,
    ) -> None:
        self._folder = folder
        self._launcher: Launcher = launcher or PlainLauncher(environment)
        self._shell_start = OPEN_SHELL_START if has_interpreters else TOOLS_FOLDER / "lib" / "bash_env"
        self._private: PrivateFolder | None = None
        self._bash = ""
        self._running: _Running | None = None
        self._one_at_a_time = asyncio.Lock()

    def open(self) -> None:
        """Lay out the private folder with `edit` and the shell's start file. Blocks.

        Raises:
            SandboxUnavailable: If the host has no bash or no room, or the launcher cannot work here.
        """
        bash = find_bash()
        if bash is None:
            raise SandboxUnavailable(
                "There is no bash on this machine", hint="Install bash, or use --sandbox docker."
            )
        self._bash = bash
        if self._private is not None:
            return
        try:
            self._private = PrivateFolder()
            self._fill(self._private.path)
        except OSError as error:
            if self._private is not None:
                self._private.remove()
                self._private = None
            raise SandboxUnavailable(f"No private folder could be made for the commands: {error}") from error
        self._launcher.prepare(self._private.path, bash)

    def _fill(self, private: Path) -> None:
        (private / "bin").mkdir()
        (private / "home").mkdir()
        # An installed package need not have kept the executable bit.
        for tool in ("edit", "check"):
            shutil.copyfile(TOOLS_FOLDER / "bin" / tool, private / "bin" / tool)
            (private / "bin" / tool).chmod(0o755)
        shutil.copyfile(self._shell_start, private / "bash_env")
        shutil.copyfile(TOOLS_FOLDER / "lib" / "report", private / "report")
        shutil.copyfile(TOOLS_FOLDER / "gitconfig", private / "gitconfig")

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run a command to its end; see the sandbox protocol. A second caller waits."""
        if why := unfit(command):
            return CommandResult("refused", None, 0.0, command.cwd, why)
        async with self._one_at_a_time:
            root = os.path.realpath(self._folder)
            seen_root = self._launcher.root(root)
            if not os.path.isdir(os.path.join(root, command.cwd)):
                return CommandResult("refused", None, 0.0, "", gone_message(f"{seen_root}/{command.cwd}"))
            assert self._private is not None, "open() comes first"
            token = secrets.token_hex(8)
            launch = Launch(command.text, root, command.cwd, token, self._private.path, self._bash)
            try:
                running = _Running(await self._launched(launch), RunningClock(command.timeout_s))
            except OSError as error:
                text = f"The command did not run. It could not be started: {error.strerror or error}"
                return CommandResult("refused", None, 0.0, command.cwd, text)
            self._running = running
            try:
                timed_out = await self._see_through(running, on_output)
            except asyncio.CancelledError:
                await settled(asyncio.to_thread(running.processes.end_everything))
                raise
            finally:
                self._running = None
            reported = _reported(launch)
        return _result(command, running, reported, cwd_below(reported, seen_root, command.cwd), timed_out)

    async def freeze(self) -> bool:
        """Stop the running command and its clock."""
        running = self._running
        if running is None or running.clock.is_frozen:
            return False
        if not await asyncio.to_thread(running.processes.stop):
            return False
        running.clock.freeze()
        return True

    async def thaw(self) -> None:
        """Let it go on."""
        running = self._running
        if running is not None and running.clock.is_frozen:
            await asyncio.to_thread(running.processes.go_on)
            running.clock.thaw()

    async def memory_bytes(self) -> int | None:
        """Resident memory of the running command's processes; 0 when none runs."""
        running = self._running
        return 0 if running is None else await asyncio.to_thread(running.processes.memory_bytes)

    async def aclose(self) -> None:
        """End the running command and remove the private folder."""
        running, private = self._running, self._private
        if running is not None:
            await asyncio.to_thread(running.processes.end_everything)
        self._private = None
        if private is not None:
            await asyncio.to_thread(private.remove)

    async def _launched(self, launch: Launch) -> Processes:
        """Start it; a cancel meanwhile ends what was started."""
        launching = asyncio.create_task(asyncio.to_thread(self._launcher.launch, launch))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await settled(_ended(launching))
            raise

    async def _see_through(self, running: _Running, on_output: OnOutput) -> bool:
        """Until everything ended and all output is out; True if the deadline ended it."""
        process = running.processes.process
        readers = asyncio.gather(
            _deliver(process.stdout, "stdout", on_output), _deliver(process.stderr, "stderr", on_output)
        )
        deadline = asyncio.create_task(running.clock.expired())
        ended = asyncio.create_task(asyncio.to_thread(process.wait))
        watching = asyncio.create_task(self._watch(running.processes))
        try:
            await _first_of(deadline, ended)
            timed_out = not ended.done()
            if not timed_out:
                await _first_of(deadline, readers, timeout_s=BACKGROUND_GRACE_S)
            await asyncio.to_thread(running.processes.end_everything)
            await ended
            await _first_of(readers, timeout_s=BACKGROUND_GRACE_S)
            if readers.done():
                readers.result()
            return timed_out
        finally:
            for task in (deadline, readers, watching):
                task.cancel()
            await asyncio.gather(deadline, readers, watching, return_exceptions=True)

    async def _watch(self, processes: Processes) -> None:
        if self._launcher.watch_s is None:
            return
        while True:
            await asyncio.sleep(self._launcher.watch_s)
            await asyncio.to_thread(processes.enforce)


@dataclass(frozen=True, slots=True)
class _Running:
    """A started command and its clock."""

    processes: Processes
    clock: RunningClock


async def _ended(launching: asyncio.Task[Processes]) -> None:
    with contextlib.suppress(OSError):
        processes = await launching
        await asyncio.to_thread(processes.end_everything)


def _reported(launch: Launch) -> str:
    """The directory that the shell reported with its token; the file is the agent's to write."""
    try:
        descriptor = os.open(launch.report, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, "rb") as file:
        text = file.read(REPORT_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    with contextlib.suppress(OSError):
        launch.report.unlink()
    name, _, cwd = text.partition(b"\0")[0].partition(b" ")
    return os.fsdecode(cwd) if name == launch.token.encode() else ""


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


def _result(command: Command, running: _Running, reported: str, cwd: str, timed_out: bool) -> CommandResult:
    wall_s, exit_code = running.clock.elapsed_s, running.processes.exit_code
    if timed_out:
        text = f"Ended after {command.timeout_s:g} s with all it had started."
        return CommandResult("timeout", None, wall_s, command.cwd, text)
    if running.processes.verdict is not None:
        outcome, text = running.processes.verdict
        return CommandResult(outcome, exit_code, wall_s, cwd, text)
    if exit_code is None:
        return CommandResult("lost", None, wall_s, command.cwd, "The command's end was not seen.")
    # A shell that says where it ended was not killed, whatever code it chose.
    if exit_code == 137 and not reported:
        return CommandResult("killed", exit_code, wall_s, cwd, "Ended by SIGKILL.")
    return CommandResult("ok" if exit_code == 0 else "error", exit_code, wall_s, cwd)
