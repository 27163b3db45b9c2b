"""What the commands need of a live session; `agentui.wire` makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agentui.backends.base import ServerFacts
from agentui.backends.source import ServerReading
from agentui.control import Control
from agentui.errors import AgentuiError
from agentui.events import Recorded, RunEnded


class Controls(Protocol):
    """The way to ask something of a run."""

    def send(self, control: Control) -> None:
        """Ask; answers come as events."""
        ...


class RecorderPort(Protocol):
    """The record of a session, as listeners see it."""

    @property
    def past(self) -> Sequence[Recorded]:
        """All records so far."""
        ...

    @property
    def unwritten(self) -> int:
        """Records that the disk did not take."""
        ...

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that."""
        ...


class LiveSession(Protocol):
    """A session that runs tasks."""

    @property
    def services(self) -> Controls:
        """What a screen needs of the session."""
        ...

    @property
    def recorder(self) -> RecorderPort:
        """The record."""
        ...

    async def run_task(self, task: str | None) -> RunEnded:
        """Run one task to its end; without one go on with what was stopped."""
        ...

    async def aclose(self) -> None:
        """Save and end everything."""
        ...


class Watching(Protocol):
    """What is known of a server that is watched."""

    @property
    def facts(self) -> ServerFacts | None:
        """What answers at the address; ``None`` while nothing does."""
        ...

    @property
    def reading(self) -> ServerReading:
        """What it said last."""
        ...

    @property
    def trouble(self) -> AgentuiError | None:
        """Why there is no server or no model."""
        ...
