"""Runs one command at a time in the sandbox: events, output, freeze, and what the model gets of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agentui.errors import AgentuiError
from agentui.events import CallId, Event, ToolEnded, ToolFrozen, ToolLabel, ToolStarted, ToolThawed
from agentui.run.output import NoSink, OutputCollector, OutputSink, model_budget_bytes
from agentui.run.ports import ChecksPort
from agentui.sandbox.base import Command, CommandResult, OnOutput, Sandbox
from agentui.workspace.checks import CheckCall

log = logging.getLogger(__name__)


class Executor:
    """The only caller of `Sandbox.run`, and of checks. Remembers the directory from command to command.

    `lock` is held while a command runs: whoever works on the copy takes it too. A command that as a whole calls
    a check runs there instead of in the shell.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        make_sink: Callable[[CallId], OutputSink],
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        default_timeout_s: float,
        lock: asyncio.Lock,
        checks: ChecksPort | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._checks = checks
        self._place: Sandbox | ChecksPort = sandbox
        self._make_sink = make_sink
        self._emit = emit
        self._clock = clock
        self._default_timeout_s = default_timeout_s
        self._lock = lock
        self._holding = asyncio.Lock()
        self._running: asyncio.Task[CommandResult] | None = None
        self._call_id: CallId | None = None
        self._frozen_since_s: float | None = None
        self._killed_why = ""
        self.context_tokens: int | None = None
        self.cwd = ""

    @property
    def has_checks(self) -> bool:
        """Whether the user configured any check."""
        return self._checks is not None and bool(self._checks.lines)

    @property
    def is_running(self) -> bool:
        """Whether a command runs (or is frozen) now."""
        return self._running is not None

    @property
    def is_frozen(self) -> bool:
        """Whether a command stands still in the middle."""
        return self._frozen_since_s is not None

    async def run(
        self,
        call_id: CallId,
        name: str,
        command: str,
        label: ToolLabel,
        timeout_s: float | None,
        may_start: Callable[[], None] = lambda: None,
    ) -> tuple[CommandResult, str]:
        """Run a command to its end; returns how it ended and the text for the model.

        Waits while another command runs, then calls `may_start`; what that raises is raised, and nothing runs.
        Cancelling kills the command and still emits its `ToolEnded`.
        """
        async with self._lock:
            may_start()
            check = self._checks.called(command) if self._checks is not None else None
            limit_s = check.timeout_s if check is not None else timeout_s or self._default_timeout_s
            sink = self._sink(call_id)
            collector = OutputCollector(call_id, sink, model_budget_bytes(self.context_tokens), self._emit)
            cwd = "" if check is not None else self.cwd
            self._emit(self._started(call_id, name, command, cwd, label, check, limit_s))
            self._call_id, began_s = call_id, self._clock()
            self._place = self._sandbox if check is None or self._checks is None else self._checks
            task = asyncio.create_task(self._begin(command, check, limit_s, collector.take))
            self._running, self._killed_why = task, "interrupted by the user"
            try:
                await asyncio.wait({task})
            finally:
                try:
                    if not task.done():
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
                finally:
                    self._running = None
                    self._frozen_since_s = None
                    result = self._result(task, began_s)
                    self._end(call_id, result, collector, sink, keeps_cwd=check is not None)
        label_words = f"check {check.name} in a throwaway copy" if check is not None else ""
        return result, model_text(result, collector.for_model(), limit_s, label_words)

    @staticmethod
    def _started(
        call_id: CallId,
        name: str,
        command: str,
        cwd: str,
        label: ToolLabel,
        check: CheckCall | None,
        limit_s: float,
    ) -> ToolStarted:
        if check is None:
            return ToolStarted(call_id, name, command, cwd, label, timeout_s=limit_s)
        # A user's check runs beside the agent like any other command of the user's.
        shown: ToolLabel = "user" if label == "user" else "check"
        return ToolStarted(call_id, name, command, cwd, shown, check=check.name, timeout_s=limit_s)

    async def _begin(
        self, command: str, check: CheckCall | None, limit_s: float, on_output: OnOutput
    ) -> CommandResult:
        if check is None or self._checks is None:
            return await self._sandbox.run(Command(command, self.cwd, limit_s), on_output)
        return await self._checks.run(check, on_output)

    def _result(self, task: asyncio.Task[CommandResult], began_s: float) -> CommandResult:
        wall_s = self._clock() - began_s
        if task.cancelled() or not task.done():
            return CommandResult("cancelled", None, wall_s, self.cwd, self._killed_why)
        error = task.exception()
        if isinstance(error, AgentuiError):
            return CommandResult("lost", None, wall_s, self.cwd, error.message)
        if isinstance(error, Exception):
            log.error("the sandbox failed on a command", exc_info=error)
            return CommandResult("lost", None, wall_s, self.cwd, str(error) or type(error).__name__)
        return task.result()

    def _sink(self, call_id: CallId) -> OutputSink:
        try:
            return self._make_sink(call_id)
        except (AgentuiError, OSError) as error:
            log.error("output of a command is not kept: %s", error)
            return NoSink()

    def _end(
        self,
        call_id: CallId,
        result: CommandResult,
        collector: OutputCollector,
        sink: OutputSink,
        *,
        keeps_cwd: bool,
    ) -> None:
        dropped = sink.close()
        if result.exit_code is not None and not keeps_cwd:
            self.cwd = result.cwd
        self._emit(
            ToolEnded(
                call_id,
                result.outcome,
                result.exit_code,
                result.wall_s,
                output_bytes=collector.total_bytes,
                dropped_bytes=dropped,
                output_path=(sink.path or None) if collector.total_bytes else None,
                cwd=self.cwd,
                message=result.message,
            )
        )

    def cancel(self, call_id: CallId | None, why: str) -> None:
        """Kill the running command, with an id only that one; its `run` then returns with outcome cancelled."""
        if self._running is not None and call_id in (None, self._call_id):
            self._killed_why = why
            self._running.cancel()

    async def freeze(self) -> bool | None:
        """Stop the running command in place; False if the sandbox cannot, ``None`` if none runs (any more)."""
        async with self._holding:
            running, call_id = self._running, self._call_id
            if running is None or call_id is None:
                return None
            if self._frozen_since_s is not None:
                return True
            is_frozen = await self._place.freeze()
            if self._running is not running or running.done():
                if is_frozen:
                    await self._place.thaw()
                return None
            if is_frozen:
                self._frozen_since_s = self._clock()
                self._emit(ToolFrozen(call_id))
            return is_frozen

    async def thaw(self) -> None:
        """Let a frozen command go on; nothing to do when none is frozen. Waits for a freeze on its way."""
        async with self._holding:
            since_s, call_id = self._frozen_since_s, self._call_id
            if since_s is None or call_id is None:
                return
            await self._place.thaw()
            if self._frozen_since_s is not None:
                self._frozen_since_s = None
                self._emit(ToolThawed(call_id, self._clock() - since_s))


def model_text(result: CommandResult, output: str, limit_s: float, label: str = "") -> str:
    """A command's result as the model gets it: output, then one line in brackets saying how it ended.

    `label` says where it ran, if that was not the shell.
    """
    match result.outcome:
        case "ok" | "error":
            ending = f"exit {result.exit_code}"
        case "timeout":
            ending = f"killed: it ran longer than {limit_s:g} s"
        case "oom":
            ending = f"exit {result.exit_code}, killed: out of memory"
        case "killed":
            ending = f"killed, exit {result.exit_code}"
        case other:
            ending = other
    if label:
        ending = f"{ending}, {label}"
    if result.message and (label or result.outcome not in ("ok", "error")):
        ending = f"{ending}: {result.message}"
    separator = "" if not output or output.endswith("\n") else "\n"
    return f"{output}{separator}[{ending}]"
