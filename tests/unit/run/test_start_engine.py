from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agentui.control import Answer, Quit, Submit
from agentui.errors import BackendUnavailable, EngineUnavailable
from agentui.events import ApprovalAsked, ApprovalGiven, RunEnded, SandboxStarted, Warned
from agentui.run import placement
from agentui.run.ports import StandIn, StartServer, Workshop
from agentui.run.supervisor import Supervisor
from tests.fakes import ATTENDED, UNATTENDED, FunctionSandbox, Log, PlayedBackend, run_parts, says


class AbsentEngine:
    """An engine that is off until it is started."""

    def __init__(self, fails: bool = False) -> None:
        self.started = 0
        self.is_there = False
        self._fails = fails

    async def open(self) -> Workshop:
        if not self.is_there:
            raise EngineUnavailable("No container engine answers", hint="Start Docker")
        return Workshop(FunctionSandbox(), None, None)

    async def start(self) -> None:
        self.started += 1
        if self._fails:
            raise BackendUnavailable("open ended with exit code 1")
        self.is_there = True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "POLL_S", 0.01)


def session(engine: AbsentEngine, log: Log, *, has_offer: bool = True) -> Supervisor:
    offer = StartServer("Docker Desktop is installed. Start it?", engine.start) if has_offer else None
    parts = replace(
        run_parts(PlayedBackend([says("hello")]), log), open_workshop=engine.open, start_engine=lambda: offer
    )
    return Supervisor(parts, ATTENDED)


async def end(supervisor: Supervisor, serving: asyncio.Task[None]) -> None:
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)


async def test_the_engine_is_started_only_after_a_yes_and_the_task_waits() -> None:
    log, engine = Log(), AbsentEngine()
    supervisor = session(engine, log)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("work"))
    asked = await log.wait_for(ApprovalAsked)
    assert asked.choices == (placement.START, placement.TRY_AGAIN, placement.TALK_ONLY)
    assert (engine.started, log.of(RunEnded)) == (0, [])
    supervisor.send(Answer(asked.ask_id, placement.START))
    assert (await log.wait_for(RunEnded)).reason == "done"
    assert (engine.started, len(log.of(SandboxStarted))) == (1, 1)
    await end(supervisor, serving)


async def test_an_engine_that_comes_by_itself_takes_the_question_back() -> None:
    log, engine = Log(), AbsentEngine()
    supervisor = session(engine, log, has_offer=False)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("work"))
    asked = await log.wait_for(ApprovalAsked)
    assert asked.choices == (placement.TRY_AGAIN, placement.TALK_ONLY)
    engine.is_there = True
    await log.wait_for(RunEnded)
    assert [given.by for given in log.of(ApprovalGiven)] == ["run"]
    assert len(log.of(SandboxStarted)) == 1
    await end(supervisor, serving)


async def test_a_start_that_fails_is_told_and_asked_about_without_the_offer() -> None:
    log, engine = Log(), AbsentEngine(fails=True)
    supervisor = session(engine, log)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("work"))
    first = await log.wait_for(ApprovalAsked)
    supervisor.send(Answer(first.ask_id, placement.START))
    assert "exit code 1" in (await log.wait_for(Warned, lambda w: w.code == "not_started")).text
    second = await log.wait_for(ApprovalAsked, lambda asked: asked.ask_id != first.ask_id)
    assert placement.START not in second.choices
    supervisor.send(Answer(second.ask_id, placement.TALK_ONLY))
    assert (await log.wait_for(RunEnded)).reason == "done"
    assert log.of(SandboxStarted) == []
    await end(supervisor, serving)


async def test_the_sandbox_that_needs_no_engine_is_used_only_when_chosen() -> None:
    log, engine = Log(), AbsentEngine()
    opened: list[str] = []

    async def open_jail() -> Workshop:
        opened.append("jail")
        return Workshop(FunctionSandbox(), None, None)

    parts = replace(
        run_parts(PlayedBackend([says("hello")]), log),
        open_workshop=engine.open,
        stand_in=StandIn("use bubblewrap", "It holds less.", open_jail),
    )
    supervisor = Supervisor(parts, ATTENDED)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("work"))
    asked = await log.wait_for(ApprovalAsked)
    assert asked.choices == (placement.TRY_AGAIN, "use bubblewrap", placement.TALK_ONLY)
    assert "It holds less." in asked.why
    assert opened == []
    supervisor.send(Answer(asked.ask_id, "use bubblewrap"))
    assert (await log.wait_for(RunEnded)).reason == "done"
    assert (opened, len(log.of(SandboxStarted))) == (["jail"], 1)
    await end(supervisor, serving)


async def test_an_unattended_run_starts_no_engine() -> None:
    log, engine = Log(), AbsentEngine()
    parts = replace(
        run_parts(PlayedBackend([]), log),
        open_workshop=engine.open,
        start_engine=lambda: StartServer("Start it?", engine.start),
        stand_in=StandIn("use bubblewrap", "It holds less.", engine.open),
    )
    assert (await Supervisor(parts, UNATTENDED).run_once("work")).reason == "unavailable"
    assert (engine.started, log.of(ApprovalAsked)) == (0, [])
