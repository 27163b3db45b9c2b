from __future__ import annotations

import asyncio

from agentui.control import Answer, Quit, Submit
from agentui.events import ApprovalAsked, RunEnded
from agentui.run import placement
from agentui.run.supervisor import Supervisor
from agentui.workspace.settings import FolderSize, SeedQuestion, SeedTooLarge
from tests.fakes import ATTENDED, UNATTENDED, FunctionSandbox, Log, PlayedBackend, run_parts, says
from tests.serving import StubWorkspace

QUESTION = SeedQuestion(
    12,
    812_000_000,
    500_000_000,
    (
        FolderSize("data", 9, 800_000_000),
        FolderSize(".", 3, 12_000_000),
        FolderSize("data/raw", 8, 700_000_000),
    ),
)


def large() -> StubWorkspace:
    return StubWorkspace(fails={"prepare": SeedTooLarge(QUESTION)})


async def test_a_large_project_is_copied_only_after_a_yes_that_was_asked_with_its_folders() -> None:
    log, workspace = Log(), large()
    parts = run_parts(PlayedBackend([says("done")]), log, FunctionSandbox(), workspace)
    supervisor = Supervisor(parts, ATTENDED)
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("work"))
    asked = await log.wait_for(ApprovalAsked)
    assert "812 MB" in asked.question
    assert "data" in asked.why
    assert "  raw" in asked.why.split("data", 1)[1]
    assert "agree_to_size" not in workspace.called
    supervisor.send(Answer(asked.ask_id, placement.COPY))
    assert (await log.wait_for(RunEnded)).reason == "done"
    assert workspace.called.count("prepare") == 2
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)


async def test_a_no_to_the_size_leaves_it_to_the_user_what_now() -> None:
    log, workspace = Log(), large()
    supervisor = Supervisor(
        run_parts(PlayedBackend([says("talk")]), log, FunctionSandbox(), workspace), ATTENDED
    )
    serving = asyncio.create_task(supervisor.serve())
    supervisor.send(Submit("work"))
    first = await log.wait_for(ApprovalAsked)
    supervisor.send(Answer(first.ask_id, placement.LEAVE))
    second = await log.wait_for(ApprovalAsked, lambda asked: asked.ask_id != first.ask_id)
    supervisor.send(Answer(second.ask_id, placement.TALK_ONLY))
    assert (await log.wait_for(RunEnded)).reason == "done"
    assert "agree_to_size" not in workspace.called
    supervisor.send(Quit())
    await asyncio.wait_for(serving, 10)


async def test_without_anybody_to_ask_the_run_ends_and_names_the_flag() -> None:
    log = Log()
    supervisor = Supervisor(
        run_parts(PlayedBackend([says("never")]), log, FunctionSandbox(), large()), UNATTENDED
    )
    ended = await supervisor.run_once("work")
    assert ended.reason == "unavailable"
    assert ended.hint is not None
    assert "--seed-limit 775m" in ended.hint
