"""The loop at its edges: limits, compaction at the wrong moment, and histories that a server must accept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from agentui.backends.base import FinishPart, TextPart, ToolCallPart
from agentui.control import Compact, Interrupt, Pause, Resume, Submit
from agentui.errors import ContextOverflow
from agentui.events import (
    CompactionEnded,
    CompactionStarted,
    HistoryReplaced,
    Paused,
    RequestStarted,
    RunEnded,
    RunStarted,
    SteerQueued,
    SteerWithdrawn,
)
from agentui.history import fold_history
from agentui.run.supervisor import Supervisor
from tests.fakes import (
    ATTENDED,
    UNATTENDED,
    FunctionSandbox,
    Hang,
    Log,
    Played,
    PlayedBackend,
    calls,
    run_parts,
    says,
)
from tests.serving import assert_balanced, serving


async def test_a_steer_typed_during_a_compaction_is_in_the_request_after_it() -> None:
    thinking, summing = Hang(), Hang()
    backend = PlayedBackend([[thinking, *calls("ls")], [summing, *says("a summary")], says("done")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Compact())
        thinking.open.set()
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Submit("shorter"))
        summing.open.set()
        await log.wait_for(RunEnded)
    assert backend.requests[2].messages[-1]["content"] == "shorter"
    assert_balanced(log)


async def test_a_pause_during_a_compaction_holds_before_the_request_after_it() -> None:
    thinking, summing = Hang(), Hang()
    backend = PlayedBackend([[thinking, *calls("ls")], [summing, *says("a summary")], says("done")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Compact())
        thinking.open.set()
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Pause())
        summing.open.set()
        assert (await log.wait_for(Paused)).at == "before_request"
        assert len(backend.requests) == 2
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    assert_balanced(log)


async def test_an_interrupted_compaction_leaves_none_of_its_summary_in_the_history() -> None:
    thinking, summing = Hang(), Hang()
    backend = PlayedBackend([[thinking, *calls("ls")], [TextPart("half a summary"), summing]])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Compact())
        thinking.open.set()
        await asyncio.wait_for(summing.reached.wait(), 10)
        supervisor.send(Interrupt())
        assert (await log.wait_for(RunEnded)).reason == "interrupted"
    assert "half a summary" not in json.dumps(fold_history(log.events))
    assert_balanced(log)


async def test_a_summary_that_does_not_fit_either_is_made_without_the_model() -> None:
    overflow = ContextOverflow("too long")
    backend = PlayedBackend([calls("ls"), [overflow], [overflow], [overflow], says("done")])
    log = Log()
    ended = await Supervisor(run_parts(backend, log, FunctionSandbox()), UNATTENDED).run_once("my task")
    assert ended.reason == "done"
    assert [e.error for e in log.of(CompactionEnded)] == [None]
    replaced = log.of(HistoryReplaced)[0].messages[-1]["content"]
    assert "my task" in replaced
    assert "ls" in replaced
    assert_balanced(log)


async def test_a_session_that_is_cancelled_during_a_compaction_balances_it() -> None:
    summing = Hang()
    backend = PlayedBackend([calls("ls"), [ContextOverflow("too long")], [summing]])
    log = Log()
    running = asyncio.create_task(
        Supervisor(run_parts(backend, log, FunctionSandbox()), UNATTENDED).run_once("look")
    )
    await asyncio.wait_for(summing.reached.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert log.of(CompactionStarted)
    assert backend.open_requests == 0
    assert_balanced(log)


async def test_a_task_that_cannot_fit_does_not_stay_in_the_way_of_the_next_one() -> None:
    backend = PlayedBackend([says("hello")], context_tokens=2048)
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("word " * 4000))
        assert (await log.wait_for(RunEnded)).reason == "limit"
        supervisor.send(Submit("hi"))
        await log.wait_for(RunEnded, lambda e: e.reason == "done")
    assert [m["content"] for m in backend.requests[0].messages if m["role"] == "user"] == ["hi"]


async def test_the_last_turn_allowed_may_still_answer() -> None:
    backend = PlayedBackend([calls("a"), says("done")])
    ended = await Supervisor(
        run_parts(backend, Log(), FunctionSandbox()), replace(UNATTENDED, max_turns=2)
    ).run_once("look")
    assert (ended.reason, ended.turns) == ("done", 2)


async def test_text_that_waits_when_the_last_turn_is_used_up_begins_a_run_of_its_own() -> None:
    thinking = Hang()
    backend = PlayedBackend([[thinking, *says("one")], says("two")])
    log = Log()
    async with serving(backend, log, policy=replace(ATTENDED, max_turns=1)) as supervisor:
        supervisor.send(Submit("first"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Submit("second", queue=True))
        thinking.open.set()
        await log.wait_for(RunEnded, lambda e: len(log.of(RunEnded)) == 2)
    assert [e.task for e in log.of(RunStarted)] == ["first", "second"]
    assert [e.reason for e in log.of(RunEnded)] == ["done", "done"]
    assert len(log.of(SteerQueued)) == len(log.of(SteerWithdrawn)) == 1


@pytest.mark.parametrize(
    "written", ['{"command": "ls', '{"command": ' + "[" * 100_000], ids=["cut off", "too deep"]
)
async def test_arguments_that_are_no_json_go_back_as_json_a_server_can_read(written: str) -> None:
    broken: Played = [
        ToolCallPart(0, "", "c1", "bash"),
        ToolCallPart(0, written),
        FinishPart("tool_calls"),
    ]
    backend = PlayedBackend([broken, says("sorry")])
    log = Log()
    ended = await Supervisor(run_parts(backend, log, FunctionSandbox()), UNATTENDED).run_once("look")
    assert ended.reason == "done"
    [call] = backend.requests[1].messages[-2]["tool_calls"]
    sent = json.loads(call["function"]["arguments"])
    assert isinstance(sent, dict)
    assert written in sent.values()
    assert_balanced(log)


async def test_a_timeout_that_is_no_number_counts_as_none() -> None:
    arguments = '{"command": "ls", "timeout_s": NaN}'
    odd: Played = [ToolCallPart(0, arguments, "c1", "bash"), FinishPart("tool_calls")]
    backend, log, sandbox = PlayedBackend([odd, says("done")]), Log(), FunctionSandbox()
    ended = await Supervisor(run_parts(backend, log, sandbox), UNATTENDED).run_once("look")
    assert ended.reason == "done"
    assert len(log.of(RequestStarted)) == 2
    assert sandbox.ran == ["ls"]
