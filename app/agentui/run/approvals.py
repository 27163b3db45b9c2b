"""Questions to the user: asked by event, answered by control, never by a future inside a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentui.events import ApprovalAsked, ApprovalGiven, AskId, CallId, Event


class Approvals:
    """Open questions of a session. All on one event loop."""

    def __init__(self, emit: Callable[[Event], None], ids: Callable[[str], str]) -> None:
        self._emit = emit
        self._ids = ids
        self._open: dict[AskId, tuple[tuple[str, ...], asyncio.Future[str | None]]] = {}

    async def ask(
        self, question: str, why: str, choices: tuple[str, ...], call_id: CallId | None = None
    ) -> str | None:
        """Ask and wait; the verdict is one of `choices`, or ``None`` when the run ended first."""
        ask_id = AskId(self._ids("a"))
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._open[ask_id] = (choices, future)
        self._emit(ApprovalAsked(ask_id, question, why, choices, call_id))
        verdict: str | None = None
        try:
            verdict = await future
        finally:
            self._open.pop(ask_id, None)
            by_run = verdict is None
            self._emit(ApprovalGiven(ask_id, verdict or choices[-1], "run" if by_run else "user"))
        return verdict

    def answer(self, ask_id: AskId, verdict: str) -> bool:
        """Answer a question; False when it is not open or does not offer that answer."""
        choices, future = self._open.get(ask_id, ((), None))
        if future is None or future.done() or verdict not in choices:
            return False
        future.set_result(verdict)
        return True

    def drop_all(self) -> None:
        """The run ends: nobody waits for answers any more."""
        for _, future in list(self._open.values()):
            if not future.done():
                # Not cancelled: that would look like a cancellation of whoever waits, and hide a real one.
                future.set_result(None)
