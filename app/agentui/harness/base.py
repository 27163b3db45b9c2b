"""What a harness is: it thinks, and asks its gate before everything that matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from agentui.events import (
    AskKind,
    CallId,
    EndReason,
    Event,
    Json,
    MessageId,
    ModelFacts,
    SteerId,
    ToolOutcome,
    Usage,
)

Emit: TypeAlias = Callable[[Event], None]

CutWhy = Literal["freeze", "steer", "interrupt"]
Interrupter = Literal["user", "quit", "guard"]

ENDED_FIRST = "[interrupted: agentui ended before this command did]"
INTERRUPTED_BY: dict[Interrupter, str] = {
    "user": "[interrupted by the user]",
    "quit": ENDED_FIRST,
    "guard": "[interrupted: the memory guard ended the run]",
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A command that the model asked for. `arguments_error` is set where its JSON could not be used.

    `call_id` is the server's: unique in an answer only. Events carry ids of the gate's, unique in a session.
    """

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
    """Text for the end of the model's history: a steer of the user's, or so many `notices` of ours."""

    text: str
    message_id: MessageId
    steer_id: SteerId | None = None
    notices: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no further turn may begin: the run's end, in words, and what to do about it."""

    reason: EndReason
    why: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A question of the harness itself, for the user; see `ApprovalAsked` for the kinds."""

    question: str
    why: str
    kind: AskKind = "select"
    choices: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a harness sends with every request, in front of the history."""

    tools: tuple[Json, ...] = ()
    sampling: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HarnessEnd:
    """Why a harness came to an end by itself."""

    reason: EndReason
    usage: Usage
    error: str | None = None
    hint: str = ""


class Cut(Exception):
    """A running generation was cut; the run goes on with `Gate.before_request` or `Gate.until_resumed`."""

    def __init__(self, why: CutWhy) -> None:
        super().__init__(f"cut: {why}")
        self.why: CutWhy = why


class Interrupted(Exception):
    """The run ends now; the harness balances its history and returns.

    `by` says who ended it, `answer` what commands are answered with that got no result. `partial_text` is what
    the model had said of the answer that was cut; after ``quit`` it is dropped, as the request is asked again
    when the session is resumed.
    """

    partial_text = ""

    def __init__(self, by: Interrupter = "user") -> None:
        super().__init__(f"interrupted: {by}")
        self.by: Interrupter = by

    @property
    def answer(self) -> str:
        """The result of commands that have none."""
        return INTERRUPTED_BY[self.by]


class Gate(Protocol):
    """The supervisor's side of the conversation. Unanswered questions are a pause.

    `before_request`, `until_resumed`, `execute`, `ask` and `would_stop` raise `Interrupted` when the run ends.
    They may be asked from several tasks at once; two `execute` are answered one after the other.
    """

    async def before_request(self) -> Sequence[Note]:
        """Wait until a request may be sent; returns what must be appended to the history first, in order."""
        ...

    def may_send(self) -> bool:
        """Whether nothing was asked since `before_request` returned; else it must be awaited again.

        Without side effects. For who has to wait between `before_request` and sending.
        """
        ...

    async def until_resumed(self) -> None:
        """Wait while a hold lasts that was asked for during a generation; takes nothing from the queue.

        For who asks again by himself after a cut for ``freeze``: the identical request waits here.
        """
        ...

    async def execute(self, call: ToolCall) -> ToolResult:
        """Run a command at the next safe point, or answer it unrun (denied, skipped by a steer, refused)."""
        ...

    async def ask(self, dialogue: Dialogue) -> str | None:
        """Ask the user; ``None`` when there is no answer, at once where nobody may be asked.

        Cancelling withdraws the question.
        """
        ...

    async def would_stop(self) -> Sequence[Note]:
        """The agent has nothing more to do; returns the follow-up that makes it go on, or nothing."""
        ...

    def generating(self, cut: Callable[[CutWhy], object]) -> AbstractContextManager[None]:
        """Declare a running generation. The gate calls `cut` to stop it; leaving the context then raises.

        `cut` is told why: ``freeze``: stop now, the identical request follows (after `before_request` or
        `until_resumed`); ``steer``: stop now, a request with more text follows; ``interrupt``: the run ends.
        It may be called again with a stronger reason.

        Raises:
            Cut: On leaving, when it was cut to freeze or to send a steer at once.
            Interrupted: On leaving, when the run ends.
        """
        ...

    def on_interrupt(self, callback: Callable[[], object]) -> AbstractContextManager[None]:
        """Call `callback` once if the run is ended inside this context, whatever is going on then.

        For work of the harness's own that asks nothing; at once if it was ended before. Raises nothing.
        """
        ...

    def wants_compaction(self) -> str | None:
        """Why the history must be summarised before the next request, or ``None``; asked once per request."""
        ...

    async def back_off(self, delay_s: float) -> None:
        """Wait before a failed request is asked again; ends early when the user wants something.

        Raises:
            Cut: When the user asked for a hold or sent a steer: what follows is asked with `before_request`.
            Interrupted: When the run ends meanwhile.
        """
        ...

    def limit_reached(self, turns: int) -> Stop | None:
        """Why no further turn may begin after `turns` of them, or ``None``."""
        ...


class Harness(Protocol):
    """One way to think. `run` returns when the agent settles; it does not raise for model or tool failure.

    What it needs to live (a process, a container) is started by `start` and ended by `aclose`. If that dies,
    `run` raises `HarnessUnavailable` at once, also while it waits for an answer of the gate.
    """

    @property
    def prefix(self) -> Prefix:
        """What goes in front of the history in every request."""
        ...

    async def start(self, emit: Emit) -> None:
        """Become ready; emits `HarnessStarted`. May be called again after it raised.

        Raises:
            HarnessError: If it cannot be started.
        """
        ...

    async def run(self, task: str | None, gate: Gate, emit: Emit) -> HarnessEnd:
        """Work on `task` until the agent settles, going on with the history it holds.

        Without a task it goes on where a run was stopped, without new words of the user.

        Raises:
            HarnessError: If what thinks failed itself.
        """
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

    async def aclose(self) -> None:
        """End everything it started; bounded in time. May be called twice, and without `start`."""
        ...
