"""A session that opens behind the screen: one can type before its parts are loaded."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from agentui.control import Control
from agentui.errors import BackendUnavailable
from agentui.events import Recorded
from agentui.session.listeners import Listener, Listeners
from agentui.tui.services import ModelChoice

if TYPE_CHECKING:
    from agentui.wire.live import LiveSession

_PARTS = "agentui.wire.live"
_BATCH = 500
LOAD_AFTER_S = 0.1
"""Loading takes some 0.2 s of the processor; keys that were typed ahead are shown before."""


class OpeningServices:
    """The screen's side of a session that `start` opens; see `agentui.tui.services.Services`.

    With `has_past` a session is opened that may be long: it is read in a thread, and told in portions. What is
    sent before waits and keeps its order. Who subscribed before gets everything from the first record.
    """

    read_only = False

    def __init__(self, open_session: Callable[[], LiveSession], *, has_past: bool = False) -> None:
        self._has_past = has_past
        self._open_session = open_session
        self._session: LiveSession | None = None
        self._waiting: list[Control] = []
        self._listeners = Listeners()
        self._is_closed = False

    async def start(self) -> None:
        """Load the parts in a thread, open the session and begin it in the background.

        Raises:
            SessionError: If the session cannot be kept.
        """
        await asyncio.sleep(LOAD_AFTER_S)
        await asyncio.to_thread(importlib.import_module, _PARTS)
        if self._is_closed:
            return
        is_long = self._has_past
        self._session = session = (
            await asyncio.to_thread(self._open_session) if is_long else self._open_session()
        )
        past = await asyncio.to_thread(lambda: session.recorder.past) if is_long else session.recorder.past
        for number, recorded in enumerate(past, start=1):
            self._listeners.tell(recorded)
            if number % _BATCH == 0:
                await asyncio.sleep(0)
        session.recorder.subscribe(self._listeners.tell)
        for control in self._waiting:
            session.services.send(control)
        self._waiting.clear()
        await session.services.start()

    @property
    def unwritten(self) -> int:
        """Records that the disk did not take; 0 is normal."""
        return 0 if self._session is None else self._session.recorder.unwritten

    async def stop(self) -> None:
        """End and save the session; also one that has not been opened."""
        self._is_closed = True
        if self._session is not None:
            await self._session.aclose()

    def send(self, control: Control) -> None:
        """Ask something of the run; answers come as events."""
        if self._session is None:
            self._waiting.append(control)
        else:
            self._session.services.send(control)

    def past(self) -> Sequence[Recorded]:
        """All records so far. Reads the journal: blocks."""
        return () if self._session is None else self._session.services.past()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that."""
        return self._listeners.add(listener)

    async def diff_text(self, path: str) -> str:
        """The unified diff of one path of the private copy."""
        return "" if self._session is None else await self._session.services.diff_text(path)

    async def undo_conflicts(self) -> Sequence[str]:
        """Paths for which an undo would be refused now."""
        return () if self._session is None else await self._session.services.undo_conflicts()

    def output_text(self, path: str) -> str:
        """The whole output of a command from the disk; blocks for a read.

        Raises:
            SessionError: If there is no such file in the session's folder.
        """
        return "" if self._session is None else self._session.services.output_text(path)

    async def models(self) -> Sequence[ModelChoice]:
        """The models of the server.

        Raises:
            BackendError: If the server cannot be asked.
        """
        if self._session is None:
            raise BackendUnavailable("no model server has been found yet")
        return await self._session.services.models()

    async def context_notes(self, lengths: Sequence[int]) -> Mapping[int, str]:
        """Whether contexts of the model in use fit on this machine, by length."""
        return {} if self._session is None else await self._session.services.context_notes(lengths)

    def complete_paths(self, prefix: str) -> Sequence[str]:
        """Paths of the project that begin with `prefix`; blocks for one folder."""
        return () if self._session is None else self._session.services.complete_paths(prefix)

    def apply_always(self) -> None:
        """Apply what waits, and from now on without asking in this project."""
        if self._session is not None:
            self._session.services.apply_always()
