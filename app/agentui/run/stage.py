"""The prepared parts of a session, and what runs commands in them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agentui.events import ModelFacts
from agentui.run.changes import Changes
from agentui.run.execute import Executor
from agentui.run.ports import Emit, RunParts, RunPolicy
from agentui.run.prepare import Prepared


@dataclass(slots=True)
class Stage:
    """The prepared parts of a session; they change only while nothing runs."""

    prepared: Prepared | None = None
    executor: Executor | None = None

    @property
    def changes(self) -> Changes | None:
        """The workspace's part, where there is one."""
        return self.prepared.changes if self.prepared else None

    def take(self, prepared: Prepared, parts: RunParts, policy: RunPolicy, emit: Emit) -> None:
        """Everything is there: runs may begin."""
        self.prepared = prepared
        if prepared.workshop is None:
            return
        self.executor = Executor(
            prepared.workshop.sandbox,
            parts.make_sink,
            emit,
            parts.clock,
            policy.command_timeout_s,
            prepared.changes.lock if prepared.changes is not None else asyncio.Lock(),
            prepared.workshop.checks,
        )
        self.executor.cwd = parts.resumed.cwd if parts.resumed is not None else ""
        self.model_seen(prepared.model)

    def model_seen(self, model: ModelFacts) -> None:
        """How much of a command's output the model gets depends on its context."""
        if self.executor is not None:
            self.executor.context_tokens = model.loaded_context_tokens

    async def aclose(self, emit: Emit) -> None:
        """End the parts; may be called twice."""
        prepared, self.prepared = self.prepared, None
        if prepared is not None:
            await prepared.aclose(emit)
