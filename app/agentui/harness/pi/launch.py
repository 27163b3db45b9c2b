"""Where Pi runs: the seam between the harness, which speaks with Pi, and what starts it somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agentui.backends.gateway import Gateway


@dataclass(frozen=True, slots=True)
class PiFolders:
    """Where Pi's files lie on the host.

    Attributes:
        private: Pi's agent folder for this session: models.json, settings.json, what came along of the user's.
            Pi writes its locks there. Removed at the end.
        sessions: Pi's own session files; they stay.
        workdir: Where Pi stands. Empty, and the same for a project each time: a session file names it.
        extension: Our extension; the only code that is loaded into Pi unasked.
    """

    private: Path
    sessions: Path
    workdir: Path
    extension: Path


@dataclass(frozen=True, slots=True)
class PiStart:
    """How Pi is to be started. `arguments` follow the program; paths in them are as Pi sees them."""

    arguments: tuple[str, ...]
    folders: PiFolders
    environment: Mapping[str, str] = field(default_factory=dict)


class PiProcess(Protocol):
    """A running Pi."""

    async def read(self) -> bytes:
        """More of standard output; empty at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Write to standard input; waits while the pipe is full.

        Raises:
            OSError: If nobody reads any more.
        """
        ...

    def last_words(self) -> str:
        """The end of standard error, for an error message."""
        ...

    async def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        ...

    async def end(self) -> None:
        """End it and everything that it started; bounded in time. May be called twice."""
        ...


class PiPlace(Protocol):
    """One way to run Pi: on this machine, or in a container."""

    @property
    def kind(self) -> str:
        """``host`` or ``container``, as the settings name it."""
        ...

    @property
    def label(self) -> str:
        """In words, for the header and messages."""
        ...

    @property
    def version(self) -> str:
        """The version of Pi that is started; known after `serve`."""
        ...

    async def serve(self, gateway: Gateway) -> str:
        """Become ready, and let the gateway listen where Pi can reach it; returns the base URL with ``/v1``.

        Raises:
            HarnessUnavailable: If that does not work.
        """
        ...

    async def is_open(self) -> bool:
        """Whether the way that `serve` made still leads to the gateway; if not, `launch` makes a new one."""
        ...

    def seen(self, path: Path) -> str:
        """A path below one of the folders (or the extension) as Pi sees it."""
        ...

    async def launch(self, start: PiStart) -> PiProcess:
        """Start Pi; once at a time, and again after it ended.

        Raises:
            HarnessUnavailable: If it cannot be started.
        """
        ...

    async def aclose(self) -> None:
        """End what this place holds beside the process; bounded in time."""
        ...
