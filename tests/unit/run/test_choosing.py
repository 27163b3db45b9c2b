from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agentui.backends.base import Backend, LoadProgress, ServerFacts, ServerModel
from agentui.control import Answer, Quit, Submit
from agentui.errors import ModelLoadFailed, ModelNotFound
from agentui.events import ApprovalAsked, ApprovalGiven, ModelFacts, ModelLoadStarted, RunEnded
from agentui.run import choosing, placement, prepare
from agentui.run.supervisor import Supervisor
from tests.fakes import ATTENDED, UNATTENDED, Log, PlayedBackend, run_parts, says

MODELS = tuple(ServerModel(f"maker/model-{n}", f"Model {n}", kind="llm") for n in range(8))


class Empty(PlayedBackend):
    """A server that can load models, and has none in memory; loads of `broken` fail."""

    loaded: str | None = None
    broken = ""
    can_load = True

    @property
    def facts(self) -> ServerFacts:
        return replace(super().facts, kind="lmstudio", can_load=self.can_load)

    async def models(self) -> tuple[ServerModel, ...]:
        return MODELS

    async def describe(self, model: str | None) -> ModelFacts:
        name = model or self.loaded
        if name is None:
            raise ModelNotFound("No model is loaded, and none was named.")
        is_there = name == self.loaded or not self.can_load
        return ModelFacts(name, loaded_context_tokens=self.context_tokens if is_there else None)

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        if model == self.broken:
            raise ModelLoadFailed(f"{model} does not fit")
        self.loaded = model
        return await super().load(model, context_tokens, progress)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "POLL_S", 0.01)


async def usual(backend: Backend, model: ServerModel) -> int | None:
    return 65_536


def session(backend: Empty, log: Log) -> tuple[Supervisor, asyncio.Task[None]]:
    supervisor = Supervisor(replace(run_parts(backend, log), usual_context=usual), ATTENDED)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("talk"))
    return supervisor, serving


async def ended(supervisor: Supervisor, serving: asyncio.Task[None], log: Log) -> str:
    reason = (await log.wait_for(RunEnded)).reason
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)
    return reason


async def test_where_no_model_is_loaded_the_user_chooses_one_and_the_typed_task_is_kept() -> None:
    log, backend = Log(), Empty([says("hello")])
    supervisor, serving = session(backend, log)
    asked = await log.wait_for(ApprovalAsked)
    assert asked.choices == (*(model.key for model in MODELS[: choosing.MOST_MODELS]), choosing.WAIT)
    assert "2 more models" in asked.why
    supervisor.send(Answer(asked.ask_id, "maker/model-1"))
    assert await ended(supervisor, serving, log) == "done"
    assert [(load.model, load.context_tokens) for load in log.of(ModelLoadStarted)] == [
        ("maker/model-1", 65_536)
    ]
    assert backend.requests[0].model == "maker/model-1"


async def test_a_model_that_is_loaded_elsewhere_takes_the_question_back() -> None:
    log, backend = Log(), Empty([says("hello")])
    supervisor, serving = session(backend, log)
    await log.wait_for(ApprovalAsked)
    backend.loaded = "maker/model-2"
    assert await ended(supervisor, serving, log) == "done"
    assert [given.by for given in log.of(ApprovalGiven)] == ["run"]
    assert log.of(ModelLoadStarted) == []


async def test_after_a_load_that_failed_another_model_can_be_chosen() -> None:
    log, backend = Log(), Empty([says("hello")])
    backend.broken = "maker/model-0"
    supervisor, serving = session(backend, log)
    asked = await log.wait_for(ApprovalAsked)
    supervisor.send(Answer(asked.ask_id, "maker/model-0"))
    again = await log.wait_for(ApprovalAsked, lambda a: placement.TRY_AGAIN in a.choices)
    supervisor.send(Answer(again.ask_id, placement.TRY_AGAIN))
    anew = await log.wait_for(ApprovalAsked, lambda a: a.ask_id not in (asked.ask_id, again.ask_id))
    supervisor.send(Answer(anew.ask_id, "maker/model-3"))
    assert await ended(supervisor, serving, log) == "done"
    assert backend.requests[0].model == "maker/model-3"


async def test_of_a_server_that_loads_nothing_the_chosen_model_is_used() -> None:
    log, backend = Log(), Empty([says("hello")])
    backend.can_load = False
    supervisor, serving = session(backend, log)
    asked = await log.wait_for(ApprovalAsked)
    supervisor.send(Answer(asked.ask_id, "maker/model-4"))
    assert await ended(supervisor, serving, log) == "done"
    assert (backend.requests[0].model, log.of(ModelLoadStarted)) == ("maker/model-4", [])


async def test_an_unattended_run_is_asked_for_no_model() -> None:
    log, backend = Log(), Empty([])
    assert (await Supervisor(run_parts(backend, log), UNATTENDED).run_once("talk")).reason == "unavailable"
    assert log.of(ApprovalAsked) == []
