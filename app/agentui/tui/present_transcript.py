"""Blocks and tool entries of the view as the plain values that widgets draw."""

from __future__ import annotations

from datetime import datetime

from agentui.text import clean_line, human_bytes, human_duration, plural
from agentui.view.blocks import (
    Block,
    CallBlock,
    MessageBlock,
    NoticeBlock,
    NoticeLevel,
    QuestionBlock,
    ThinkingBlock,
)
from agentui.view.fold import View
from agentui.view.tools import ToolEntry
from agentui_widgets.tool_log import ToolRow
from agentui_widgets.transcript import Entry, Tone

_NOTICE_TONES: dict[NoticeLevel, Tone] = {"info": "dim", "good": "good", "warning": "warning", "error": "error"}
_NOTICE_MARKS: dict[NoticeLevel, str] = {"info": "·", "good": "✓", "warning": "!", "error": "✗"}
_ROLE_LABELS = {"user": "you", "agent": "agent", "system": "·"}
_SNIPPET_CHARS = 60
_MOST_TICKS = 999_999
OWN_OUTPUT_LINES = 20
"""How much of the output of the user's own commands the transcript shows."""


def entry_of(block: Block, view: View) -> Entry:
    """A block as the transcript draws it; growing text is shared, so its length does not matter."""
    match block:
        case MessageBlock():
            return _message(block)
        case ThinkingBlock():
            return _thinking(block)
        case CallBlock():
            return _call(block, view)
        case NoticeBlock():
            return Entry(
                block.block_id,
                "notice",
                block.version,
                label=_NOTICE_MARKS[block.level],
                parts=(block.text,),
                hint=block.hint,
                tone=_NOTICE_TONES[block.level],
            )
        case QuestionBlock():
            return _question(block)


def _message(block: MessageBlock) -> Entry:
    stopped = {"cut": "cut", "error": "broken off", "length": "stopped at its length limit"}.get(
        block.stop_reason
    )
    return Entry(
        block.block_id,
        block.role,
        block.version,
        label=block.label if block.role == "user" and block.label else _ROLE_LABELS[block.role],
        title=block.label if block.role == "system" else "",
        parts=block.body.parts,
        hint=f"({stopped})" if stopped else "",
        tone="dim" if block.role == "system" else "text",
        is_open=block.is_open,
        is_folded=block.role == "system" and bool(block.label) and not block.is_open,
    )


def _thinking(block: ThinkingBlock) -> Entry:
    title = f"thinking {human_duration(block.seconds)} · {plural(block.tokens, 'token')}"
    if block.is_open and (snippet := _snippet(block.body.parts)):
        title = f"{title}  … {snippet}"
    return Entry(
        block.block_id,
        "thinking",
        block.version,
        label="◌",
        title=title,
        parts=block.body.parts,
        tone="dim",
        is_open=block.is_open,
        is_folded=True,
    )


def _snippet(parts: list[str]) -> str:
    """The last words of a growing text, from its last parts only."""
    tail = ""
    for part in reversed(parts[-8:]):
        tail = part + tail
        if len(tail) > _SNIPPET_CHARS:
            break
    words = " ".join(tail.split())
    return words[-_SNIPPET_CHARS:]


def _call(block: CallBlock, view: View) -> Entry:
    entry = None if block.call_id is None else view.tools.entry(block.call_id)
    if entry is None:
        return _call_draft(block, view)
    result, tone = tool_result(entry)
    command = entry.command or block.body.text or entry.message
    first, _, rest = command.partition("\n")
    is_of_user = entry.label == "user"
    parts = [command] if rest else []
    if is_of_user:
        parts = _own_output(entry, parts)
    return Entry(
        block.block_id,
        "call",
        block.version + entry.version,
        label="!" if is_of_user else "check" if entry.check else "$",
        title=f"{first} …" if rest else first,
        aside=f"{result}  {human_duration(entry.wall_s)}" if entry.wall_s is not None else result,
        aside_tone=tone,
        parts=parts,
        is_folded=not is_of_user,
    )


def _call_draft(block: CallBlock, view: View) -> Entry:
    """A call that is still being written, or that came to nothing: then it is said why."""
    words = "command not sent"
    tone: Tone = "dim"
    if block.is_open:
        words = "writing a command"
    elif block.is_asked:
        words, tone = "waiting for your yes", "accent"
    elif view.status.began_as_talk and view.status.is_talk_only:
        words, tone = "command refused: no sandbox, talk only", "error"
    elif block.is_next:
        words = "waits for its turn"
    return Entry(
        block.block_id,
        "call",
        block.version,
        label="$",
        title=f"{words} · {plural(block.tokens, 'token')}",
        parts=block.body.parts,
        tone=tone,
        is_open=block.is_open,
    )


def _own_output(entry: ToolEntry, command: list[str]) -> list[str]:
    """What a command of the user's printed last, below the command where its title cannot hold it."""
    lines = entry.tail.shown()
    hidden = entry.tail.total_lines - len(entry.tail.lines) + max(0, len(lines) - OWN_OUTPUT_LINES)
    shown = lines[-OWN_OUTPUT_LINES:]
    if hidden:
        shown = [f"… {plural(hidden, 'line')} before; /output shows all", *shown]
    if entry.message:
        shown.append(entry.message)
    if not shown and not entry.is_running:
        shown = ["(no output)"]
    text = "\n".join([*command, *shown])
    return [text] if text else []


def _question(block: QuestionBlock) -> Entry:
    answer = f"{block.verdict} ({block.by})" if block.verdict else clean_line(" / ".join(block.choices))
    return Entry(
        block.block_id,
        "question",
        block.version,
        label="?",
        title=block.question,
        aside=answer,
        aside_tone="text" if block.verdict else "accent",
        parts=(block.why,) if block.why else (),
        tone="text" if block.verdict else "accent",
    )


def tool_result(entry: ToolEntry) -> tuple[str, Tone]:
    """How a command ended, in a word or two, and the tone of that."""
    match entry.outcome:
        case None:
            return ("frozen", "warning") if entry.is_frozen else ("running", "accent")
        case "ok" | "error":
            if entry.exit_code is None and not entry.command:
                # nothing that could be run: a tool that is not offered, as any is without a sandbox
                return "refused", "error"
            if entry.is_connection:
                return "allowed", "dim"
            if entry.exit_code is None:
                return entry.outcome, "text" if entry.outcome == "ok" else "warning"
            return f"exit {entry.exit_code}", "dim" if entry.exit_code == 0 else "warning"
        case "oom":
            return "no memory", "error"
        case "killed" | "lost" | "refused" | "denied" | "timeout":
            return entry.outcome, "error"
        case "skipped" | "cancelled":
            return entry.outcome, "dim"


def tool_row(entry: ToolEntry, now_s: float) -> ToolRow:
    """A command as the tool log draws it; `now_s` is the session's clock, for how long it has been running."""
    result, tone = tool_result(entry)
    seconds = now_s - entry.started_t_s if entry.wall_s is None else entry.wall_s
    prefix = "! " if entry.label == "user" else "" if entry.is_connection else "$ "
    command = entry.command or clean_line(entry.message)
    if entry.check:
        command = f"{entry.command} · throwaway, no net"
        prefix = prefix if entry.label == "user" else ""
    # a row is drawn again when its version grows, and the time of a running command is news too
    ticks = min(int(seconds), _MOST_TICKS) if entry.is_running else 0
    return ToolRow(
        key=entry.call_id,
        version=entry.version * (_MOST_TICKS + 1) + ticks,
        time=local_time(entry.at_utc),
        command=prefix + command,
        result=result,
        duration="" if entry.is_connection else human_duration(seconds),
        tone=tone,
        facts=_facts(entry),
        tail=entry.tail.shown(),
        is_running=entry.is_running,
    )


def _facts(entry: ToolEntry) -> list[str]:
    facts = [f"in {entry.cwd}"] if entry.cwd else []
    if entry.message:
        facts.append(entry.message)
    hidden = entry.tail.total_lines - len(entry.tail.lines)
    if entry.output_bytes:
        facts.append(f"output {human_bytes(entry.output_bytes)}, all of it: o")
    if entry.dropped_bytes:
        facts.append(f"{human_bytes(entry.dropped_bytes)} were dropped")
    if hidden > 0:
        facts.append(f"… {plural(hidden, 'line')} before")
    return facts


def local_time(at_utc: str) -> str:
    """The clock time of an event where the user sits; empty when the stamp cannot be read."""
    try:
        return datetime.fromisoformat(at_utc).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""
