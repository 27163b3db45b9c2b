"""What a harness is: it thinks, and asks its gate before everything that matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from agentui.events import CallId, EndReason, Event, MessageId, ModelFacts, SteerId, ToolOutcome, Usage

Emit: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A command that the model asked for. `arguments_error` is set where its JSON could not be used."""

    call_id: CallId
    name: str
    command: str
    timeout_s: float | None = None
    arguments_error: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What goes back to the model for a call: `text` is already cut to what the context can bear."""

    call_id: CallId
    outcome: ToolOutcome
    text: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Text for the end of the model's history: a steer of the user's, or a notice of ours (no `steer_id`)."""

    text: str
    message_id: MessageId
    steer_id: SteerId | None = None


@dataclass(frozen=True, slots=True)
class HarnessEnd:
    """Why a harness came to an end by itself."""

    reason: EndReason
    usage: Usage
    error: str | None = None
    hint: str = ""


class Cut(Exception):
    """A running generation was cut by the user; `asks_again` says whether the same request follows."""

    def __init__(self, asks_again: bool) -> None:
        super().__init__("cut by the user")
        self.asks_again = asks_again


class Interrupted(Exception):
    """The user ended the run; the harness balances its history and returns.

    `partial_text` is what the model had said of the answer that was cut.
    """

    partial_text = ""


class Gate(Protocol):
    """The supervisor's side of the conversation. Unanswered questions are a pause.

    `before_request`, `execute` and `would_stop` raise `Interrupted` when the user ended the run.
    """

    async def before_request(self) -> Sequence[Note]:
        """Wait until a request may be sent; returns what must be appended to the history first, in order."""
        ...

    async def execute(self, call: ToolCall) -> ToolResult:
        """Run a command at the next safe point, or answer it unrun (denied, skipped by a steer, refused)."""
        ...

    async def would_stop(self) -> Sequence[Note]:
        """The agent has nothing more to do; returns the follow-up that makes it go on, or nothing."""
        ...

    def generating(self, cut: Callable[[], object]) -> AbstractContextManager[None]:
        """Declare a running generation. The gate calls `cut` to stop it; leaving the context then raises.

        Raises:
            Cut: On leaving, when it was cut to freeze or to send a steer at once.
            Interrupted: On leaving, when it was cut because the user ended the run.
        """
        ...

    def wants_compaction(self) -> str | None:
        """Why the history must be summarised before the next request, or ``None``; asked once per request."""
        ...

    async def back_off(self, delay_s: float) -> None:
        """Wait before a failed request is asked again; ends early when the user wants something.

        Raises:
            Cut: When the user asked for a hold or sent a steer: what follows is asked with `before_request`.
            Interrupted: When the user ended the run meanwhile.
        """
        ...

    def limit_reached(self, turns: int) -> str | None:
        """Why no further turn may begin after `turns` of them, or ``None``."""
        ...


class Harness(Protocol):
    """One way to think. `run` returns when the agent settles; it does not raise for model or tool failure."""

    async def run(self, task: str, gate: Gate, emit: Emit) -> HarnessEnd:
        """Work on `task` until the agent settles, going on with the history it holds."""
        ...

    async def compact(self, why: str, gate: Gate, emit: Emit) -> None:
        """Summarise the history now; only between runs.

        Raises:
            Interrupted: When the user stopped it; the history is then unchanged.
        """
        ...

    def use_model(self, model: ModelFacts) -> None:
        """Send the next requests to this model; the history stays."""
        ...
