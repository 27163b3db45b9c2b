"""The transcript as append-only blocks: what was said, thought, done, asked and noticed, in order.

All text in a block is already cleaned. A block's `version` grows with every change, so that whoever draws it
knows when a cached picture is stale; text only ever grows at its end until the block is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NewType, TypeAlias

from agentui.events import AskId, CallId
from agentui.text import CleanStream

BlockId = NewType("BlockId", str)

Role = Literal["user", "agent", "system"]
NoticeLevel = Literal["info", "good", "warning", "error"]


class TextParts:
    """Text that grows by parts, cleaned as it comes in; joined only when somebody asks for the whole.

    Two are equal when their whole text is, however it was cut.
    """

    __slots__ = ("_stream", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._stream = CleanStream()

    def append(self, text: str) -> None:
        """Add untrusted text; costs as much as `text` is long."""
        if shown := self._stream.feed(text):
            self.parts.append(shown)

    def close(self) -> None:
        """No more text comes: show what was held back, and keep the whole as one part."""
        rest = self._stream.close()
        self.parts = [text] if (text := "".join(self.parts) + rest) else []

    @property
    def text(self) -> str:
        """The whole text; linear in its length."""
        return "".join(self.parts)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextParts) and self.text == other.text


@dataclass(slots=True, kw_only=True)
class BlockBase:
    """What all blocks have: `last_seq` is the last event they were folded from."""

    block_id: BlockId
    last_seq: int
    t_s: float
    at_utc: str = ""
    version: int = 0
    is_open: bool = False


@dataclass(slots=True, kw_only=True)
class MessageBlock(BlockBase):
    """Text of the user, the agent (Markdown) or the system. `label` tells a task from a steer."""

    role: Role
    body: TextParts = field(default_factory=TextParts)
    label: str = ""
    tokens: int = 0
    stop_reason: str = ""


@dataclass(slots=True, kw_only=True)
class ThinkingBlock(BlockBase):
    """The model's thinking, shown folded; `seconds` is measured from the events until the model says it."""

    body: TextParts = field(default_factory=TextParts)
    tokens: int = 0
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class CallBlock(BlockBase):
    """A tool call: its raw arguments while the model writes them, then a reference into the tool log.

    `is_asked`: it waits for a word of the user's. `is_next`: it is whole, and waits for its turn.
    """

    call_id: CallId | None = None
    is_asked: bool = False
    is_next: bool = False
    body: TextParts = field(default_factory=TextParts)
    tokens: int = 0


@dataclass(slots=True, kw_only=True)
class NoticeBlock(BlockBase):
    """One thing that happened and that the user should see in its place."""

    level: NoticeLevel
    text: str
    hint: str = ""


@dataclass(slots=True, kw_only=True)
class QuestionBlock(BlockBase):
    """A question the run waits for; open until `verdict` is there."""

    ask_id: AskId
    question: str
    why: str
    choices: tuple[str, ...]
    call_id: CallId | None = None
    verdict: str = ""
    by: str = ""


Block: TypeAlias = MessageBlock | ThinkingBlock | CallBlock | NoticeBlock | QuestionBlock
