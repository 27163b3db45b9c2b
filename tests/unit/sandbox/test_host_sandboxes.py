from __future__ import annotations

from pathlib import Path

import pytest

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Command, OutputChunk
from agentui.sandbox.none import NoSandbox
from agentui.sandbox.scripted import ScriptedSandbox


@pytest.mark.parametrize(
    "text",
    [
        "echo shipped ",
        " echo shipped",
        "echo shipped\n",
        "echo  shipped",
        "ECHO shipped",
        "",
        "echo shipped;id",
    ],
)
async def test_a_command_that_differs_by_a_byte_is_refused_unrun(tmp_path: Path, text: str) -> None:
    sandbox = ScriptedSandbox(frozenset({"echo shipped"}), tmp_path / "scratch")
    await sandbox.start(lambda _: None)
    chunks: list[OutputChunk] = []
    try:
        result = await sandbox.run(Command(text, cwd="sub"), chunks.append)
        assert (result.outcome, result.exit_code, result.cwd) == ("refused", None, "sub")
        assert "only the commands shipped" in result.message
        assert chunks == []
        assert (await sandbox.run(Command("echo shipped"), chunks.append)).outcome == "ok"
    finally:
        await sandbox.aclose()


async def test_the_scripted_sandbox_takes_only_a_fresh_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    sandbox = ScriptedSandbox(frozenset(), tmp_path)
    with pytest.raises(SandboxUnavailable, match="is not empty"):
        await sandbox.start(lambda _: None)
    assert (tmp_path / "precious").read_text() == "x"


async def test_the_scripted_sandbox_starts_again_in_its_own_folder(tmp_path: Path) -> None:
    sandbox = ScriptedSandbox(frozenset({"echo x >f"}), tmp_path / "scratch")
    await sandbox.start(lambda _: None)
    await sandbox.run(Command("echo x >f"), lambda _: None)
    await sandbox.aclose()
    await sandbox.start(lambda _: None)
    await sandbox.aclose()


async def test_no_sandbox_keeps_its_folder_for_the_next_session(tmp_path: Path) -> None:
    for _ in range(2):
        sandbox = NoSandbox(tmp_path / "copy")
        await sandbox.start(lambda _: None)
        await sandbox.run(Command("echo x >>f"), lambda _: None)
        await sandbox.aclose()
    assert (tmp_path / "copy/f").read_text() == "x\nx\n"


async def test_neither_says_that_it_contains_anything(tmp_path: Path) -> None:
    for facts in (ScriptedSandbox(frozenset(), tmp_path).facts, NoSandbox(tmp_path).facts):
        assert not facts.is_isolated
        assert facts.network == "host"
        assert "on this machine" in facts.notes[0]


async def test_without_a_sandbox_the_hosts_interpreters_work(tmp_path: Path) -> None:
    sandbox = NoSandbox(tmp_path / "copy")
    await sandbox.start(lambda _: None)
    chunks: list[OutputChunk] = []
    try:
        result = await sandbox.run(Command("mkdir d && cd d && python3 -c 'print(6 * 7)'"), chunks.append)
    finally:
        await sandbox.aclose()
    assert (result.exit_code, result.cwd) == (0, "d")
    assert b"".join(chunk.data for chunk in chunks) == b"42\n"
    assert sandbox.facts.has_interpreters
    assert not ScriptedSandbox(frozenset(), tmp_path).facts.has_interpreters
