from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agentui.control import Answer, Quit, Submit
from agentui.errors import BackendUnavailable
from agentui.events import ApprovalAsked, ApprovalGiven, RunEnded, Warned
from agentui.run import placement, prepare
from agentui.run.ports import StartServer
from agentui.run.supervisor import Supervisor
from tests.fakes import ATTENDED, UNATTENDED, Log, PlayedBackend, run_parts, says


class Absent:
    """A server that is not there until it is started."""

    def __init__(self, backend: PlayedBackend, fails: bool = False) -> None:
        self.backend = backend
        self.started = 0
        self.is_there = False
        self._fails = fails

    async def find(self) -> PlayedBackend:
        if not self.is_there:
            raise BackendUnavailable("nothing answers")
        return self.backend

    async def start(self) -> None:
        self.started += 1
        if self._fails:
            raise BackendUnavailable("lms ended with exit code 1")
        self.is_there = True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "POLL_S", 0.01)


def session(absent: Absent, log: Log) -> Supervisor:
    parts = replace(
        run_parts(absent.backend, log),
        find_backend=absent.find,
        start_server=lambda: StartServer("LM Studio is installed. Start it?", absent.start),
    )
    return Supervisor(parts, ATTENDED)


async def test_the_server_is_started_only_after_a_yes_and_the_typed_task_is_kept() -> None:
    log, absent = Log(), Absent(PlayedBackend([says("hello")]))
    supervisor = session(absent, log)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("talk"))
    asked = await log.wait_for(ApprovalAsked)
    assert absent.started == 0
    supervisor.send(Answer(asked.ask_id, placement.START))
    assert (await log.wait_for(RunEnded)).reason == "done"
    assert absent.started == 1
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)


async def test_a_server_that_comes_by_itself_takes_the_question_back() -> None:
    log, absent = Log(), Absent(PlayedBackend([says("hello")]))
    supervisor = session(absent, log)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("talk"))
    await log.wait_for(ApprovalAsked)
    absent.is_there = True
    await log.wait_for(RunEnded)
    assert [given.by for given in log.of(ApprovalGiven)] == ["run"]
    assert absent.started == 0
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)


async def test_a_start_that_fails_is_told_and_the_server_is_still_looked_for() -> None:
    log, absent = Log(), Absent(PlayedBackend([says("hello")]), fails=True)
    supervisor = session(absent, log)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("talk"))
    asked = await log.wait_for(ApprovalAsked)
    supervisor.send(Answer(asked.ask_id, placement.START))
    assert "exit code 1" in (await log.wait_for(Warned, lambda w: w.code == "not_started")).text
    absent.is_there = True
    assert (await log.wait_for(RunEnded)).reason == "done"
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)


async def test_an_unattended_run_starts_nothing() -> None:
    log, absent = Log(), Absent(PlayedBackend([]))
    parts = replace(
        run_parts(absent.backend, log),
        find_backend=absent.find,
        start_server=lambda: StartServer("Start it?", absent.start),
    )
    assert (await Supervisor(parts, UNATTENDED).run_once("talk")).reason == "unavailable"
    assert (absent.started, log.of(ApprovalAsked)) == (0, [])
