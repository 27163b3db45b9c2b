"""The transcript's part of the fold: messages, thinking, calls, questions and notices become blocks."""

from __future__ import annotations

import copy
from dataclasses import field, replace
from typing import TypedDict

from agentui.card_text import card_rows, card_title
from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    CallId,
    MessageEnded,
    MessageId,
    MessageStarted,
    Recorded,
    RunCard,
    RunCarded,
    RunEnded,
    RunStarted,
    SandboxProgressed,
    SandboxStarted,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolStarted,
)
from agentui.frozen import mutable
from agentui.text import clean, clean_line
from agentui.view.blocks import (
    Block,
    BlockId,
    CallBlock,
    MessageBlock,
    NoticeBlock,
    QuestionBlock,
    ThinkingBlock,
)
from agentui.view.call_text import CallText
from agentui.view.notices import notice_of

NOTHING: frozenset[BlockId] = frozenset()
_UNFINISHED_STOPS = ("cut", "error")


class _Head(TypedDict):
    block_id: BlockId
    last_seq: int
    t_s: float
    at_utc: str
    is_open: bool


def _head(name: str, recorded: Recorded, *, is_open: bool = False) -> _Head:
    return _Head(
        block_id=BlockId(name),
        last_seq=recorded.seq,
        t_s=recorded.t_s,
        at_utc=recorded.at_utc,
        is_open=is_open,
    )


@mutable
class _OpenMessage:
    """What is still growing of a message: at most one block of each kind at a time."""

    role: str
    text: MessageBlock | None = None
    thinking: ThinkingBlock | None = None
    calls: dict[int, tuple[CallBlock, CallText]] = field(default_factory=dict)
    is_echo: bool = False


@mutable
class Transcript:
    """Blocks in order. `index_of` finds a block's place, `call_rows` that of a command.

    Every event costs as much as the text it brings.
    """

    blocks: list[Block] = field(default_factory=list)
    index_of: dict[BlockId, int] = field(default_factory=dict)
    call_rows: dict[CallId, BlockId] = field(default_factory=dict)
    _open: dict[MessageId, _OpenMessage] = field(default_factory=dict)
    _drafts: list[CallBlock] = field(default_factory=list)
    _questions: dict[str, QuestionBlock] = field(default_factory=dict)
    _labels: dict[MessageId, str] = field(default_factory=dict)
    _task: MessageBlock | None = None
    _sandbox_start: MessageBlock | None = None

    def block(self, block_id: BlockId) -> Block:
        """The block of that id.

        Raises:
            KeyError: If there is none.
        """
        return self.blocks[self.index_of[block_id]]

    def apply(self, recorded: Recorded) -> frozenset[BlockId]:
        """Fold one event; returns the ids of new and changed blocks."""
        changed = self._apply_message(recorded) or self._apply_rest(recorded)
        notice = notice_of(recorded.event)
        if notice is None:
            return changed
        block = NoticeBlock(
            **_head(f"notice-{recorded.seq}", recorded),
            level=notice.level,
            text=notice.text,
            hint=notice.hint,
        )
        return changed | self._add(block)

    def steer_label(self, message_id: MessageId, label: str) -> frozenset[BlockId]:
        """Say where a message of the user's came from (steer, follow-up), before or after it appears."""
        self._labels[message_id] = label
        index = self.index_of.get(BlockId(f"text-{message_id}"))
        block = None if index is None else self.blocks[index]
        if not isinstance(block, MessageBlock):
            return NOTHING
        if block.is_open or any(message.text is block for message in self._open.values()):
            block.label = label
        else:
            # What is finished is shared with older states of the view, so it is replaced, not changed.
            assert index is not None
            block = self.blocks[index] = replace(block, label=label)
        return _touched(block, block.last_seq)

    def copy(self) -> Transcript:
        """An independent state that shares the finished blocks, which never change. O(blocks)."""
        memo: dict[int, object] = {}
        fresh: dict[int, Block] = {id(block): copy.deepcopy(block, memo) for block in self._unfinished()}
        blocks = [fresh.get(id(block), block) for block in self.blocks]
        return Transcript(
            blocks=blocks,
            index_of={block.block_id: index for index, block in enumerate(blocks)},
            call_rows={
                block.call_id: block.block_id
                for block in blocks
                if isinstance(block, CallBlock) and block.call_id is not None
            },
            _open=copy.deepcopy(self._open, memo),
            _drafts=copy.deepcopy(self._drafts, memo),
            _questions=copy.deepcopy(self._questions, memo),
            _labels=dict(self._labels),
            _task=self._task,
            _sandbox_start=copy.deepcopy(self._sandbox_start, memo),
        )

    def _unfinished(self) -> list[Block]:
        """The blocks that later events may still change."""
        found: list[Block] = [*self._drafts, *self._questions.values()]
        for message in self._open.values():
            found += [block for block in (message.text, message.thinking) if block is not None]
            found += [block for block, _ in message.calls.values()]
        return found if self._sandbox_start is None else [*found, self._sandbox_start]

    def _apply_message(self, recorded: Recorded) -> frozenset[BlockId]:
        match recorded.event:
            case MessageStarted(message_id, role):
                self._open[message_id] = _OpenMessage("agent" if role == "assistant" else role)
                return NOTHING
            case TextDelta():
                return self._text(recorded, recorded.event)
            case ThinkingDelta():
                return self._thinking(recorded, recorded.event)
            case ToolCallDelta():
                return self._call_draft(recorded, recorded.event)
            case MessageEnded():
                return self._message_ended(recorded, recorded.event)
            case _:
                return NOTHING

    def _apply_rest(self, recorded: Recorded) -> frozenset[BlockId]:
        event = recorded.event
        match event:
            case RunStarted(goes_on=True):
                self._drafts.clear()
                return NOTHING
            case RunStarted(task):
                return self._run_started(recorded, task)
            case ToolStarted(call_id, label=label):
                return self._tool_started(recorded, call_id, label == "user")
            case ApprovalAsked():
                return self._asked(recorded, event)
            case ApprovalGiven(ask_id, verdict, by):
                return self._answered(recorded, ask_id, verdict, by)
            case SandboxProgressed(text):
                return self._sandbox_line(recorded, text)
            case SandboxStarted():
                return self._close_sandbox_start(recorded)
            case RunEnded():
                return self._close_all(recorded) | self._close_sandbox_start(recorded)
            case RunCarded(card):
                return self._card(recorded, card)
            case _:
                return NOTHING

    # --- messages

    def _text(self, recorded: Recorded, event: TextDelta) -> frozenset[BlockId]:
        message = self._message(event.message_id)
        changed = self._end_thinking(message, recorded, None)
        if message.is_echo or self._is_echo_of_task(message, event):
            return changed
        if message.text is None:
            message.text = MessageBlock(
                **_head(f"text-{event.message_id}", recorded, is_open=True),
                role="user" if message.role == "user" else "agent" if message.role == "agent" else "system",
                label=self._labels.get(event.message_id, ""),
            )
            changed |= self._add(message.text)
        message.text.body.append(event.text)
        message.text.tokens += event.tokens
        return changed | _touched(message.text, recorded.seq)

    def _is_echo_of_task(self, message: _OpenMessage, event: TextDelta) -> bool:
        """True for the first user message of a run when it repeats the task, which is shown already."""
        if message.role != "user" or self._task is None or message.text is not None:
            return False
        task, self._task = self._task, None
        message.is_echo = clean(event.text).strip() == task.body.text.strip()
        return message.is_echo

    def _thinking(self, recorded: Recorded, event: ThinkingDelta) -> frozenset[BlockId]:
        message = self._message(event.message_id)
        changed = NOTHING
        if message.thinking is None:
            message.thinking = ThinkingBlock(
                **_head(f"thinking-{event.message_id}-{recorded.seq}", recorded, is_open=True)
            )
            changed = self._add(message.thinking)
        message.thinking.body.append(event.text)
        message.thinking.tokens += event.tokens
        message.thinking.seconds = recorded.t_s - message.thinking.t_s
        return changed | _touched(message.thinking, recorded.seq)

    def _call_draft(self, recorded: Recorded, event: ToolCallDelta) -> frozenset[BlockId]:
        message = self._message(event.message_id)
        changed = self._end_thinking(message, recorded, None) | self._end_text(message, recorded, "tool_calls")
        known = message.calls.get(event.index)
        if known is None:
            head = _head(f"call-{event.message_id}-{event.index}", recorded, is_open=True)
            known = (CallBlock(**head), CallText())
            message.calls[event.index] = known
            self._drafts.append(known[0])
            changed |= self._add(known[0])
        block, decoder = known
        block.body.append(decoder.feed(event.text))
        block.tokens += event.tokens
        return changed | _touched(block, recorded.seq)

    def _message_ended(self, recorded: Recorded, event: MessageEnded) -> frozenset[BlockId]:
        message = self._open.pop(event.message_id, None)
        if message is None:
            return NOTHING
        changed = self._end_thinking(message, recorded, event.thinking_s)
        changed |= self._end_text(message, recorded, event.stop_reason)
        for block, _ in message.calls.values():
            if block.is_open:
                block.body.close()
                block.is_open = False
                block.is_next = event.stop_reason not in _UNFINISHED_STOPS
                changed |= _touched(block, recorded.seq)
                if not block.is_next:
                    self._drafts = [draft for draft in self._drafts if draft is not block]
        return changed

    def _end_thinking(
        self, message: _OpenMessage, recorded: Recorded, seconds: float | None
    ) -> frozenset[BlockId]:
        block = message.thinking
        if block is None:
            return NOTHING
        message.thinking = None
        block.body.close()
        block.is_open = False
        block.seconds = recorded.t_s - block.t_s if seconds is None else seconds
        return _touched(block, recorded.seq)

    def _end_text(self, message: _OpenMessage, recorded: Recorded, stop_reason: str) -> frozenset[BlockId]:
        block = message.text
        if block is None or not block.is_open:
            return NOTHING
        block.body.close()
        block.is_open = False
        block.stop_reason = clean_line(stop_reason)
        return _touched(block, recorded.seq)

    def _message(self, message_id: MessageId) -> _OpenMessage:
        return self._open.setdefault(message_id, _OpenMessage("agent"))

    # --- run, calls, questions

    def _run_started(self, recorded: Recorded, task: str) -> frozenset[BlockId]:
        self._drafts.clear()
        block = MessageBlock(**_head(f"task-{recorded.seq}", recorded), role="user")
        block.body.append(task)
        block.body.close()
        self._task = block
        return self._add(block)

    def _tool_started(self, recorded: Recorded, call_id: CallId, is_of_user: bool) -> frozenset[BlockId]:
        """A call begins: it takes the place of the draft the model wrote for it, in order."""
        if is_of_user or not self._drafts:
            head = _head(f"tool-{recorded.seq}", recorded)
            self.call_rows[call_id] = head["block_id"]
            return self._add(CallBlock(**head, call_id=call_id))
        block = self._drafts.pop(0)
        block.call_id = call_id
        block.is_open = False
        self.call_rows[call_id] = block.block_id
        return _touched(block, recorded.seq)

    def _asked(self, recorded: Recorded, event: ApprovalAsked) -> frozenset[BlockId]:
        block = QuestionBlock(
            **_head(f"question-{recorded.seq}", recorded, is_open=True),
            ask_id=event.ask_id,
            question=clean(event.question),
            why=clean(event.why),
            choices=event.choices,
            call_id=event.call_id,
        )
        self._questions[event.ask_id] = block
        return self._add(block) | self._mark_asked(recorded, event.call_id, is_asked=True)

    def _mark_asked(self, recorded: Recorded, call_id: CallId | None, *, is_asked: bool) -> frozenset[BlockId]:
        """A question about a command is about the oldest draft: commands begin in order."""
        if call_id is None or not self._drafts:
            return NOTHING
        draft = self._drafts[0]
        draft.is_asked = is_asked
        return _touched(draft, recorded.seq)

    def _answered(self, recorded: Recorded, ask_id: str, verdict: str, by: str) -> frozenset[BlockId]:
        block = self._questions.pop(ask_id, None)
        if block is None:
            return NOTHING
        block.verdict, block.by, block.is_open = clean_line(verdict), by, False
        return _touched(block, recorded.seq) | self._mark_asked(recorded, block.call_id, is_asked=False)

    def _sandbox_line(self, recorded: Recorded, text: str) -> frozenset[BlockId]:
        changed = NOTHING
        if self._sandbox_start is None:
            head = _head(f"sandbox-{recorded.seq}", recorded, is_open=True)
            self._sandbox_start = MessageBlock(**head, role="system", label="preparing the sandbox")
            changed = self._add(self._sandbox_start)
        self._sandbox_start.body.append(clean(text).rstrip("\n") + "\n")
        return changed | _touched(self._sandbox_start, recorded.seq)

    def _close_sandbox_start(self, recorded: Recorded) -> frozenset[BlockId]:
        block, self._sandbox_start = self._sandbox_start, None
        if block is None:
            return NOTHING
        block.body.close()
        block.is_open = False
        return _touched(block, recorded.seq)

    def _card(self, recorded: Recorded, card: RunCard) -> frozenset[BlockId]:
        block = MessageBlock(**_head(f"card-{recorded.seq}", recorded), role="system", label=card_title(card))
        rows = card_rows(card)
        width = max(len(label) for label, _ in rows)
        block.body.append("\n".join(f"{label:<{width}}  {text}" for label, text in rows))
        block.body.close()
        return self._add(block)

    def _close_all(self, recorded: Recorded) -> frozenset[BlockId]:
        """Close what a crash left open, so that an ended run has nothing growing."""
        changed = NOTHING
        for message_id in list(self._open):
            changed |= self._message_ended(recorded, MessageEnded(message_id, "cut"))
        for draft in self._drafts:
            draft.is_next = False
            changed |= _touched(draft, recorded.seq)
        return changed

    # --- bookkeeping

    def _add(self, block: Block) -> frozenset[BlockId]:
        self.index_of[block.block_id] = len(self.blocks)
        self.blocks.append(block)
        return frozenset((block.block_id,))


def _touched(block: Block, seq: int) -> frozenset[BlockId]:
    block.version += 1
    block.last_seq = seq
    return frozenset((block.block_id,))
