"""What is said, and offered, before the first request of a model with too little context for work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from agentui.backends.base import Backend, LoadProgress, ServerFacts
from agentui.control import Answer, Quit, Submit
from agentui.errors import ModelLoadFailed
from agentui.events import ApprovalAsked, Event, ModelFacts, ModelSeen, RequestStarted, RunEnded, Warned
from agentui.run.ports import RunPolicy
from agentui.run.supervisor import Supervisor
from agentui.telemetry.fit import ContextAdvice, ModelFit, context_advice
from tests.fakes import ATTENDED, UNATTENDED, Log, PlayedBackend, run_parts, says


class SmallBackend(PlayedBackend):
    """A server whose model is loaded with 4k; `refuses` is how a load ends."""

    def __init__(self, refuses: bool = False) -> None:
        super().__init__([says("hello")], 4096)
        self.refuses = refuses
        self.loads: list[int | None] = []

    @property
    def facts(self) -> ServerFacts:
        return replace(super().facts, can_load=True)

    async def describe(self, model: str | None) -> ModelFacts:
        known = await super().describe(model)
        return replace(known, trained_context_tokens=262_144)

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        self.loads.append(context_tokens)
        if self.refuses:
            raise ModelLoadFailed("the guardrail refused")
        return await super().load(model, context_tokens, progress)


async def advise(backend: Backend, model: ModelFacts) -> ContextAdvice | None:
    await asyncio.sleep(0)  # what reads a file gives way: the first request must wait all the same
    return context_advice(model, ModelFit((), 200_000, 65_536, None, True))


@asynccontextmanager
async def asked_to_work(
    backend: PlayedBackend, log: Log, policy: RunPolicy = ATTENDED
) -> AsyncIterator[Supervisor]:
    """A session that got its task before anything was ready."""
    supervisor = Supervisor(replace(run_parts(backend, log), advise=advise), policy)
    supervisor.send(Submit("talk"))
    task = asyncio.create_task(supervisor.serve())
    try:
        yield supervisor
    finally:
        supervisor.send(Quit())
        await asyncio.wait_for(task, 10)


def order(log: Log, *kinds: type[Event]) -> list[str]:
    return [type(event).__name__ for event in log.events if isinstance(event, kinds)]


async def test_a_small_context_is_said_and_a_wider_one_loaded_before_the_first_request() -> None:
    log, backend = Log(), SmallBackend()
    async with asked_to_work(backend, log) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        assert asked.choices == ("reload with 64k", "go on")
        assert "fits both walls" in asked.why
        supervisor.send(Answer(asked.ask_id, "reload with 64k"))
        await log.wait_for(RunEnded)
    assert backend.loads == [65_536]
    assert order(log, Warned, ApprovalAsked, RequestStarted) == ["Warned", "ApprovalAsked", "RequestStarted"]
    assert [seen.model.loaded_context_tokens for seen in log.of(ModelSeen)] == [4096, 65_536]


async def test_the_server_is_handed_over_before_its_model_is_told_of() -> None:
    log, backend = Log(), SmallBackend()
    told_before: list[list[str]] = []

    def ready(server: Backend, model: ModelFacts) -> None:
        told_before.append(order(log, ModelSeen, Warned))

    supervisor = Supervisor(replace(run_parts(backend, log), advise=advise, ready=ready), ATTENDED)
    task = asyncio.create_task(supervisor.serve())
    asked = await log.wait_for(ApprovalAsked)
    supervisor.send(Answer(asked.ask_id, "go on"))
    supervisor.send(Quit())
    await asyncio.wait_for(task, 10)
    assert told_before == [[]]


async def test_who_goes_on_keeps_the_small_context() -> None:
    log, backend = Log(), SmallBackend()
    async with asked_to_work(backend, log) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "go on"))
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert backend.loads == []


async def test_a_reload_that_fails_goes_on_with_what_is_there() -> None:
    log, backend = Log(), SmallBackend(refuses=True)
    async with asked_to_work(backend, log) as supervisor:
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "reload with 64k"))
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert [warned.code for warned in log.of(Warned)][:2] == ["small_context", "not_reloaded"]


async def test_without_anybody_to_ask_it_is_said_before_the_first_request() -> None:
    log, backend = Log(), SmallBackend()
    supervisor = Supervisor(replace(run_parts(backend, log), advise=advise), UNATTENDED)
    assert (await supervisor.run_once("talk")).reason == "done"
    assert order(log, Warned, ApprovalAsked, RequestStarted) == ["Warned", "RequestStarted"]


async def test_a_length_that_was_asked_for_is_not_asked_about() -> None:
    log, backend = Log(), SmallBackend()
    async with asked_to_work(backend, log, replace(ATTENDED, context_tokens=4096)):
        await log.wait_for(RunEnded)
    assert not log.of(ApprovalAsked)
    assert [warned.code for warned in log.of(Warned)] == ["small_context"]
