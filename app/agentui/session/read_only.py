"""What a session that is only looked at answers to the screen: what it recorded, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agentui.errors import SessionError
from agentui.session.listeners import Listener, Listeners
from agentui.session.output_file import read_output


class ReadOnlyServices:
    """The part of `agentui.tui.services.Services` that is the same for every session that cannot be asked.

    Args:
        folder: The session's folder, where outputs of commands lie; ``None`` if there is none.
    """

    read_only = True

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._listeners = Listeners()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that."""
        return self._listeners.add(listener)

    async def diff_text(self, path: str) -> str:
        """Nothing: a session records which files changed, not their content."""
        return ""

    async def undo_conflicts(self) -> tuple[()]:
        """None: nothing is undone from here."""
        return ()

    def output_text(self, path: str) -> str:
        """A command's kept output, at most 4 MiB; exact text. Reads a file.

        Raises:
            SessionError: If there is no such file in the session's folder.
        """
        if self._folder is None:
            raise SessionError("this recording has no folder with outputs of commands")
        return read_output(self._folder, path)

    async def models(self) -> tuple[()]:
        """None: no server is asked from here."""
        return ()

    async def context_notes(self, lengths: Sequence[int]) -> Mapping[int, str]:
        """None: nothing is loaded from here."""
        return {}

    def complete_paths(self, prefix: str) -> tuple[()]:
        """None: nothing can be typed."""
        return ()

    def apply_always(self) -> None:
        """Nothing: no project is changed from here."""
