"""What the screen needs from the world, as protocols; `wire` fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agentui.control import Control
from agentui.events import Recorded
from agentui.frozen import frozen


@frozen
class ModelChoice:
    """A model that could be used. Sizes in bytes, contexts in tokens, ``None`` for unknown.

    `note` is a word more about it in a column of its own: which contexts fit on this machine
    (``64k fits, 128k passes the GPU wall by ~2.1 GiB``). `default_context_tokens` is what to load it with where
    the user names no length. Without `can_load` its server loads nothing for us, and it is only shown.
    """

    name: str
    display_name: str = ""
    quantization: str | None = None
    size_bytes: int | None = None
    is_loaded: bool = False
    loaded_context_tokens: int | None = None
    max_context_tokens: int | None = None
    default_context_tokens: int | None = None
    note: str = ""
    can_load: bool = True


@frozen
class SessionChoice:
    """A recorded session that can go on. Texts are exact; `ended` is how its last run did."""

    session_id: str
    project: str
    task: str
    model: str
    when: str
    ended: str
    turns: int
    size_bytes: int


@frozen
class Wanted:
    """A session to open instead of this one; with `branch_turn` a new one that begins after that turn of it."""

    session_id: str
    branch_turn: int | None = None


class Services(Protocol):
    """A session as the screen sees it: live, or a replay of one (`read_only`)."""

    @property
    def read_only(self) -> bool:
        """True for a replay: nothing can be sent, Space holds the replay itself."""
        ...

    def send(self, control: Control) -> None:
        """Ask something of the run; the answer comes as events. Never blocks."""
        ...

    def past(self) -> Sequence[Recorded]:
        """Everything recorded before the screen subscribed."""
        ...

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` on the event loop for every new event; returns what ends that."""
        ...

    async def start(self) -> None:
        """Begin the session in the background; events tell the rest."""
        ...

    async def stop(self) -> None:
        """Save and end the session."""
        ...

    async def diff_text(self, path: str) -> str:
        """The unified diff of one changed path; exact text, to be cleaned."""
        ...

    async def undo_conflicts(self) -> Sequence[str]:
        """Paths that the user changed since the last apply, for which its undo would be refused; exact text."""
        ...

    def output_text(self, path: str) -> str:
        """A command's full output from disk, bounded; exact text, to be cleaned. Reads a file.

        Raises:
            SessionError: If there is no such file.
        """
        ...

    async def models(self) -> Sequence[ModelChoice]:
        """The models of the server.

        Raises:
            BackendError: If the server cannot be asked.
        """
        ...

    async def context_notes(self, lengths: Sequence[int]) -> Mapping[int, str]:
        """Whether contexts of the model in use fit on this machine, by length; empty where nobody knows.

        Raises:
            BackendError: If the server cannot be asked.
        """
        ...

    def complete_paths(self, prefix: str) -> Sequence[str]:
        """Paths of the project that begin with `prefix`, a bounded number; must be quick."""
        ...

    def apply_always(self) -> None:
        """Apply what waits, and from now on without asking in this project."""
        ...
