from __future__ import annotations

import asyncio
from dataclasses import replace

from agentui.control import (
    Answer,
    Compact,
    Interrupt,
    Pause,
    Quit,
    Resume,
    RunCommand,
    SendNow,
    Step,
    Submit,
    TakeBack,
)
from agentui.errors import BackendRefused, BackendUnavailable, ContextOverflow, StreamBroken
from agentui.events import (
    ApprovalAsked,
    BackendRetried,
    CompactionEnded,
    HistoryReplaced,
    LoopSuspected,
    PauseAsked,
    Paused,
    RequestEnded,
    Resumed,
    RunEnded,
    RunStarted,
    StateChanged,
    SteerApplied,
    SteerQueued,
    SteerWithdrawn,
    ToolEnded,
    ToolFrozen,
    ToolStarted,
    ToolThawed,
)
from agentui.history import fold_history
from agentui.run.supervisor import Supervisor
from tests.fakes import ATTENDED, UNATTENDED, FunctionSandbox, Hang, Log, PlayedBackend, calls, run_parts, says
from tests.serving import assert_balanced, serving


async def test_a_task_runs_commands_and_ends_done() -> None:
    log, sandbox = Log(), FunctionSandbox({"ls": (0, b"a.py\n")})
    backend = PlayedBackend([calls("ls"), says("all fine")])
    ended = await Supervisor(run_parts(backend, log, sandbox), UNATTENDED).run_once("look")
    assert (ended.reason, ended.turns, ended.commands) == ("done", 2, 1)
    assert sandbox.ran == ["ls"]
    assert backend.requests[1].messages[-1]["content"] == "a.py\n[exit 0]"
    assert backend.is_closed
    assert_balanced(log)


async def test_the_second_request_repeats_the_first_ones_messages_as_its_prefix() -> None:
    backend = PlayedBackend([calls("ls"), calls("pwd"), says("done")])
    log = Log()
    await Supervisor(run_parts(backend, log, FunctionSandbox()), UNATTENDED).run_once("look")
    for earlier, later in zip(backend.requests, backend.requests[1:], strict=False):
        assert later.messages[: len(earlier.messages)] == earlier.messages
    assert (
        tuple(fold_history(log.events))[: len(backend.requests[-1].messages)] == backend.requests[-1].messages
    )


async def test_pause_holds_before_the_next_command_and_resume_goes_on() -> None:
    hang = Hang()
    backend = PlayedBackend([[hang, *calls("ls")], says("done")])
    log, sandbox = Log(), FunctionSandbox()
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("look"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause())
        hang.open.set()
        paused = await log.wait_for(Paused)
        assert paused.at == "before_command"
        assert sandbox.ran == []
        assert backend.open_requests == 0
        assert [e.hold for e in log.of(StateChanged)][-1] == "paused"
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    assert sandbox.ran == ["ls"]
    assert len(log.of(Resumed)) == 1
    assert_balanced(log)


async def test_a_second_pause_freezes_the_generation_and_resume_asks_the_same_bytes_again() -> None:
    hang = Hang()
    backend = PlayedBackend([[*says("half")[:1], hang], says("whole")])
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("talk"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause())
        assert backend.open_requests == 1
        supervisor.send(Pause())
        paused = await log.wait_for(Paused)
        assert paused.at == "during_request"
        assert backend.open_requests == 0
        assert log.of(StateChanged)[-1].hold == "frozen"
        supervisor.send(Resume())
        await log.wait_for(RunEnded)
    assert backend.requests[0] == replace(backend.requests[1], max_tokens=backend.requests[0].max_tokens)
    assert [e.outcome for e in log.of(RequestEnded)] == ["frozen", "done"]
    assert_balanced(log)


async def test_a_second_pause_freezes_a_running_command_and_resume_thaws_it() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("sleep"), says("done")])
    log, sandbox = Log(), FunctionSandbox(hangs={"sleep": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("wait"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause(freeze=True))
        await log.wait_for(Paused, lambda e: e.at == "during_command")
        assert log.of(ToolFrozen)
        supervisor.send(Resume())
        await log.wait_for(ToolThawed)
        hang.open.set()
        ended = await log.wait_for(RunEnded)
    assert ended.reason == "done"
    assert (sandbox.frozen, sandbox.thawed) == (1, 1)
    assert_balanced(log)


async def test_step_runs_to_the_next_safe_point_only() -> None:
    hang = Hang()
    backend = PlayedBackend([[hang, *calls("one", "two")], says("done")])
    log, sandbox = Log(), FunctionSandbox()
    seen: list[tuple[str, list[str]]] = []
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Pause())
        hang.open.set()
        for count in range(1, 4):
            await log.wait_for(Paused, lambda e, count=count: len(log.of(Paused)) == count)  # type: ignore[misc]
            seen.append((log.of(Paused)[-1].at, list(sandbox.ran)))
            supervisor.send(Step() if count < 3 else Resume())
        await log.wait_for(RunEnded)
    assert seen == [("before_command", []), ("before_command", ["one"]), ("before_request", ["one", "two"])]
    assert len([e for e in log.of(PauseAsked) if e.by == "step"]) == 2
    assert_balanced(log)


async def test_a_steer_during_a_command_skips_the_remaining_calls_and_is_in_the_next_request() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("first", "second"), says("done")])
    log, sandbox = Log(), FunctionSandbox(hangs={"first": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("work"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Submit("rather look at b.py"))
        hang.open.set()
        await log.wait_for(RunEnded)
    assert sandbox.ran == ["first"]
    assert [e.outcome for e in log.of(ToolEnded)] == ["ok", "skipped"]
    assert backend.requests[1].messages[-1] == {"role": "user", "content": "rather look at b.py"}
    assert len(log.of(SteerQueued)) == len(log.of(SteerApplied)) == 1
    assert_balanced(log)


async def test_a_queued_text_waits_until_the_agent_would_stop() -> None:
    hang = Hang()
    backend = PlayedBackend([[hang, *calls("ls")], says("first done"), says("second done")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("first"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Submit("second", queue=True))
        hang.open.set()
        ended = await log.wait_for(RunEnded)
    assert ended.turns == 3
    assert [m["content"] for m in backend.requests[1].messages if m["role"] == "user"] == ["first"]
    assert backend.requests[2].messages[-1]["content"] == "second"


async def test_sending_a_steer_now_cuts_the_generation_and_asks_again_with_it() -> None:
    hang = Hang()
    backend = PlayedBackend([[hang], says("as you wish")])
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("talk"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Submit("shorter"))
        supervisor.send(SendNow())
        await log.wait_for(RunEnded)
    assert backend.requests[1].messages[-1]["content"] == "shorter"
    assert_balanced(log)


async def test_queued_text_can_be_taken_back_and_is_never_sent_by_an_interrupt() -> None:
    hang = Hang()
    backend = PlayedBackend([[hang]])
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("talk"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Submit("one", queue=True))
        supervisor.send(Submit("two", queue=True))
        supervisor.send(TakeBack())
        supervisor.send(Interrupt())
        ended = await log.wait_for(RunEnded)
        assert log.of(SteerWithdrawn)[0].steer_id == log.of(SteerQueued)[1].steer_id
    assert ended.reason == "interrupted"
    assert not log.of(SteerApplied)
    assert len(backend.requests) == 1
    assert_balanced(log)


async def test_an_interrupt_during_generation_keeps_what_was_said_and_the_next_task_goes_on() -> None:
    hang = Hang()
    backend = PlayedBackend([[*says("half a")[:2], hang], says("again")])
    log = Log()
    async with serving(backend, log) as supervisor:
        supervisor.send(Submit("talk"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Interrupt())
        await log.wait_for(RunEnded)
        supervisor.send(Submit("go on"))
        await log.wait_for(RunEnded, lambda e: e.reason == "done")
    contents = [m["content"] for m in backend.requests[1].messages]
    assert any("half a" in text and "interrupted" in text for text in contents)
    assert_balanced(log)


async def test_an_interrupt_during_a_command_kills_it_and_answers_every_call() -> None:
    hang = Hang()
    backend = PlayedBackend([calls("sleep", "never")])
    log, sandbox = Log(), FunctionSandbox(hangs={"sleep": hang})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(Submit("wait"))
        await asyncio.wait_for(hang.reached.wait(), 10)
        supervisor.send(Interrupt())
        ended = await log.wait_for(RunEnded)
    assert ended.reason == "interrupted"
    assert [e.outcome for e in log.of(ToolEnded)] == ["cancelled"]
    assert_balanced(log)


async def test_an_interrupt_while_paused_ends_the_run() -> None:
    backend = PlayedBackend([calls("ls")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await log.wait_for(RunStarted)
        supervisor.send(Pause())
        await log.wait_for(Paused)
        supervisor.send(Interrupt())
        ended = await log.wait_for(RunEnded)
    assert ended.reason == "interrupted"
    assert_balanced(log)


async def test_with_approval_asked_a_refused_command_never_runs() -> None:
    backend = PlayedBackend([calls("rm -rf ."), says("fine")])
    log, sandbox = Log(), FunctionSandbox()
    async with serving(backend, log, sandbox, replace(ATTENDED, approve="ask")) as supervisor:
        supervisor.send(Submit("clean"))
        asked = await log.wait_for(ApprovalAsked)
        assert log.of(StateChanged)[-1].phase == "waiting_for_user"
        supervisor.send(Answer(asked.ask_id, "no"))
        await log.wait_for(RunEnded)
    assert sandbox.ran == []
    assert [e.outcome for e in log.of(ToolEnded)] == ["denied"]
    assert_balanced(log)


async def test_the_same_result_three_times_is_told_to_the_model_and_then_stops_an_unattended_run() -> None:
    backend = PlayedBackend([calls("ls")] * 4)
    log = Log()
    parts = run_parts(backend, log, FunctionSandbox())
    ended = await Supervisor(parts, UNATTENDED).run_once("look")
    assert ended.reason == "limit"
    assert [e.action for e in log.of(LoopSuspected)] == ["told_model", "stopped"]
    assert "try something else" in backend.requests[3].messages[-1]["content"]
    assert_balanced(log)


async def test_max_turns_ends_the_run_as_limit() -> None:
    backend = PlayedBackend([calls("a"), calls("b")])
    log = Log()
    policy = replace(UNATTENDED, max_turns=2)
    ended = await Supervisor(run_parts(backend, log, FunctionSandbox()), policy).run_once("look")
    assert (ended.reason, ended.turns) == ("limit", 2)
    assert_balanced(log)


async def test_a_broken_stream_is_asked_again_and_a_refusal_is_not() -> None:
    backend = PlayedBackend([[*says("x")[:1], StreamBroken("cut")], says("whole")])
    log = Log()
    parts = run_parts(backend, log)
    ended = await Supervisor(parts, UNATTENDED).run_once("talk")
    assert ended.reason == "done"
    assert len(log.of(BackendRetried)) == 1
    assert_balanced(log)
    log, backend = Log(), PlayedBackend([[BackendRefused("the model has crashed", status=500)]])
    ended = await Supervisor(run_parts(backend, log), UNATTENDED).run_once("talk")
    assert (ended.reason, ended.error) == ("failed", "the model has crashed")
    assert_balanced(log)


async def test_an_overflow_compacts_once_keeps_the_users_words_and_goes_on() -> None:
    backend = PlayedBackend(
        [calls("ls"), [ContextOverflow("too long")], says("I looked at the files"), says("done")]
    )
    log = Log()
    ended = await Supervisor(run_parts(backend, log, FunctionSandbox()), UNATTENDED).run_once("my task")
    assert ended.reason == "done"
    replaced = log.of(HistoryReplaced)[0].messages
    assert [m["role"] for m in replaced] == ["system", "user"]
    assert "my task" in replaced[1]["content"]
    assert "I looked at the files" in replaced[1]["content"]
    assert log.of(CompactionEnded)[0].error is None
    assert backend.requests[-1].messages == replaced
    assert_balanced(log)


async def test_a_prompt_that_cannot_fit_is_not_sent() -> None:
    backend = PlayedBackend([], context_tokens=2048)
    log = Log()
    ended = await Supervisor(run_parts(backend, log), UNATTENDED).run_once("word " * 4000)
    assert ended.reason == "limit"
    assert "task alone" in (ended.error or "")
    assert "2,048" in (ended.error or "")
    assert "file" in ended.hint
    assert backend.requests == []
    assert_balanced(log)


async def test_compaction_asked_while_idle_replaces_the_history() -> None:
    backend = PlayedBackend([calls("ls"), says("done"), says("a summary")])
    log = Log()
    async with serving(backend, log, FunctionSandbox()) as supervisor:
        supervisor.send(Submit("look"))
        await log.wait_for(RunEnded)
        supervisor.send(Compact())
        await log.wait_for(CompactionEnded)
    assert len(log.of(HistoryReplaced)) == 1


async def test_a_command_of_the_users_is_told_to_the_model_with_its_next_request() -> None:
    backend = PlayedBackend([says("hello")])
    log, sandbox = Log(), FunctionSandbox({"make": (2, b"no rule\n")})
    async with serving(backend, log, sandbox) as supervisor:
        supervisor.send(RunCommand("make"))
        ended = await log.wait_for(ToolEnded)
        assert ended.exit_code == 2
        supervisor.send(Submit("what went wrong?"))
        await log.wait_for(RunEnded)
    assert any("no rule" in m["content"] for m in backend.requests[0].messages)
    assert log.of(ToolStarted)[0].label == "user"


async def test_without_a_server_an_unattended_run_ends_unavailable() -> None:
    log = Log()
    parts = run_parts(PlayedBackend([]), log)

    async def find() -> PlayedBackend:
        raise BackendUnavailable("nothing answers at http://127.0.0.1:1", hint="start the server")

    ended = await Supervisor(replace(parts, find_backend=find), UNATTENDED).run_once("talk")
    assert (ended.reason, ended.hint) == ("unavailable", "start the server")
    assert_balanced(log)


async def test_quitting_while_no_server_answers_ends_the_session() -> None:
    log = Log()
    parts = run_parts(PlayedBackend([]), log)

    async def find() -> PlayedBackend:
        raise BackendUnavailable("nothing answers")

    supervisor = Supervisor(replace(parts, find_backend=find), ATTENDED)
    task = asyncio.create_task(supervisor.serve())
    await log.wait_for(StateChanged)
    supervisor.send(Submit("kept"))
    supervisor.send(Quit())
    await asyncio.wait_for(task, 10)
