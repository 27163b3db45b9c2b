"""The commands that the sandbox contract plays, and how each sandbox is made for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Command, CommandResult, OutputChunk, Sandbox
from agentui.sandbox.bubblewrap import Bubblewrap
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.image import ToolsImage
from agentui.sandbox.jailed import JailedSandbox
from agentui.sandbox.limits import SandboxLimits
from agentui.sandbox.none import NoSandbox
from agentui.sandbox.scripted import ScriptedSandbox

MEMORY_BYTES = 256 * 1024 * 1024
SHIPPED: set[str] = set()
"""Every command of the contract: the scripted sandbox runs nothing else."""


def shipped(text: str) -> str:
    SHIPPED.add(text)
    return text


def docker_sandbox(image: ToolsImage, workspace_id: str = "", *, is_throwaway: bool = True) -> DockerSandbox:
    return DockerSandbox(
        image.engine,
        image,
        workspace_id or f"test-{uuid.uuid4().hex[:12]}",
        session="contract",
        project="/nowhere",
        limits=SandboxLimits(memory_bytes=MEMORY_BYTES),
        is_throwaway=is_throwaway,
        may_build=True,
    )


def host_sandbox(kind: str, folder: Path) -> Sandbox:
    match kind:
        case "scripted":
            return ScriptedSandbox(frozenset(SHIPPED), folder)
        case "bubblewrap":
            return JailedSandbox(folder, Bubblewrap(SandboxLimits(memory_bytes=MEMORY_BYTES)))
        case _:
            return NoSandbox(folder)


async def started(sandbox: Sandbox) -> Sandbox:
    """Started, or the test skips: bubblewrap cannot work on every machine."""
    try:
        await sandbox.start(lambda _: None)
    except SandboxUnavailable as error:
        if sandbox.facts.kind != "bubblewrap" or "self-test" in error.message:
            raise
        pytest.skip(error.message)
    return sandbox


@dataclass(slots=True)
class Ran:
    """A command's result and all it printed."""

    result: CommandResult
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class Collector:
    """Takes output, and calls back at the first of it."""

    on_first: Callable[[], None] | None = None
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def __call__(self, chunk: OutputChunk) -> None:
        (self.stdout if chunk.stream == "stdout" else self.stderr).extend(chunk.data)
        first, self.on_first = self.on_first, None
        if first is not None:
            first()


async def play(sandbox: Sandbox, text: str, *, cwd: str = "", timeout_s: float | None = 60.0) -> Ran:
    output = Collector()
    result = await sandbox.run(Command(text, cwd, timeout_s), output)
    return Ran(result, bytes(output.stdout), bytes(output.stderr))
