"""Run one command in a container: live output with back pressure, our own deadline, an end never guessed.

An engine ends a stream the same way for success, a killed container and its own stop. So the end of the stream
means nothing by itself: the exit code counts only if the engine still knows the process and the container still
runs.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from dataclasses import dataclass

from agentui.events import ToolOutcome
from agentui.sandbox.base import Command, CommandResult, OnOutput, OutputChunk
from agentui.sandbox.clock import RunningClock
from agentui.sandbox.directory import cwd_below, disk_message, gone_message
from agentui.sandbox.docker_container import WORKSPACE, Container
from agentui.sandbox.docker_keeper import Vitals
from agentui.sandbox.docker_stream import EngineStream, exit_code_of
from agentui.sandbox.engine import explanation
from agentui.sandbox.settle import settled

REPORT = "/run/agentui/report"
QUEUE_CHUNKS = 16
"""Chunks read ahead of the consumer; at most 32 KiB each."""
DISK_WATCH_S = 2.0
JOIN_TIMEOUT_S = 3.0
"""How long a stream may stay open after its processes are gone; engines hold it for 2 s."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known after the stream ended. `exit_code` is ``None`` if the engine does not know it."""

    exit_code: int | None
    is_alive: bool
    vitals: Vitals | None
    is_clean: bool
    """Whether no process of the agent is left."""


class Execution:
    """One command in one container, from its start to the last process gone. Used once.

    Args:
        container: Where it runs.
        command: What runs.
        on_output: Called on the event loop.
        freezing: Held by whoever pauses or thaws the container, and while the end is being declared.
    """

    def __init__(
        self, container: Container, command: Command, on_output: OnOutput, freezing: asyncio.Lock
    ) -> None:
        self._container = container
        self._command = command
        self._on_output = on_output
        self._token = secrets.token_hex(8)
        self.clock = RunningClock(command.timeout_s)
        self._freezing = freezing
        self._stream: EngineStream | None = None
        self.is_over = False
        """Set when nothing is left to freeze: what follows needs a container that answers."""
        self.exec_id = ""
        """The engine's name for the process; set when `has_answer` is."""
        self.has_answer = asyncio.Event()
        """Set when the engine has said whether it starts the process."""
        self._stopped_why = ""
        self.needs_new_container = False
        """Set when the container is gone or could not be cleaned."""

    async def run(self) -> CommandResult:
        """Run to the end. Cancelling ends every process first."""
        try:
            # A cancel waits for it: a command that starts after the sweep would be missed.
            before, exec_id, stream = await settled(asyncio.to_thread(self._open))
            self.has_answer.set()
        except _NotStarted as failure:
            self.has_answer.set()
            self.needs_new_container = failure.is_container_gone
            outcome: ToolOutcome = "refused" if failure.is_certain else "lost"
            return CommandResult(outcome, None, self.clock.elapsed_s, self._command.cwd, str(failure))
        except asyncio.CancelledError:
            self.has_answer.set()
            await settled(self._end_everything(None))
            if self._stream is not None:
                self._stream.close()
            raise
        output = _StartFailure(self._on_output) if self._command.cwd else None
        pump = _Pump(stream, output or self._on_output)
        try:
            timed_out = await self._wait(pump)
            await self._declare_over()
            if timed_out:
                await self._end_everything(pump)
            ending = await asyncio.to_thread(self._look_back, exec_id)
        except asyncio.CancelledError:
            await settled(self._end_everything(pump))
            raise
        finally:
            pump.close()
        self.needs_new_container = not (ending.is_alive and ending.is_clean)
        if output is not None and output.is_start_failure(ending):
            text = gone_message(f"{WORKSPACE}/{self._command.cwd}")
            return CommandResult("refused", None, self.clock.elapsed_s, "", text)
        return self._result(ending, before, timed_out)

    async def _wait(self, pump: _Pump) -> bool:
        """Until the stream has ended; True if the deadline or a full disk comes first."""
        deadline = asyncio.create_task(self.clock.expired())
        disk = asyncio.create_task(self._disk_is_full())
        delivery = asyncio.create_task(pump.deliver())
        try:
            await asyncio.wait({deadline, disk, delivery}, return_when=asyncio.FIRST_COMPLETED)
            if delivery.done():
                delivery.result()
                return False
            if disk.done():
                self._stopped_why = disk.result()
            return True
        finally:
            for task in (deadline, disk, delivery):
                task.cancel()
            await asyncio.gather(deadline, disk, delivery, return_exceptions=True)

    async def _disk_is_full(self) -> str:
        """Return when the copy's disk is nearly full, with that in words."""
        floor = self._container.plan.limits.free_disk_bytes
        while True:
            await asyncio.sleep(DISK_WATCH_S)
            await self.clock.running()
            free = await asyncio.to_thread(self._container.keeper.free_disk_bytes)
            if free is not None and free < floor:
                return disk_message(free)

    async def _declare_over(self) -> None:
        """From here on it cannot be frozen; waits while it is."""
        while True:
            async with self._freezing:
                if not self.clock.is_frozen:
                    self.is_over = True
                    return
            await self.clock.running()

    async def _end_everything(self, pump: _Pump | None) -> None:
        """Thaw if need be, kill, and take what output is left for a bounded time.

        Output is taken meanwhile: an engine that cannot hand over a dead process's output handles no other end
        either.
        """
        rest = asyncio.create_task(pump.deliver()) if pump is not None else None
        async with self._freezing:
            self.is_over = True
        try:
            if not await asyncio.to_thread(self._thaw_and_sweep):
                self.needs_new_container = True
                await asyncio.to_thread(self._container.close)
            if rest is not None:
                await asyncio.wait({rest}, timeout=JOIN_TIMEOUT_S)
        finally:
            if rest is not None:
                rest.cancel()
                await asyncio.gather(rest, return_exceptions=True)

    def _open(self) -> tuple[Vitals | None, str, EngineStream]:
        import requests
        from docker.errors import APIError, DockerException

        folder = f"{WORKSPACE}/{self._command.cwd}" if self._command.cwd else WORKSPACE
        before = self._container.keeper.begin()
        try:
            exec_id, stream = self._container.start_process(
                ("/bin/bash", "-c", "--", self._command.text),
                workdir=folder,
                environment={"AGENTUI_REPORT": f"{REPORT}:{self._token}"},
            )
        except APIError as error:
            gone = not self._container.is_running()
            why = "The container is gone" if gone else "The engine did not start the command"
            text = f"{why}: {explanation(error)}"
            raise _NotStarted(text, is_certain=True, is_container_gone=gone) from error
        except (DockerException, requests.RequestException, OSError) as error:
            # The request may have arrived before the connection broke.
            text = f"The engine does not answer: {explanation(error)}"
            raise _NotStarted(text, is_certain=False, is_container_gone=True) from error
        self._stream, self.exec_id = stream, exec_id
        return before, exec_id, stream

    def _thaw_and_sweep(self) -> bool:
        import requests
        from docker.errors import DockerException

        try:
            if self._container.state().get("Paused"):
                self._container.engine.api.unpause(self._container.id)
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("container could not be thawed: %s", explanation(error))
        return self._container.sweep()

    def _look_back(self, exec_id: str) -> Ending:
        exit_code = exit_code_of(self._container.engine, exec_id)
        vitals = self._container.keeper.end(self._token) if exit_code is not None else None
        if vitals is None and not self._container.is_running():
            return Ending(exit_code, is_alive=False, vitals=None, is_clean=True)
        own = self._container.own_tasks
        clean = vitals is not None and own is not None and vitals.tasks is not None and vitals.tasks <= own
        return Ending(exit_code, is_alive=True, vitals=vitals, is_clean=clean or self._container.sweep())

    def _result(self, ending: Ending, before: Vitals | None, timed_out: bool) -> CommandResult:
        wall_s = self.clock.elapsed_s
        old_cwd = self._command.cwd
        if timed_out and self._stopped_why:
            return CommandResult("killed", None, wall_s, old_cwd, self._stopped_why)
        if timed_out:
            limit = f"{self._command.timeout_s:g} s"
            return CommandResult(
                "timeout", None, wall_s, old_cwd, f"Ended after {limit} with all it had started."
            )
        if not ending.is_alive:
            text = "The container is gone; whether the command had finished is not known."
            return CommandResult("lost", None, wall_s, old_cwd, text)
        if ending.exit_code is None:
            text = "The engine does not know the command any more; whether it had finished is not known."
            return CommandResult("lost", None, wall_s, old_cwd, text)
        code = ending.exit_code
        cwd = cwd_below(ending.vitals.cwd, WORKSPACE, old_cwd) if ending.vitals is not None else old_cwd
        if _oom_kills(ending.vitals) > _oom_kills(before):
            limit = f"{self._container.plan.limits.memory_bytes / 2**30:.3g} GiB"
            return CommandResult("oom", code, wall_s, cwd, f"Out of memory: the sandbox may use {limit}.")
        # A shell that says where it ended was not killed, whatever code it chose.
        if code == 137 and (ending.vitals is None or not ending.vitals.cwd):
            return CommandResult("killed", code, wall_s, cwd, "Ended by SIGKILL.")
        return CommandResult("ok" if code == 0 else "error", code, wall_s, cwd)


class _NotStarted(Exception):
    """No process was seen to start; `is_certain` when the engine said that none did."""

    def __init__(self, text: str, *, is_certain: bool, is_container_gone: bool) -> None:
        super().__init__(text)
        self.is_certain = is_certain
        self.is_container_gone = is_container_gone


class _StartFailure:
    """Holds back what an engine writes into the output instead of starting a command: its folder is gone."""

    WORDS = (b"OCI runtime exec failed: ", b"OCI runtime error: ", b"Error: runc: ", b"Error: crun: ")
    HELD_BYTES = 4096

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output
        self._held: list[OutputChunk] = []
        self._room = self.HELD_BYTES

    def __call__(self, chunk: OutputChunk) -> None:
        is_failure = bool(self._held) or chunk.data.startswith(self.WORDS)
        self._room -= len(chunk.data)
        if is_failure and self._room > 0:
            self._held.append(chunk)
            return
        self._release()
        self._room = 0
        self._on_output(chunk)

    def is_start_failure(self, ending: Ending) -> bool:
        """Whether the command never ran; if it did, what was held back is handed on."""
        if self._held and ending.exit_code in (126, 127, 128):
            return True
        self._release()
        return False

    def _release(self) -> None:
        held, self._held = self._held, []
        for chunk in held:
            self._on_output(chunk)


class _Pump:
    """Moves output from a blocking stream to the event loop, never more than `QUEUE_CHUNKS` ahead."""

    def __init__(self, stream: EngineStream, on_output: OnOutput) -> None:
        self._stream = stream
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[OutputChunk | None] = asyncio.Queue()
        self._room = threading.Semaphore(QUEUE_CHUNKS)
        self._is_closed = False
        self._is_drained = False
        self._thread = threading.Thread(target=self._read, name="agentui-output", daemon=True)
        self._thread.start()

    async def deliver(self) -> None:
        """Hand out chunks until the stream ends; may be called again after a cancel."""
        while not self._is_drained:
            chunk = await self._queue.get()
            if chunk is None:
                self._is_drained = True
                return
            self._room.release()
            self._on_output(chunk)
            # A full queue never waits: without this the loop would do nothing else.
            await asyncio.sleep(0)

    def close(self) -> None:
        """End the connection and, soon after, the thread."""
        self._is_closed = True
        self._room.release()
        self._stream.close()

    def _read(self) -> None:
        for name, data in self._stream.frames():
            self._room.acquire()
            if self._is_closed:
                break
            if not self._hand_over(OutputChunk(name, data)):
                return
        self._hand_over(None)

    def _hand_over(self, chunk: OutputChunk | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, chunk)
        except RuntimeError:
            # The loop is closed: nobody is left to take it.
            return False
        return True


def _oom_kills(vitals: Vitals | None) -> int:
    return vitals.oom_kills or 0 if vitals is not None else 0
