"""What a run needs from outside, as protocols and values; `wire` fills them with concretes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from agentui.backends.base import Backend, ServerModel
from agentui.events import (
    CallId,
    Change,
    CommitsTaken,
    Event,
    HostEditsCopied,
    ModelFacts,
    SandboxFacts,
    WorkspaceApplied,
    WorkspaceConflicted,
    WorkspaceDiscarded,
    WorkspaceUndone,
)
from agentui.sandbox.base import CommandResult, OnOutput, Sandbox

if TYPE_CHECKING:
    # A command in the sandbox needs the workshop below, and none of these.
    from agentui.harness.base import Harness
    from agentui.run.output import OutputSink
    from agentui.run.resumed import ResumedState
    from agentui.telemetry.fit import ContextAdvice
    from agentui.workspace.checks import CheckCall


class UndoOutlook(Protocol):
    """What an undo would meet."""

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Paths that the user changed since the apply; the undo is refused while there are any."""
        ...


class WorkspacePort(Protocol):
    """The private copy and what may be done with its changes; see `agentui.workspace`."""

    @property
    def workspace_id(self) -> str:
        """Names the copy in state files and commands."""
        ...

    async def recover(self) -> str | None:
        """Finish or roll back what a crash left; says what was done."""
        ...

    async def prepare(self, emit: Callable[[Event], None]) -> None:
        """Seed the copy, or bring a kept one up to date."""
        ...

    async def host_edits_in(self) -> HostEditsCopied | WorkspaceConflicted | None:
        """Bring the user's own edits on the host into the copy."""
        ...

    async def changes(self) -> tuple[Change, ...]:
        """All differences as they stand."""
        ...

    async def diff_text(self, path: str) -> str:
        """The unified diff of one path."""
        ...

    def auto_blocker(self, changes: tuple[Change, ...]) -> str | None:
        """Why an automatic apply must ask instead, or ``None``."""
        ...

    async def apply(
        self, paths: tuple[str, ...] | None, include_ask: bool, by: Literal["user", "auto"]
    ) -> WorkspaceApplied:
        """Bring changes to the host as one unit."""
        ...

    async def undo(self) -> WorkspaceUndone:
        """Take back the last apply."""
        ...

    async def undo_preview(self) -> UndoOutlook | None:
        """What an undo would do, ``None`` if there is nothing to undo."""
        ...

    async def redo(self) -> WorkspaceUndone:
        """Bring the last undone apply again."""
        ...

    async def discard(self, paths: tuple[str, ...] | None) -> WorkspaceDiscarded:
        """Drop changes from the copy."""
        ...

    async def take_commits(self, sandbox: Sandbox) -> CommitsTaken:
        """Bring the agent's commits to the project's repository, below a ref of ours."""
        ...

    def agree_to_size(self) -> None:
        """The user agreed to a copy of any size."""
        ...

    async def aclose(self) -> None:
        """Free what is held for this process; the copy stays."""
        ...


class ChecksPort(Protocol):
    """The user's checks; see `agentui.workspace.checks`."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Each check in words, for the model; empty where none is configured."""
        ...

    def called(self, command: str) -> CheckCall | None:
        """The check that a command line as a whole calls."""
        ...

    async def run(self, call: CheckCall, on_output: OnOutput) -> CommandResult:
        """Run it to its end; cancelling kills it."""
        ...

    async def freeze(self) -> bool:
        """Stop the running one in place."""
        ...

    async def thaw(self) -> None:
        """Let it go on."""
        ...


class ImagePort(Protocol):
    """The image a sandbox needs, if it needs one.

    `question` and `why` ask for it, `command` is what to run where nobody can be asked.
    """

    @property
    def question(self) -> str:
        """What is asked before it is made or used."""
        ...

    @property
    def why(self) -> str:
        """What a yes means."""
        ...

    @property
    def command(self) -> str:
        """The command line that says yes beforehand."""
        ...

    async def is_built(self) -> bool:
        """Whether it is there, and may be used."""
        ...

    async def build(self, note: Callable[[str], None]) -> None:
        """Build it after a yes; `note` gets each line."""
        ...


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """What the user decided beforehand. `is_interactive` is false under ``-p``: then nothing asks."""

    approve: Literal["never", "ask"] = "never"
    apply: Literal["ask", "auto", "never", "accept"] = "ask"
    max_turns: int | None = None
    command_timeout_s: float = 300.0
    is_interactive: bool = True
    model: str | None = None
    context_tokens: int | None = None
    profile: str = "default"
    harness: str = "loop"


Emit = Callable[[Event], None]
HarnessFactory: TypeAlias = "Callable[[Backend, ModelFacts, SandboxFacts | None, ResumedState | None], Harness]"
"""Makes what thinks, not started yet; with a state it goes on with the history of that."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where commands run, the image that needs (if any), the private copy they work on, and the user's checks.

    `set_up_hint` says how to configure a check; empty where that is of no use.
    """

    sandbox: Sandbox
    image: ImagePort | None
    workspace: WorkspacePort | None
    checks: ChecksPort | None = None
    set_up_hint: str = ""


@dataclass(frozen=True, slots=True)
class StartServer:
    """A way to start the model server or the engine, run only after the user said yes. `text` asks."""

    text: str
    start: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A sandbox that needs no engine, used only if the user chooses it; its self-test decides like any other's.

    `choice` is the answer that means it, `text` says what it holds less.
    """

    choice: str
    text: str
    open: Callable[[], Awaitable[Workshop]]


async def no_advice(backend: Backend, model: ModelFacts) -> ContextAdvice | None:
    """Nothing to say of any context."""
    return None


async def no_usual_context(backend: Backend, model: ServerModel) -> int | None:
    """The server's own."""
    return None


@dataclass(frozen=True, slots=True)
class RunParts:
    """The concretes of a session.

    `find_backend` and `open_workshop` raise while the server or the container engine is not there, and are then
    called again; `open_workshop` None means talk only. `ready` is called with what was found. `advise` is asked
    before a model's first request whether its context is too small for work, `usual_context` how many tokens of
    context to load a chosen model with (``None``: the server's own). `resumed` is where the session stood
    before, if it is not a new one. `keep_awake` is entered while a run works.
    """

    find_backend: Callable[[], Awaitable[Backend]]
    open_workshop: Callable[[], Awaitable[Workshop]] | None
    make_harness: HarnessFactory
    make_sink: Callable[[CallId], OutputSink]
    emit: Callable[[Event], None]
    flush: Callable[[], None]
    ids: Callable[[str], str]
    clock: Callable[[], float]
    workdir: str
    start_server: Callable[[], StartServer | None] = field(default=lambda: None)
    start_engine: Callable[[], StartServer | None] = field(default=lambda: None)
    stand_in: StandIn | None = None
    ready: Callable[[Backend, ModelFacts], None] = field(default=lambda backend, model: None)
    advise: Callable[[Backend, ModelFacts], Awaitable[ContextAdvice | None]] = no_advice
    usual_context: Callable[[Backend, ServerModel], Awaitable[int | None]] = no_usual_context
    resumed: ResumedState | None = None
    wall_clock: Callable[[], float] = time.time
    keep_awake: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
