"""What the commands need of a live session; `agentui.wire` makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agentui.control import Control
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

    async def run_task(self, task: str) -> RunEnded:
        """Run one task to its end."""
        ...

    async def aclose(self) -> None:
        """Save and end everything."""
        ...
