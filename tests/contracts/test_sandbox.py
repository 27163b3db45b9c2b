"""What every sandbox must do, played on the real ones: Docker, bubblewrap, scripted, none.

Fake time would prove nothing here; where a test lets time pass, it is so that something wrong could happen.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agentui.sandbox.base import Command, OutputChunk, Sandbox
from tests.contracts.sandboxes import Collector, docker_sandbox, host_sandbox, play, shipped, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

BYTES = shipped(r"printf 'a\0b\377\033[31m'; printf 'e\200' >&2")
ORDER = shipped("for i in 1 2 3; do echo o$i; echo e$i >&2; done")
SILENT = shipped("true")
FAILS = shipped("exit 41")
DASHES = tuple(map(shipped, ("-x", "--help", "+e")))
SIGNALLED = shipped("kill -9 $$")
CHOSEN = shipped("exit 137")
UNFIT = {
    "a byte": shipped("echo \udcff"),
    "half a character": shipped("echo \ud83d"),
    "a NUL": shipped("echo a\0b"),
    "a long one": shipped(f": {'x' * 131_072}"),
}
QUOTES = shipped("""printf '%s|' "a  b" 'c"d' $'e\\nf' \\* "${HOME:+set}"; echo '$HOME' "`echo t`" """)
LINES = shipped("# a comment\necho one\n\necho two # another\ncat <<'END'\n$three\nEND\n")
STDIN = shipped("read -r x; echo rc=$?")
INTO = shipped("mkdir -p 'a b/c' && cd 'a b/c' && false")
WHERE = shipped("pwd; ls -a")
OUT = shipped("cd /")
EXEC = shipped("mkdir -p d && cd d && exec true")
OWN_TRAP = shipped("trap 'echo bye' EXIT; mkdir -p d; cd d")
NESTED = shipped("mkdir -p d; bash -c 'cd d'; (cd d); echo $?")
CHILD = shipped("sleep 1000 & echo started")
QUIET_CHILD = shipped("sleep 1000 >/dev/null 2>&1 & echo started")
SETSID = shipped(
    "setsid bash -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 & until [ -s pid ]; do :; done; cat pid"
)
# A killed orphan may still wait for the machine's own init to collect it: a zombie has no command line. Where
# each command has process numbers of its own, another may have this one now.
LOOK = shipped(
    "read -r p <pid; case $(tr '\\0' ' ' <\"/proc/$p/cmdline\" 2>&1) in"
    " sleep*) echo there ;; *) echo gone ;; esac"
)
SLEEPS = shipped("echo ready; sleep 1000")
STUBBORN = shipped("trap '' TERM INT HUP; echo ready; while :; do :; done")
POLLS = shipped("echo ready; until [ -e go ]; do sleep 0.05; done; echo went")
TICKS = shipped("i=0; while [ $i -lt 12 ]; do echo $i; i=$((i+1)); sleep 0.1; done")
FLOOD = shipped("head -c 10485760 /dev/zero | tr '\\0' x")
ENDLESS = shipped(
    "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done"
)
PYTHON = shipped("python3 -c 'print(1)'; echo rc=$?; pip install x; echo rc=$?")
NOT_THERE = shipped("no-such-tool-at-all; echo rc=$?")
ENVIRONMENT = shipped("env")
EDIT = shipped(
    "printf 'a\\nb\\n' >f; edit f <<'END'\n<<<<<<< SEARCH\nb\n=======\nc\n>>>>>>> REPLACE\nEND\ncat f"
)
CHECK_INSIDE = shipped("cd . && check test")
WRITES = shipped("mkdir -p new/deep; echo hi >new/deep/f; ln -s ../x new/l; chmod 640 new/deep/f; rm -f old")


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param("docker", marks=pytest.mark.docker), "bubblewrap", "scripted", "none"],
)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sandbox]:
    sandbox: Sandbox
    if request.param == "docker":
        sandbox = docker_sandbox(request.getfixturevalue("tools_image"))
    else:
        sandbox = host_sandbox(request.param, tmp_path_factory.mktemp("sandbox") / "copy")
    await started(sandbox)
    yield sandbox
    await sandbox.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(running: Sandbox) -> Sandbox:
    await running.copy.clear()
    return running


async def test_output_is_exact_bytes_on_the_right_stream(sandbox: Sandbox) -> None:
    ran = await play(sandbox, BYTES)
    assert (ran.stdout, ran.stderr) == (b"a\0b\xff\033[31m", b"e\x80")
    assert (ran.result.outcome, ran.result.exit_code) == ("ok", 0)


async def test_each_stream_keeps_its_order(sandbox: Sandbox) -> None:
    ran = await play(sandbox, ORDER)
    assert (ran.stdout, ran.stderr) == (b"o1\no2\no3\n", b"e1\ne2\ne3\n")


async def test_a_command_that_prints_nothing_calls_nothing(sandbox: Sandbox) -> None:
    chunks: list[OutputChunk] = []
    result = await sandbox.run(Command(SILENT), chunks.append)
    assert chunks == []
    assert result.outcome == "ok"


@pytest.mark.parametrize("text", DASHES)
async def test_a_command_that_looks_like_an_option_is_a_command(sandbox: Sandbox, text: str) -> None:
    ran = await play(sandbox, text)
    assert (ran.result.outcome, ran.result.exit_code) == ("error", 127)


async def test_a_failing_command_is_an_error_with_its_exit_code(sandbox: Sandbox) -> None:
    ran = await play(sandbox, FAILS)
    assert (ran.result.outcome, ran.result.exit_code) == ("error", 41)


async def test_a_killed_shell_is_not_a_success(sandbox: Sandbox) -> None:
    ran = await play(sandbox, SIGNALLED)
    assert (ran.result.outcome, ran.result.exit_code) == ("killed", 137)


async def test_a_shell_that_chose_the_code_of_a_kill_was_not_killed(sandbox: Sandbox) -> None:
    ran = await play(sandbox, CHOSEN)
    assert (ran.result.outcome, ran.result.exit_code) == ("error", 137)


@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
async def test_a_text_that_no_shell_can_be_given_is_refused_in_words(sandbox: Sandbox, text: str) -> None:
    ran = await play(sandbox, text)
    assert (ran.result.outcome, ran.result.exit_code) == ("refused", None)
    assert ran.result.message.startswith("The command did not run.")


async def test_the_text_reaches_bash_untouched(sandbox: Sandbox) -> None:
    ran = await play(sandbox, QUOTES)
    assert ran.stdout == b'a  b|c"d|e\nf|*|set|$HOME t\n'
    ran = await play(sandbox, LINES)
    assert ran.stdout == b"one\ntwo\n$three\n"


async def test_standard_input_is_at_its_end(sandbox: Sandbox) -> None:
    assert (await play(sandbox, STDIN)).stdout == b"rc=1\n"


async def test_the_directory_is_carried_to_the_next_command_even_after_a_failure(sandbox: Sandbox) -> None:
    first = await play(sandbox, INTO)
    assert (first.result.exit_code, first.result.cwd) == (1, "a b/c")
    second = await play(sandbox, WHERE, cwd=first.result.cwd)
    assert second.stdout.splitlines()[0].endswith(b"/a b/c")
    assert second.result.cwd == "a b/c"


async def test_a_directory_outside_of_the_copy_is_not_carried(sandbox: Sandbox) -> None:
    await play(sandbox, INTO)
    assert (await play(sandbox, OUT, cwd="a b")).result.cwd == "a b"


async def test_without_a_report_the_directory_is_unchanged(sandbox: Sandbox) -> None:
    for text in (EXEC, OWN_TRAP):
        ran = await play(sandbox, text)
        assert (ran.result.exit_code, ran.result.cwd) == (0, "")


async def test_only_the_outermost_shell_says_where_it_ended(sandbox: Sandbox) -> None:
    ran = await play(sandbox, NESTED)
    assert (ran.stdout, ran.result.cwd) == (b"0\n", "")


async def test_a_directory_that_is_gone_refuses_the_command_and_returns_to_the_root(sandbox: Sandbox) -> None:
    ran = await play(sandbox, WHERE, cwd="was/here")
    assert (ran.result.outcome, ran.result.exit_code, ran.result.cwd) == ("refused", None, "")
    assert "was/here is not there any more" in ran.result.message
    assert (ran.stdout, ran.stderr) == (b"", b"")


@pytest.mark.parametrize("text", [CHILD, QUIET_CHILD])
async def test_a_background_child_does_not_hold_the_command(sandbox: Sandbox, text: str) -> None:
    ran = await play(sandbox, text)
    assert (ran.result.outcome, ran.stdout) == ("ok", b"started\n")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no setsid command")
async def test_a_process_in_a_session_of_its_own_is_gone_afterwards(sandbox: Sandbox) -> None:
    ran = await play(sandbox, SETSID)
    assert ran.stdout.strip().isdigit()
    assert (await play(sandbox, LOOK)).stdout == b"gone\n"


@pytest.mark.parametrize("text", [SLEEPS, STUBBORN])
async def test_a_command_past_its_deadline_is_ended(sandbox: Sandbox, text: str) -> None:
    ran = await play(sandbox, text, timeout_s=0.7)
    assert (ran.result.outcome, ran.result.exit_code) == ("timeout", None)
    assert ran.stdout == b"ready\n"
    assert "0.7 s" in ran.result.message
    assert (await play(sandbox, SILENT)).result.outcome == "ok"


async def test_a_cancelled_command_is_ended_before_the_cancel_is_raised(sandbox: Sandbox) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(sandbox.run(Command(SLEEPS), Collector(started.set)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await play(sandbox, SILENT)).result.outcome == "ok"


async def test_a_flooding_command_can_be_cancelled(sandbox: Sandbox) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(sandbox.run(Command(ENDLESS), Collector(started.set)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await play(sandbox, SILENT)).result.outcome == "ok"


async def test_a_frozen_command_stands_still_and_goes_on_when_thawed(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    started = asyncio.Event()
    output = Collector(started.set)
    task = asyncio.create_task(sandbox.run(Command(POLLS, timeout_s=60), output))
    await started.wait()
    assert await sandbox.freeze()
    assert not await sandbox.freeze()
    await sandbox.copy.seed(tmp_path, [b"go"], lambda *_: None)
    await asyncio.sleep(0.5)
    assert bytes(output.stdout) == b"ready\n"
    await sandbox.thaw()
    result = await task
    assert (result.outcome, bytes(output.stdout)) == ("ok", b"ready\nwent\n")


async def test_the_deadline_stands_still_while_frozen(sandbox: Sandbox) -> None:
    started = asyncio.Event()
    output = Collector(started.set)
    task = asyncio.create_task(sandbox.run(Command(TICKS, timeout_s=4.0), output))
    await started.wait()
    assert await sandbox.freeze()
    await asyncio.sleep(4.5)
    await sandbox.thaw()
    result = await task
    assert (result.outcome, result.exit_code) == ("ok", 0)
    assert bytes(output.stdout) == b"".join(b"%d\n" % i for i in range(12))
    assert result.wall_s < 4.0


async def test_a_frozen_command_can_be_cancelled(sandbox: Sandbox) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(sandbox.run(Command(SLEEPS), Collector(started.set)))
    await started.wait()
    assert await sandbox.freeze()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await play(sandbox, SILENT)).result.outcome == "ok"


async def test_freezing_at_any_moment_of_a_short_command_loses_nothing(sandbox: Sandbox) -> None:
    for turns in (0, 1, 3, 10, 30, 100, 300):
        output = Collector()
        task = asyncio.create_task(sandbox.run(Command(ORDER, timeout_s=60), output))
        for _ in range(turns):
            await asyncio.sleep(0)
        await sandbox.freeze()
        await sandbox.thaw()
        result = await task
        assert (result.outcome, bytes(output.stdout)) == ("ok", b"o1\no2\no3\n")
        assert result.message == ""


async def test_nothing_to_freeze_is_no_error(sandbox: Sandbox) -> None:
    assert not await sandbox.freeze()
    await sandbox.thaw()


async def test_ten_megabytes_arrive_whole(sandbox: Sandbox) -> None:
    digest, size = hashlib.sha256(), 0

    def take(chunk: OutputChunk) -> None:
        nonlocal size
        digest.update(chunk.data)
        size += len(chunk.data)

    result = await sandbox.run(Command(FLOOD, timeout_s=60), take)
    assert (result.outcome, size) == ("ok", 10 * 1024 * 1024)
    assert digest.hexdigest() == hashlib.sha256(b"x" * size).hexdigest()


async def test_a_second_command_waits_for_the_first(sandbox: Sandbox) -> None:
    ended: list[str] = []

    async def run(text: str) -> None:
        await play(sandbox, text)
        ended.append(text)

    await asyncio.gather(run(TICKS), run(SILENT))
    assert ended == [TICKS, SILENT]


async def test_interpreters_answer_127_and_say_what_to_do(sandbox: Sandbox) -> None:
    if sandbox.facts.has_interpreters:
        pytest.skip("without a sandbox, as the user typed, the host's interpreters work")
    ran = await play(sandbox, PYTHON)
    assert ran.stdout == b"rc=127\nrc=127\n"
    assert ran.stderr.count(b"no interpreter") == 2


async def test_an_unknown_command_answers_127_as_usual(sandbox: Sandbox) -> None:
    ran = await play(sandbox, NOT_THERE)
    assert ran.stdout == b"rc=127\n"
    assert b"no-such-tool-at-all: command not found" in ran.stderr


async def test_the_environment_holds_none_of_ours(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "geheim")
    ran = await play(sandbox, ENVIRONMENT)
    assert b"geheim" not in ran.stdout
    assert b"AGENTUI_REPORT" not in ran.stdout
    assert b"GIT_TERMINAL_PROMPT=0" in ran.stdout


async def test_edit_is_there(sandbox: Sandbox) -> None:
    ran = await play(sandbox, EDIT)
    assert ran.stdout.endswith(b"+c\na\nc\n")


async def test_memory_is_known(sandbox: Sandbox) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(sandbox.run(Command(SLEEPS), Collector(started.set)))
    await started.wait()
    memory_bytes = await sandbox.memory_bytes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert memory_bytes is not None
    assert memory_bytes > 0


async def test_what_commands_write_shows_in_the_copy(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    await sandbox.copy.seed(tmp_path, [b"old"], lambda *_: None)
    assert (await play(sandbox, WRITES)).result.exit_code == 0
    seen = {entry.path: entry for entry in await sandbox.copy.manifest()}
    assert set(seen) == {b"new", b"new/deep", b"new/deep/f", b"new/l"}
    assert (seen[b"new/deep/f"].mode, seen[b"new/deep/f"].size_bytes) == (0o640, 3)
    assert (seen[b"new/l"].type, seen[b"new/l"].link_target) == ("link", b"../x")


async def test_a_check_inside_of_a_longer_line_is_told_how_it_is_called(sandbox: Sandbox) -> None:
    ran = await play(sandbox, CHECK_INSIDE)
    assert ran.result.exit_code == 127
    assert b"Call one as the whole command" in ran.stderr
