"""What a run needs from outside, as protocols and values; `wire` fills them with concretes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agentui.backends.base import Backend
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
from agentui.harness.base import Harness
from agentui.run.output import OutputSink
from agentui.run.resumed import ResumedState
from agentui.sandbox.base import Sandbox


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


class ImagePort(Protocol):
    """The image a sandbox needs, if it needs one."""

    async def is_built(self) -> bool:
        """Whether it is there."""
        ...

    async def build(self, note: Callable[[str], None]) -> None:
        """Build it; `note` gets each line."""
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
HarnessFactory = Callable[[Backend, ModelFacts, SandboxFacts | None, ResumedState | None], Harness]
"""Makes what thinks, not started yet; with a state it goes on with the history of that."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where commands run, the image that needs (if any), and the private copy they work on."""

    sandbox: Sandbox
    image: ImagePort | None
    workspace: WorkspacePort | None


@dataclass(frozen=True, slots=True)
class StartServer:
    """A way to start the model server, run only after the user said yes. `text` asks."""

    text: str
    start: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RunParts:
    """The concretes of a session.

    `find_backend` and `open_workshop` raise while the server or the container engine is not there, and are then
    called again; `open_workshop` None means talk only. `ready` is called with what was found. `resumed` is
    where the session stood before, if it is not a new one.
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
    ready: Callable[[Backend, ModelFacts], None] = field(default=lambda backend, model: None)
    resumed: ResumedState | None = None
