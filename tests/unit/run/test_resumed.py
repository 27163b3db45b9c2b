"""A session that goes on: after quitting, and after a crash at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentui.control import Answer, Interrupt, Pause, Quit, Resume, RunCommand, Submit, TakeBack
from agentui.errors import UsageError
from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    EndReason,
    Event,
    NoticeQueued,
    Paused,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    SessionResumed,
    SteerQueued,
    SteerWithdrawn,
    ToolEnded,
    ToolStarted,
    TurnStarted,
)
from agentui.harness.base import ENDED_FIRST
from agentui.history import fold_history, open_call_ids
from agentui.run.ports import RunParts
from agentui.run.resumed import ResumedState, balanced, resumed_from
from agentui.run.supervisor import Supervisor
from tests.fakes import ATTENDED, UNATTENDED, FunctionSandbox, Hang, Log, PlayedBackend, calls, run_parts, says
from tests.serving import assert_balanced, serving


def recorded(events: Sequence[Event]) -> list[Recorded]:
    return [Recorded(n, float(n), "", RunId(""), event) for n, event in enumerate(events, start=1)]


def going_on(log: Log, parts: RunParts) -> RunParts:
    """The parts of a session that goes on where `log` ends; ids do not repeat those in it."""
    return replace(
        parts, resumed=resumed_from(recorded(log.events)), ids=lambda prefix: "2nd-" + parts.ids(prefix)
    )


async def quit_in_a_command(*, paused: bool = False) -> tuple[Log, PlayedBackend]:
    """A session that was quit while the first of two commands ran, with a pause asked for or without."""
    log, hang, backend = Log(), Hang(), PlayedBackend([calls("sleep", "never")])
    sandbox = FunctionSandbox(hangs={"sleep": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("the task"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Submit("and b.py", queue=True))
        if paused:
            supervisor.send(Pause())
        supervisor.send(Quit())
    return log, backend


async def test_quitting_in_a_command_leaves_a_run_that_goes_on() -> None:
    log, _ = await quit_in_a_command()
    ended = log.of(RunEnded)[0]
    assert (ended.reason, ended.is_saved) == ("interrupted", True)
    assert "agentui -c" in ended.hint
    assert [e.message for e in log.of(ToolEnded)] == ["agentui ended before it did"]
    results = [m["content"] for m in fold_history(log.events) if m["role"] == "tool"]
    assert results == [ENDED_FIRST, ENDED_FIRST]
    assert_balanced(log)


async def test_a_run_that_was_not_held_goes_on_by_itself() -> None:
    before, _ = await quit_in_a_command()
    log, backend = Log(), PlayedBackend([says("done"), says("b done")])
    async with serving(
        backend, log, FunctionSandbox(), change=lambda parts: going_on(before, parts), ready=False
    ):
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert not log.of(Paused)
    assert list(backend.requests[0].messages) == fold_history(before.events)


async def test_a_run_that_was_held_begins_held_and_goes_on_from_the_identical_prefix() -> None:
    before, _ = await quit_in_a_command(paused=True)
    log, backend = Log(), PlayedBackend([says("done"), says("b done")])
    async with serving(
        backend, log, FunctionSandbox(), change=lambda parts: going_on(before, parts), ready=False
    ) as supervisor:
        paused = await log.wait_for(Paused)
        assert (paused.at, backend.requests) == ("before_request", [])
        assert (log.of(RunStarted)[0].task, log.of(RunStarted)[0].goes_on) == ("the task", True)
        supervisor.send(Resume())
        assert (await log.wait_for(RunEnded)).reason == "done"
    assert isinstance(log.events[0], SessionResumed)
    assert log.events[0].after_seq == len(before.events)
    assert list(backend.requests[0].messages) == fold_history(before.events)
    assert backend.requests[1].messages[-1]["content"] == "and b.py"
    assert open_call_ids(fold_history([*before.events, *log.events])) == []


async def test_an_answer_that_was_cut_by_quitting_is_asked_for_again() -> None:
    before, hang = Log(), Hang()
    first = PlayedBackend([[*says("half of it")[:2], hang]])
    async with serving(first, before) as supervisor:
        supervisor.send(Submit("talk"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Quit())
    log, backend = Log(), PlayedBackend([says("whole")])
    ended = await Supervisor(going_on(before, run_parts(backend, log)), UNATTENDED).run_once(None)
    assert ended.reason == "done"
    assert backend.requests[0].messages == first.requests[0].messages


async def test_an_interrupt_of_the_users_is_an_end_and_nothing_goes_on() -> None:
    before, hang = Log(), Hang()
    async with serving(PlayedBackend([[hang]]), before) as supervisor:
        supervisor.send(Submit("talk"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Interrupt())
        assert not (await before.wait_for(RunEnded)).is_saved
    state = resumed_from(recorded(before.events))
    assert state.unfinished is None


async def test_a_finished_session_waits_for_the_next_task_and_keeps_its_prefix() -> None:
    before, first = Log(), PlayedBackend([calls("ls"), says("one")])
    async with serving(first, before, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await before.wait_for(RunEnded)
    log, backend = Log(), PlayedBackend([says("two")])
    async with serving(
        backend, log, FunctionSandbox(), change=lambda parts: going_on(before, parts)
    ) as supervisor:
        supervisor.send(Submit("second"))
        await log.wait_for(RunEnded)
    history = fold_history(before.events)
    assert list(backend.requests[0].messages[: len(history)]) == history
    assert backend.requests[0].messages[-1]["content"] == "second"
    assert len(log.of(RunStarted)) == 1


async def test_what_was_typed_and_not_sent_waits_again_and_can_be_taken_back() -> None:
    before, _ = await quit_in_a_command(paused=True)
    log = Log()
    async with serving(
        PlayedBackend([]), log, FunctionSandbox(), change=lambda parts: going_on(before, parts), ready=False
    ) as supervisor:
        await log.wait_for(Paused)
        supervisor.send(TakeBack())
        assert [e.steer_id for e in log.of(SteerWithdrawn)] == [before.of(SteerQueued)[0].steer_id]
        supervisor.send(Interrupt())
        await log.wait_for(RunEnded)


async def test_a_task_given_instead_is_worked_on_with_the_history_that_was() -> None:
    before, _ = await quit_in_a_command()
    log, backend = Log(), PlayedBackend([says("new"), says("b")])
    parts = going_on(before, run_parts(backend, log, FunctionSandbox()))
    ended = await Supervisor(parts, UNATTENDED).run_once("something else")
    assert ended.reason == "done"
    assert backend.requests[0].messages[-1]["content"] == "something else"
    assert not log.of(RunStarted)[0].goes_on


async def test_commands_go_on_where_they_were_and_under_ids_that_were_not_used() -> None:
    before, _ = await quit_in_a_command()
    state = replace(resumed_from(recorded(before.events)), cwd="/project/src")
    log, sandbox = Log(), FunctionSandbox()
    backend = PlayedBackend([calls("sleep"), says("done"), says("b")])
    parts = replace(going_on(before, run_parts(backend, log, sandbox)), resumed=state)
    await Supervisor(parts, UNATTENDED).run_once("again")
    assert log.of(ToolStarted)[0].cwd == "/project/src"
    assert log.of(ToolStarted)[0].call_id not in {e.call_id for e in before.of(ToolStarted)}


async def test_a_session_killed_at_any_moment_loses_no_text_and_goes_on_with_a_valid_history() -> None:
    log, thinking, second = Log(), Hang(), Hang()
    answers = [[thinking, *calls("ls", "pwd")], [second, *calls("ls")], says("one"), says("two")]
    backend, sandbox = PlayedBackend(answers), FunctionSandbox({"make": (2, b"no rule\n")})
    async with serving(backend, log, sandbox, replace(ATTENDED, approve="ask")) as supervisor:
        supervisor.send(RunCommand("make"))
        supervisor.send(Submit("first"))
        await asyncio.wait_for(thinking.reached.wait(), 10)
        supervisor.send(Pause())
        thinking.open.set()
        await log.wait_for(Paused)
        supervisor.send(Resume())
        asked = await log.wait_for(ApprovalAsked)
        supervisor.send(Answer(asked.ask_id, "always in this session"))
        await asyncio.wait_for(second.reached.wait(), 10)
        supervisor.send(Submit("a steer"))
        supervisor.send(Submit("a follow-up", queue=True))
        second.open.set()
        await log.wait_for(RunEnded)
    assert log.of(NoticeQueued)
    for cut_at in range(len(log.events) + 1):
        past = log.events[:cut_at]
        state = resumed_from(recorded(past))
        assert list(state.messages) == fold_history(past)
        whole = Log(list(past))
        assert open_call_ids(balanced(state, whole.emit).messages) == []
        assert_balanced(whole)
        assert len(whole.of(ApprovalAsked)) == len(whole.of(ApprovalGiven))
        assert resumed_from(recorded(whole.events)).closings == ()
        assert resumed_from(recorded(whole.events)).unfinished == state.unfinished
        assert_told_as_it_was(past, state)
        assert_kept(past, state)


def assert_told_as_it_was(past: Sequence[Event], state: ResumedState) -> None:
    """The end that a killed run is given counts what it did."""
    ended = [event for event in state.closings if isinstance(event, RunEnded)]
    begun = [index for index, event in enumerate(past) if isinstance(event, RunStarted)]
    for run in ended:
        done = past[begun[-1] :]
        assert run.turns == sum(isinstance(event, TurnStarted) for event in done)
        assert run.commands == sum(isinstance(e, ToolStarted) and e.label != "user" for e in done)
        assert run.is_saved


def assert_kept(past: Sequence[Event], state: ResumedState) -> None:
    """Every text of the user's, and every notice, is in the history or still waits; none is in both."""
    # what the user says in a row goes to the model in one message
    said = [text for m in state.messages if m["role"] == "user" for text in m["content"].split("\n\n")]
    waiting = [item.text for item in state.queue]
    if state.unfinished is not None and not state.unfinished.is_said:
        waiting.append(state.unfinished.task)
    for event in past:
        match event:
            case SteerQueued(_, text):
                assert (text in said) != (text in waiting), text
            case NoticeQueued(text):
                assert (text in said) != (text in state.notices), text
            case RunStarted(task) if state.unfinished is not None and state.unfinished.task == task:
                assert state.unfinished.is_said == (task in said)
            case _:
                pass


async def test_going_on_when_everything_was_said_asks_nothing() -> None:
    before = Log()
    async with serving(PlayedBackend([says("all done")]), before) as supervisor:
        supervisor.send(Submit("talk"))
        await before.wait_for(RunEnded)
    end = next(n for n, event in enumerate(before.events) if isinstance(event, RunEnded))
    log, backend = Log(), PlayedBackend([])
    killed = Log(before.events[:end])
    async with serving(
        backend, log, policy=ATTENDED, change=lambda parts: going_on(killed, parts), ready=False
    ):
        await log.wait_for(RunEnded, lambda e: e.reason == "done")
    assert backend.requests == []


async def test_a_run_that_was_done_is_not_begun_again_and_its_end_is_told() -> None:
    before = Log()
    async with serving(PlayedBackend([says("all done")]), before) as supervisor:
        supervisor.send(Submit("talk"))
        ended = await before.wait_for(RunEnded)
    log, backend = Log(), PlayedBackend([])
    parts = going_on(before, run_parts(backend, log, FunctionSandbox()))
    assert await Supervisor(parts, UNATTENDED).run_once(None) == ended
    assert (backend.requests, log.events) == ([], [])


@pytest.mark.parametrize("past", [[], ["interrupted"]])
async def test_there_is_nothing_to_go_on_with_where_no_run_was_done(past: list[EndReason]) -> None:
    log = Log([RunEnded(reason) for reason in past])
    parts = going_on(log, run_parts(PlayedBackend([]), log, FunctionSandbox()))
    with pytest.raises(UsageError, match="no run to go on with"):
        await Supervisor(parts, UNATTENDED).run_once(None)
