"""One task from `RunStarted` to `RunEnded`: worked on, then its changes looked at or applied."""

from __future__ import annotations

import logging
from dataclasses import replace

from agentui.errors import HarnessUnavailable
from agentui.events import EndReason, Event, RunEnded, RunStarted, TurnStarted, Usage
from agentui.harness.base import HarnessEnd
from agentui.run.changes import ApplyPolicy, Changes
from agentui.run.gate import RunGate
from agentui.run.helpers import warning_of
from agentui.run.ports import Emit, RunParts, RunPolicy
from agentui.run.prepare import Prepared

log = logging.getLogger(__name__)

SAVED_HINT = "saved; agentui -c goes on"


class TaskRun:
    """A run of a harness, on a task or (`goes_on`) from where it was stopped. `end` is how it ended."""

    def __init__(
        self, task: str, prepared: Prepared, gate: RunGate, parts: RunParts, *, goes_on: bool = False
    ) -> None:
        self._task = task
        self._goes_on = goes_on
        self._prepared = prepared
        self._gate = gate
        self._clock = parts.clock
        self._workdir = parts.workdir
        self._began_s = parts.clock()
        self._turns = 0
        self.end = HarnessEnd("interrupted", Usage())
        self.is_saved = False

    @property
    def _changes(self) -> Changes | None:
        return self._prepared.changes

    def started(self, policy: RunPolicy) -> RunStarted:
        """What the run begins with."""
        prepared = self._prepared
        return RunStarted(
            self._task,
            prepared.model,
            prepared.backend.facts.base_url,
            self._workdir,
            policy.harness,
            prepared.sandbox,
            policy.profile,
            prepared.harness.prefix.tools,
            prepared.harness.prefix.sampling,
            self._goes_on,
        )

    async def work(self, emit: Emit) -> None:
        """Run the harness until the agent settles; whatever it raises is a failed run."""

        def counted(event: Event) -> None:
            self._turns += isinstance(event, TurnStarted)
            emit(event)

        task = None if self._goes_on else self._task
        try:
            self.end = await self._prepared.harness.run(task, self._gate, counted)
        except Exception as error:
            log.exception("the run failed")
            warned = warning_of(error)
            reason: EndReason = "unavailable" if isinstance(error, HarnessUnavailable) else "failed"
            self.end = HarnessEnd(reason, Usage(), warned.text, warned.hint)
        finally:
            if self.end.reason == "interrupted":
                self._take_why()
            await self._gate.over()

    def _take_why(self) -> None:
        """Who ended the run decides what its end is called."""
        stop = self._gate.stop
        if self._gate.ended_by == "quit":
            self.is_saved = True
            self.end = replace(self.end, hint=SAVED_HINT)
        elif self._gate.ended_by == "guard" and stop is not None:
            self.end = HarnessEnd(stop.reason, self.end.usage, stop.why, stop.hint)

    async def settle(self, policy: ApplyPolicy, emit: Emit) -> None:
        """Look at what changed, and apply it where that needs no asking; failures become warnings."""
        try:
            if self._changes is not None and self.end.reason == "done":
                await self._changes.settle(policy)
            elif self._changes is not None:
                await self._changes.refresh()  # half a work is applied by nobody but the user
        except Exception as error:
            log.exception("the changes were not settled")
            emit(warning_of(error))

    def ended(self, policy: RunPolicy) -> RunEnded:
        """What the run ends with."""
        end = self.end
        pending = self._changes.pending if self._changes is not None else 0
        hint = end.hint
        if self._changes is not None and pending and not hint:
            unattended = f"agentui sandbox apply --workspace {self._changes.workspace_id}"
            way = "/apply" if policy.is_interactive else unattended
            hint = f"{way} brings the changes to your project"
        wall_s = self._clock() - self._began_s
        return RunEnded(
            end.reason,
            end.error,
            hint,
            end.usage,
            self._turns,
            self._gate.commands,
            wall_s,
            pending,
            self.is_saved,
        )
