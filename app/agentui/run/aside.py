"""What the user does beside the agent's turns: own commands, other models, compaction, the changes."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from agentui.control import Apply, Compact, Discard, Redo, RunCommand, SwitchModel, TakeCommits, Undo
from agentui.errors import AgentuiError
from agentui.events import CallId, ModelSeen, Warned
from agentui.harness.base import Gate, Interrupted
from agentui.run.gate import Talk
from agentui.run.loading import load_model
from agentui.run.ports import Emit, RunParts
from agentui.run.stage import Stage

OfChanges = Apply | Discard | Undo | Redo | TakeCommits
SlowControl = OfChanges | RunCommand | SwitchModel | Compact


class Aside:
    """Does slow controls while no run works or the run stands still: one at a time, but for commands."""

    def __init__(self, stage: Stage, parts: RunParts, talk: Talk, emit: Emit) -> None:
        self._stage = stage
        self._parts = parts
        self._talk = talk
        self._emit = emit

    async def do(self, control: SlowControl, gate: Gate) -> None:
        """Do what was asked; failures become warnings. `gate` holds and interrupts a compaction."""
        try:
            match control:
                case RunCommand(command):
                    await self._run_command(command)
                case SwitchModel(model, context_tokens):
                    async with self._talk.changing:
                        await self._switch_model(model, context_tokens)
                case Compact():
                    if self._stage.prepared is not None:
                        await self._stage.prepared.harness.compact("the user asked", gate, self._emit)
                case Apply() | Discard() | Undo() | Redo():
                    if self._stage.changes is not None:
                        async with self._talk.changing:
                            await self._stage.changes.handle(control)
                case TakeCommits():
                    await self._take_commits()
                case _:
                    assert_never(control)
        except Interrupted:
            pass  # the user stopped a compaction; its event has told
        except AgentuiError as error:
            self._emit(Warned("failed", error.message, error.hint))

    async def _run_command(self, command: str) -> None:
        executor = self._stage.executor
        if executor is None:
            self._emit(Warned("no_sandbox", "there is no sandbox to run commands in"))
            return
        set_up = self._talk.hints.set_up
        if set_up and not executor.has_checks and command.split()[:1] == ["check"]:
            self._emit(Warned("no_check", "no check is configured for this project", set_up))
            return
        _, text = await executor.run(CallId(self._parts.ids("u")), "bash", command, "user", None)
        self._talk.notice(f"The user ran this in the sandbox: {command}\n{text}")
        if self._stage.changes is not None:
            await self._stage.changes.refresh()

    async def _take_commits(self) -> None:
        prepared = self._stage.prepared
        if prepared is None or prepared.workshop is None or prepared.changes is None:
            self._emit(Warned("no_sandbox", "there is no private copy that could hold commits"))
            return
        async with self._talk.changing:
            await prepared.changes.take_commits(prepared.workshop.sandbox)

    async def _switch_model(self, model: str | None, context_tokens: int | None) -> None:
        prepared = self._stage.prepared
        if prepared is None:
            return
        server = prepared.backend.facts
        if not server.can_load:
            said = f"The server at {server.base_url} cannot load models from here"
            hint = "load it with the server's own command; another one: start with --model NAME"
            self._emit(Warned("cannot_load", said, hint))
            return
        name = model or prepared.model.model
        facts = await load_model(prepared.backend, name, context_tokens, self._emit)
        self._stage.prepared = replace(prepared, model=facts)
        prepared.harness.use_model(facts)
        self._emit(ModelSeen(facts))
        self._parts.ready(prepared.backend, facts)
        advice = await self._parts.advise(prepared.backend, facts)
        if advice is not None:
            self._emit(advice.warning)
