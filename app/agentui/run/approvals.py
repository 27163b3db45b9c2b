"""Questions to the user: asked by event, answered by control, never by a future inside a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agentui.events import ApprovalAsked, ApprovalGiven, AskId, CallId, Event
from agentui.harness.base import Dialogue


@dataclass(frozen=True, slots=True)
class _Verdict:
    """An answer; ``None`` for a question that was cancelled."""

    text: str | None


@dataclass(frozen=True, slots=True)
class _Open:
    asked: ApprovalAsked
    future: asyncio.Future[_Verdict | None]
    is_cancellable: bool

    def takes(self, verdict: _Verdict) -> bool:
        if verdict.text is None:
            return self.is_cancellable
        return self.asked.kind in ("input", "editor") or verdict.text in self.asked.choices


class Approvals:
    """Open questions of a session. All on one event loop."""

    def __init__(self, emit: Callable[[Event], None], ids: Callable[[str], str]) -> None:
        self._emit = emit
        self._ids = ids
        self._open: dict[AskId, _Open] = {}

    async def ask(
        self, question: str, why: str, choices: tuple[str, ...], call_id: CallId | None = None
    ) -> str | None:
        """Ask and wait; the verdict is one of `choices`, or ``None`` when the run ended first."""
        dialogue = Dialogue(question, why, choices=choices)
        return await self.put(dialogue, call_id, is_cancellable=False)

    async def put(
        self,
        dialogue: Dialogue,
        call_id: CallId | None = None,
        *,
        is_cancellable: bool = True,
        is_answerable: bool = True,
    ) -> str | None:
        """Ask and wait for one of the choices or for text; ``None`` when the run ended first or for no answer.

        With `is_answerable` false the question is only told, and not answered.
        """
        asked = ApprovalAsked(
            AskId(self._ids("a")),
            dialogue.question,
            dialogue.why,
            dialogue.choices,
            call_id,
            dialogue.kind,
            dialogue.text,
        )
        if not is_answerable:
            self._emit(asked)
            self._given(asked, None, "policy")
            return None
        future: asyncio.Future[_Verdict | None] = asyncio.get_running_loop().create_future()
        self._open[asked.ask_id] = _Open(asked, future, is_cancellable)
        self._emit(asked)
        verdict: _Verdict | None = None
        try:
            verdict = await future
        finally:
            self._open.pop(asked.ask_id, None)
            text = verdict.text if verdict is not None else None
            self._given(asked, text, "run" if verdict is None else "user")
        return text

    def _given(self, asked: ApprovalAsked, text: str | None, by: Literal["user", "policy", "run"]) -> None:
        is_refused = text is None and by == "run" and bool(asked.choices)
        self._emit(ApprovalGiven(asked.ask_id, asked.choices[-1] if is_refused else text or "", by))

    def answer(self, ask_id: AskId, verdict: str, *, is_cancelled: bool = False) -> bool:
        """Answer a question; False when it is not open or does not take that answer."""
        question = self._open.get(ask_id)
        given = _Verdict(None if is_cancelled else verdict)
        if question is None or question.future.done() or not question.takes(given):
            return False
        question.future.set_result(given)
        return True

    def drop_all(self) -> None:
        """The run ends: nobody waits for answers any more."""
        for question in list(self._open.values()):
            if not question.future.done():
                # Not cancelled: that would look like a cancellation of whoever waits, and hide a real one.
                question.future.set_result(None)
