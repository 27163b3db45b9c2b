"""What a user, a script or a signal can ask of a run: one union of frozen values, `Control`.

Everything that steers a run goes through these, from the screen, the command line and the socket alike. The
supervisor answers with events; nothing here waits for anything.
"""

from __future__ import annotations

from typing import TypeAlias

from agentui.events import AskId, SteerId
from agentui.frozen import frozen


@frozen
class Submit:
    """Text from the prompt: a new task when idle, a steer while running, a follow-up with `queue`."""

    text: str
    queue: bool = False


@frozen
class SendNow:
    """Do not wait for the next request: cut the running generation and ask again with the queued steers."""


@frozen
class TakeBack:
    """Take queued text back; without an id the last one."""

    steer_id: SteerId | None = None


@frozen
class Pause:
    """Hold at the next safe point; asked again while pausing, or with `freeze`: hold at once."""

    freeze: bool = False


@frozen
class Resume:
    """Go on."""


@frozen
class Step:
    """Go on to the next safe point; while running: pause at the next one."""


@frozen
class Interrupt:
    """End the run now. Queued text stays queued."""


@frozen
class Answer:
    """Answer an `ApprovalAsked`; `verdict` is one of its choices, or any text where it asks for text.

    `is_cancelled` answers a question for text with nothing.
    """

    ask_id: AskId
    verdict: str
    is_cancelled: bool = False


@frozen
class RunCommand:
    """Run a command of the user's in the sandbox (``!cmd``); the model is told of it at its next request."""

    command: str


@frozen
class Apply:
    """Bring changes to the host; all free ones without `paths`. `include_ask` also takes the ask list.

    With `always`, later runs of the session apply by themselves (``--apply auto``).
    """

    paths: tuple[str, ...] | None = None
    include_ask: bool = False
    always: bool = False


@frozen
class Discard:
    """Drop changes from the copy; all of them without `paths`."""

    paths: tuple[str, ...] | None = None


@frozen
class Undo:
    """Take back the last apply on the host."""


@frozen
class Redo:
    """Bring the last undone apply again."""


@frozen
class TakeCommits:
    """Bring the agent's commits to the project's repository, below ``refs/agentui/``; no file changes."""


@frozen
class Compact:
    """Summarise the history at the next safe point."""


@frozen
class SwitchModel:
    """Use another model or context length from the next request on; loads it if needed."""

    model: str | None = None
    context_tokens: int | None = None


@frozen
class Quit:
    """Save and end the session; a run that works is stopped so that it can go on when that is resumed."""


Control: TypeAlias = (
    Submit
    | SendNow
    | TakeBack
    | Pause
    | Resume
    | Step
    | Interrupt
    | Answer
    | RunCommand
    | Apply
    | Discard
    | Undo
    | Redo
    | TakeCommits
    | Compact
    | SwitchModel
    | Quit
)
