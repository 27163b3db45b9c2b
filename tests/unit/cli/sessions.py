"""Recorded sessions in the user's own place, and a live one that plays a script through a real recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from agentui.control import Control, Interrupt, Quit
from agentui.events import (
    CallId,
    Event,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    ProcessSample,
    RunEnded,
    RunStarted,
    SandboxEnded,
    SessionStarted,
    TextDelta,
    ThinkingDelta,
    ToolEnded,
    ToolStarted,
    TurnStarted,
    Warned,
)
from agentui.paths import places
from agentui.session.recorder import Recorder
from agentui.session.store import SessionStore
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import MemoryJournal

M1, C1 = MessageId("m1"), CallId("c1")


def a_run(task: str = "do it", ended: RunEnded | None = None) -> list[Event]:
    """The events of a small run, with text that would act on a terminal."""
    return [
        RunStarted(task, ModelFacts("m"), "lmstudio", "/w", "loop", None),
        MessageStarted(MessageId("u1"), "user"),
        TextDelta(MessageId("u1"), task),
        MessageEnded(MessageId("u1"), "sent"),
        TurnStarted(1),
        ProcessSample(0.5, 1000),
        MessageStarted(M1, "assistant", 1),
        ThinkingDelta(M1, "hm"),
        TextDelta(M1, "I look\x1b]0;owned\x07 first."),
        MessageEnded(M1, "tool_calls", 1.0),
        ToolStarted(C1, "bash", "wc -l\nreport.py", ""),
        ToolEnded(C1, "error", 1, 0.25),
        Warned("x", "mind \x1b[31mthis"),
        ended or RunEnded("done", turns=1, commands=1),
    ]


def recorded_session(project: Path, events: list[Event]) -> Path:
    """Write a session of `project` as the program would; returns its journal."""
    folder = SessionStore(places().sessions).create(datetime(2026, 5, 4, tzinfo=UTC))
    recorder = Recorder(JournalWriter(folder.journal), call_later=lambda delay_s, call: _Never())
    recorder.emit(SessionStarted(folder.session_id, str(project), "0"))
    for event in events:
        recorder.emit(event)
    recorder.flush()
    folder.close()
    return folder.journal


class _Never:
    def cancel(self) -> None:
        """There is nothing to take back."""


class ScriptedSession:
    """A live session as the commands see it: real recorder, real events, and a script instead of a model."""

    def __init__(self, script: Callable[[ScriptedSession], Awaitable[None]]) -> None:
        self._script = script
        self.recorder = Recorder(MemoryJournal())
        self.recorder.emit(SessionStarted("s1", "/p", "0"))
        self.sent: list[Control] = []
        self.interrupted = asyncio.Event()
        self.is_closed = False
        self.task: str | None = None
        self.services = self

    def send(self, control: Control) -> None:
        self.sent.append(control)
        if isinstance(control, Interrupt | Quit):
            self.interrupted.set()

    async def run_task(self, task: str | None) -> RunEnded:
        self.task = task
        ended: list[RunEnded] = []

        def keep(recorded: object) -> None:
            event = getattr(recorded, "event", None)
            if isinstance(event, RunEnded):
                ended.append(event)

        self.recorder.subscribe(keep)
        await self._script(self)
        return ended[0]

    async def aclose(self) -> None:
        self.is_closed = True
        self.recorder.emit(SandboxEnded("closed"))
        await self.recorder.aclose()
