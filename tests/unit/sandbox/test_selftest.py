"""The self-test must be able to fail: here it is answered by sandboxes that are not what they should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentui.errors import SandboxUnavailable
from agentui.events import SandboxFacts
from agentui.sandbox.base import Command, CommandResult, Copy, OnOutput, OutputChunk
from agentui.sandbox.selftest import require_self_test, self_test

HELD = "outside=held\nsecret=held\nnetwork=held\npython=held\nproc=held\nnoexec=held\n"


class Answering:
    """Answers the two scripts with fixed text."""

    def __init__(self, first: str, second: str = "processes=held\n") -> None:
        self._answers = [first, second]
        self.commands: list[str] = []
        self.facts = SandboxFacts(kind="test", label="test", is_isolated=True)

    @property
    def copy(self) -> Copy:
        raise AssertionError("the self-test works by commands only")

    async def start(self, note: Callable[[str], None]) -> None:
        raise AssertionError("it is started already")

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        self.commands.append(command.text)
        text = self._answers[len(self.commands) - 1]
        on_output(OutputChunk("stderr", b"outside=open by stderr\n"))
        for at in range(0, len(text), 7):
            on_output(OutputChunk("stdout", text[at : at + 7].encode()))
        return CommandResult("ok", 0, 0.1)

    async def freeze(self) -> bool:
        return False

    async def thaw(self) -> None:
        """Nothing to thaw."""

    async def memory_bytes(self) -> int | None:
        return None

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_everything_held_passes() -> None:
    checks = await require_self_test(Answering(HELD))
    assert len(checks) == 7
    assert all(check.held for check in checks)


@pytest.mark.parametrize("name", ["outside", "secret", "network", "python", "proc", "noexec"])
async def test_one_open_door_is_enough_to_fail(name: str) -> None:
    with pytest.raises(SandboxUnavailable, match="a way out"):
        await require_self_test(Answering(HELD.replace(f"{name}=held", f"{name}=open a way out")))


async def test_a_process_left_behind_fails() -> None:
    with pytest.raises(SandboxUnavailable, match="leaving a process behind"):
        await require_self_test(Answering(HELD, "processes=open 17\n"))


async def test_an_answer_that_is_missing_fails() -> None:
    with pytest.raises(SandboxUnavailable, match="no answer"):
        await require_self_test(Answering("", ""))


async def test_only_what_is_openly_given_up_may_be_open() -> None:
    answering = Answering(HELD.replace("proc=held", "proc=open /proc/self/comm"))
    checks = await require_self_test(answering, given_up=["proc"])
    assert [check.name for check in checks if not check.held] == ["proc"]


async def test_every_script_is_complete() -> None:
    answering = Answering(HELD)
    await self_test(answering)
    assert not any("@" in text for text in answering.commands)
