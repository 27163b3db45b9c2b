"""What the screen of `agentui watch` needs from the world; `wire` fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agentui.events import Recorded
from agentui.frozen import frozen


@frozen
class SlotShown:
    """One sequence of the server, counts in tokens, ``None`` for unknown."""

    slot: int
    is_busy: bool
    used_tokens: int | None
    context_tokens: int | None
    cached_tokens: int | None
    read_tokens: int | None
    answer_tokens: int


class EventFeed(Protocol):
    """Where events come from."""

    def past(self) -> Sequence[Recorded]:
        """Everything recorded before the screen subscribed."""
        ...

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` on the event loop for every new event; returns what ends that."""
        ...


class WatchServices(EventFeed, Protocol):
    """A server that is watched."""

    @property
    def server_words(self) -> str:
        """What answers, and where; empty while nothing does. To be cleaned."""
        ...

    @property
    def trouble_words(self) -> tuple[str, str] | None:
        """Why there is no server or no model, and what to do next; to be cleaned."""
        ...

    @property
    def gateway_port(self) -> int | None:
        """Where clients are measured."""
        ...

    def slots(self) -> Sequence[SlotShown]:
        """The sequences of the server, as they were read last."""
        ...

    async def start(self) -> None:
        """Begin to watch in the background; events tell the rest.

        Raises:
            UsageError: If the gateway's port is taken.
        """
        ...
