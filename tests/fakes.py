"""Small stand-ins that keep the protocols: a backend that plays given parts, a sandbox of Python functions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from agentui.backends.base import (
    ChatPart,
    ChatRequest,
    FinishPart,
    LoadProgress,
    ProcessingState,
    ServerFacts,
    ServerModel,
    TextPart,
    ToolCallPart,
    UsagePart,
)
from agentui.events import Event, ModelFacts, SandboxFacts, Usage
from agentui.harness.loop import LoopSettings, OwnLoop
from agentui.run.ports import RunParts, RunPolicy, Workshop, WorkspacePort
from agentui.sandbox.base import Command, CommandResult, Copy, Entry, OnBytes, OnOutput, OutputChunk

_E = TypeVar("_E")


class Hang:
    """In a played answer: wait until the test opens it (or the request is cut)."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()


Played = Sequence[ChatPart | BaseException | Hang]


def says(text: str, prompt_tokens: int = 100) -> Played:
    """An answer of text that ends the run."""
    usage = Usage(prompt_tokens, len(text.split()))
    return [*(TextPart(w + " ") for w in text.split()), FinishPart("stop"), UsagePart(usage)]


def calls(*commands: str, prompt_tokens: int = 100, text: str = "") -> Played:
    """An answer that asks for commands."""
    import json

    parts: list[ChatPart] = [TextPart(text)] if text else []
    for index, command in enumerate(commands):
        parts.append(ToolCallPart(index, "", f"call{index}-{abs(hash(command)) % 9999}", "bash"))
        parts.append(ToolCallPart(index, json.dumps({"command": command})))
    return [*parts, FinishPart("tool_calls"), UsagePart(Usage(prompt_tokens, 20))]


class PlayedBackend:
    """A backend that plays answers in order and keeps every request."""

    def __init__(self, answers: Sequence[Played], context_tokens: int | None = 32_768) -> None:
        self._answers = list(answers)
        self.requests: list[ChatRequest] = []
        self.open_requests = 0
        self.context_tokens = context_tokens
        self.is_closed = False

    @property
    def facts(self) -> ServerFacts:
        return ServerFacts("openai", "http://127.0.0.1:1")

    async def connect(self) -> ServerFacts:
        return self.facts

    async def models(self) -> tuple[ServerModel, ...]:
        return ()

    async def describe(self, model: str | None) -> ModelFacts:
        return ModelFacts(model or "played", loaded_context_tokens=self.context_tokens)

    async def load(self, model: str, context_tokens: int | None, progress: LoadProgress) -> ModelFacts:
        progress(1.0)
        self.context_tokens = context_tokens or self.context_tokens
        return await self.describe(model)

    async def unload(self, instance_id: str) -> None:
        return None

    async def processing_state(self, instance_id: str) -> ProcessingState | None:
        return None

    async def prepare_chat(self) -> None:
        return None

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatPart]:
        self.requests.append(request)
        if not self._answers:
            raise AssertionError("the model was asked more often than the test planned")
        self.open_requests += 1
        try:
            for part in self._answers.pop(0):
                if isinstance(part, BaseException):
                    raise part
                if isinstance(part, Hang):
                    part.reached.set()
                    await part.open.wait()
                    continue
                yield part
        finally:
            self.open_requests -= 1

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class FunctionSandbox:
    """Runs a Python function instead of a shell; `hang` commands wait until cancelled or opened."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    hangs: dict[str, Hang] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    frozen: int = 0
    thawed: int = 0

    @property
    def facts(self) -> SandboxFacts:
        return SandboxFacts("test", "test", is_isolated=True)

    @property
    def copy(self) -> Copy:
        return _NoCopy()

    async def start(self, note: Callable[[str], None]) -> None:
        note("ready")

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        self.ran.append(command.text)
        hang = self.hangs.get(command.text)
        if hang:
            hang.reached.set()
            await hang.open.wait()
        code, output = self.answers.get(command.text, (0, b"done\n"))
        on_output(OutputChunk("stdout", output))
        return CommandResult("ok" if code == 0 else "error", code, 0.01, command.cwd)

    async def freeze(self) -> bool:
        self.frozen += 1
        return True

    async def thaw(self) -> None:
        self.thawed += 1

    async def memory_bytes(self) -> int | None:
        return None

    async def aclose(self) -> None:
        return None


class _NoCopy:
    async def manifest(self) -> tuple[Entry, ...]:
        return ()

    async def identity(self) -> str | None:
        return None

    async def seed(self, root: Path, paths: Sequence[bytes], progress: OnBytes) -> None:
        return None

    async def fetch(self, paths: Sequence[bytes], into: Path) -> None:
        return None

    async def remove(self, paths: Sequence[bytes]) -> None:
        return None

    async def clear(self) -> None:
        return None


class MemorySink:
    """Keeps a command's output in memory."""

    path = "outputs/test"

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        self.data += data

    def close(self) -> int:
        return 0


@dataclass
class Log:
    """Gathers events; `wait_for` waits until one of a type (and test) has come."""

    events: list[Event] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(self, kind: type[_E], test: Callable[[_E], bool] = lambda event: True) -> _E:
        while True:
            for event in self.events:
                if isinstance(event, kind) and test(event):
                    return event
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 60)


def run_parts(
    backend: PlayedBackend,
    log: Log,
    sandbox: FunctionSandbox | None = None,
    workspace: WorkspacePort | None = None,
) -> RunParts:
    """The parts of a session over stand-ins, with counted ids."""
    counter = itertools.count(1)

    def ids(prefix: str) -> str:
        return f"{prefix}{next(counter)}"

    async def find() -> PlayedBackend:
        return backend

    async def open_workshop() -> Workshop:
        assert sandbox is not None
        return Workshop(sandbox, None, workspace)

    return RunParts(
        find_backend=find,
        open_workshop=open_workshop if sandbox else None,
        make_harness=lambda found, model, facts, resumed: OwnLoop(
            found,
            model,
            "You are a test.",
            LoopSettings(has_tools=facts is not None, retry_delays_s=(0.0,)),
            ids,
            resumed.messages if resumed is not None else (),
        ),
        make_sink=lambda call_id: MemorySink(),
        emit=log.emit,
        flush=lambda: None,
        ids=ids,
        clock=asyncio.get_event_loop().time,
        workdir="/project",
    )


UNATTENDED = RunPolicy(is_interactive=False)
ATTENDED = RunPolicy(is_interactive=True)
