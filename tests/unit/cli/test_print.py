from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from pathlib import Path

import pytest

from agentui.cli.print_cmd import EXIT_CODES, MAX_INPUT_BYTES, joined_task, make_printer, print_run, read_input
from agentui.cli.printers import JsonPrinter, Printer, TextPrinter
from agentui.control import Interrupt, Quit
from agentui.errors import UsageError
from agentui.events import (
    BackendRetried,
    EndReason,
    Event,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    Stalled,
    TextDelta,
    ToolEnded,
    ToolStarted,
    TurnStarted,
    Warned,
)
from tests.unit.cli.sessions import C1, ScriptedSession, a_run


def playing(*, ended: RunEnded | None = None) -> ScriptedSession:
    async def script(session: ScriptedSession) -> None:
        for event in a_run(session.task or "", ended):
            session.recorder.emit(event)
            await asyncio.sleep(0)

    return ScriptedSession(script)


async def printed_json(
    session: ScriptedSession, *, samples: bool = False
) -> tuple[int, list[dict[str, object]]]:
    out = io.StringIO()
    code = await print_run(
        lambda: session, "do it", JsonPrinter(out.write, io.StringIO().write, samples=samples)
    )
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


async def test_json_is_one_object_per_line_with_run_ended_last() -> None:
    session = playing()
    code, lines = await printed_json(session)
    types = [line["type"] for line in lines]
    assert code == 0
    assert types[:2] == ["SessionStarted", "RunStarted"]
    assert {"ToolStarted", "ToolEnded", "TextDelta"} < set(types)
    assert types[-1] == "RunEnded"
    assert lines[-1]["reason"] == "done"
    assert "ProcessSample" not in types
    assert session.is_closed


async def test_samples_are_printed_only_when_asked_for() -> None:
    _, lines = await printed_json(playing(), samples=True)
    assert "ProcessSample" in [line["type"] for line in lines]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("reason", sorted(EXIT_CODES))
async def test_the_exit_code_tells_how_the_run_ended(reason: EndReason) -> None:
    expected = {"done": 0, "failed": 1, "limit": 3, "guard": 4, "unavailable": 75, "interrupted": 130}
    code, lines = await printed_json(playing(ended=RunEnded(reason)))
    assert code == expected[reason]
    assert lines[-1]["reason"] == reason


async def test_text_goes_to_stdout_and_everything_else_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    ended = RunEnded("limit", "5 turns were used", "agentui apply", pending_changes=2)
    code = await print_run(lambda: playing(ended=ended), "do it", TextPrinter(out.write, err.write))
    assert code == 3
    assert out.getvalue() == "I look first.\n"
    assert err.getvalue().splitlines() == [
        "$ wc -l",
        "    report.py",
        "  exit 1  0.2 s",
        "agentui: mind this",
        "agentui: limit: 5 turns were used",
        "         agentui apply",
        "agentui: 2 changes wait, not applied to your project",
    ]


def printed_on_one_terminal(*events: Event) -> str:
    both = io.StringIO()
    printer = TextPrinter(both.write, both.write)
    for seq, event in enumerate(events, start=1):
        printer.take(Recorded(seq, 0.0, "", RunId("r"), event))
    return both.getvalue()


def test_a_stall_in_the_answer_is_told_on_its_own_line_with_the_end_of_the_patience() -> None:
    message = MessageId("m1")
    text = printed_on_one_terminal(
        MessageStarted(message, "assistant", 1),
        TextDelta(message, "The cart"),
        Stalled("decode", 30.0, 300.0),
        Stalled("decode", 30.0, 300.0),
        TextDelta(message, " is"),
        MessageEnded(message, "stop"),
    )
    stalled = "agentui: no tokens for 30 s; gives up after 5 min 00 s; Ctrl+C ends"
    assert text.splitlines() == ["The cart", stalled, stalled, " is"]


def test_an_answer_that_is_asked_for_again_is_marked() -> None:
    first, second, third = MessageId("m1"), MessageId("m2"), MessageId("m3")
    text = printed_on_one_terminal(
        MessageStarted(first, "assistant", 1),
        TextDelta(first, "The ca"),
        MessageEnded(first, "error"),
        BackendRetried(1, 1.0, "the server went"),
        MessageStarted(second, "assistant", 1),
        TextDelta(second, "The cart"),
        MessageEnded(second, "stop"),
        MessageStarted(third, "assistant", 2),
    )
    again = "agentui: (asked again: the answer begins anew, what was cut above does not count)"
    retried = "agentui: the server went; asking again in 1.0 s"
    assert text.splitlines() == ["The ca", retried, again, "The cart"]


def test_a_call_that_holds_no_command_is_told_as_such() -> None:
    err = io.StringIO()
    printer = TextPrinter(io.StringIO().write, err.write)
    ended = ToolEnded(C1, "error", None, 0.0, message="There is no tool 'python'; the tools are: bash.")
    events: list[Event] = [ToolStarted(C1, "python", "", ""), ended]
    for seq, event in enumerate(events, start=1):
        printer.take(Recorded(seq, 0.0, "", RunId("r"), event))
    assert "$ (no command)" in err.getvalue()
    assert "no tool 'python'" in err.getvalue()


def test_nothing_that_a_tool_or_model_says_can_touch_the_terminal() -> None:
    out, err = io.StringIO(), io.StringIO()
    printer: Printer = TextPrinter(out.write, err.write)
    for seq, event in enumerate(
        [ToolStarted(C1, "bash", "echo \x1b]52;c;x\x07 \x9b31m", ""), *a_run()], start=1
    ):
        printer.take(Recorded(seq, 0.0, "", RunId("r"), event))
    assert not set(out.getvalue() + err.getvalue()) & {"\x1b", "\x9b", "\x07"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_interrupts_or_saves_the_run_and_exits_130(number: signal.Signals) -> None:
    async def script(session: ScriptedSession) -> None:
        session.recorder.emit(TurnStarted(1))
        os.kill(os.getpid(), number)
        await session.interrupted.wait()
        session.recorder.emit(RunEnded("interrupted"))

    session = ScriptedSession(script)
    before = signal.getsignal(number)
    code, lines = await printed_json(session)
    assert code == 130
    assert session.sent == [Interrupt() if number == signal.SIGINT else Quit()]
    assert lines[-1]["type"] == "RunEnded"
    assert session.is_closed
    assert signal.getsignal(number) == before


async def test_a_hangup_that_is_ignored_as_under_nohup_ends_nothing() -> None:
    async def script(session: ScriptedSession) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        session.recorder.emit(TurnStarted(1))
        session.recorder.emit(RunEnded("done"))

    session = ScriptedSession(script)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        code, _ = await printed_json(session)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert code == 0
    assert session.sent == []


async def test_a_second_signal_ends_what_does_not_end() -> None:
    async def script(session: ScriptedSession) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await session.interrupted.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    session = ScriptedSession(script)
    with pytest.raises(KeyboardInterrupt):
        await printed_json(session)
    assert session.is_closed


async def test_a_run_cancelled_from_outside_stays_cancelled() -> None:
    async def script(session: ScriptedSession) -> None:
        await asyncio.Event().wait()

    session = ScriptedSession(script)
    task = asyncio.ensure_future(printed_json(session))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.is_closed


async def test_a_reader_that_has_gone_interrupts_the_run() -> None:

    class Gone:
        def take(self, recorded: Recorded) -> None:
            if isinstance(recorded.event, TurnStarted):
                raise BrokenPipeError

    session = playing(ended=RunEnded("interrupted"))
    assert await print_run(lambda: session, "x", Gone()) == 130
    assert session.sent == [Interrupt()]


async def test_a_reader_that_went_before_the_run_began_interrupts_it_when_it_does() -> None:

    class Gone:
        def take(self, recorded: Recorded) -> None:
            raise BrokenPipeError

    async def script(session: ScriptedSession) -> None:
        session.recorder.emit(Warned("slow", "still looking"))
        assert session.sent == [Interrupt()]
        session.recorder.emit(RunStarted("x", ModelFacts("m"), "b", "/w", "loop", None))
        assert session.sent == [Interrupt(), Interrupt()]
        session.recorder.emit(RunEnded("interrupted"))

    assert await print_run(lambda: ScriptedSession(script), "x", Gone()) == 130


# --- what comes in -------------------------------------------------------------------------------


def test_standard_input_joins_the_task() -> None:
    assert joined_task("fix this", "Traceback\n  line\n") == "fix this\n\nTraceback\n  line"
    assert joined_task(None, "only this\n") == "only this"
    assert joined_task(" only that ", "\n") == "only that"
    with pytest.raises(UsageError):
        joined_task("  ", "\n")


def test_a_file_on_standard_input_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"caf\xc3\xa9 \xff")
    with (tmp_path / "in").open() as stream:
        assert read_input(stream) == "café \ufffd"


def test_a_pipe_on_standard_input_is_read_to_its_end() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"piped")
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        assert read_input(stream) == "piped"


def test_devices_and_odd_streams_give_nothing() -> None:
    with Path("/dev/null").open() as stream:
        assert read_input(stream) == ""
    assert read_input(io.StringIO("not a file")) == ""


def test_input_that_fits_no_context_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x" * (MAX_INPUT_BYTES + 1))
    with (tmp_path / "in").open() as stream, pytest.raises(UsageError, match="more than any context"):
        read_input(stream)


def test_the_printer_of_a_mode_writes_where_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    for mode in ("json", "text"):
        printer = make_printer(mode, samples=False)
        for seq, event in enumerate(a_run(), start=1):
            printer.take(Recorded(seq, 0.0, "", RunId("r"), event))
        captured = capsys.readouterr()
        if mode == "json":
            assert all(json.loads(line)["type"] for line in captured.out.splitlines())
            assert captured.err == ""
        else:
            assert captured.out == "I look first.\n"
            assert "$ wc -l" in captured.err
