"""A session as one plain JSON value for exports: cards, transcript in order, changes, samples for charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agentui.card_text import card_rows, card_title
from agentui.event_json import plain
from agentui.events import (
    CompactionEnded,
    ContextMeasured,
    Event,
    KvSample,
    MemorySample,
    MessageEnded,
    MessageStarted,
    RateSample,
    Recorded,
    RunEnded,
    RunStarted,
    SessionStarted,
    Slept,
    TextDelta,
    ThinkingDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    Warned,
    WorkspaceApplied,
    WorkspaceChanged,
    WorkspaceUndone,
)
from agentui.session.card import run_cards
from agentui.text import clean

OUTPUT_CHARS = 20_000
"""How much of one command's output an export shows, from its end."""

Document = dict[str, Any]


def make_document(records: Sequence[Recorded], redact: Callable[[str], str] = str) -> Document:
    """Everything that an export tells of a session; all texts are cleaned. O(session).

    `redact` is used on outputs only, before they are shortened: a secret that was cut in two has no known form.
    """
    fold = _Fold()
    for recorded in records:
        fold.apply(recorded)
    cards = run_cards(records)
    return {
        "session": fold.session,
        "runs": [{"card": plain(card), "title": card_title(card), "rows": card_rows(card)} for card in cards],
        "transcript": _without_echoes([_finished(item, redact) for item in fold.items]),
        "changes": [plain(change) for change in fold.changes],
        "samples": {name: points for name, points in fold.samples.items() if points},
    }


def _finished(item: dict[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """An item with its pieces joined, and cleaned as a whole: an escape sequence may span two pieces."""
    done = {name: clean("".join(v)) if isinstance(v, list) else v for name, v in item.items()}
    if "output" in done:
        output = redact(done["output"])
        if len(output) > OUTPUT_CHARS:
            output = f"[... {len(output) - OUTPUT_CHARS} characters ...]\n{output[-OUTPUT_CHARS:]}"
        done["output"] = output
    return done


def _without_echoes(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A task is said once: the message that carries it to the model is left out."""
    shown: list[dict[str, Any]] = []
    task = None
    for item in items:
        if item["kind"] == "task":
            task = item["text"].strip()
        elif item["kind"] == "user" and item.get("text", "").strip() == task:
            task = None
            continue
        shown.append(item)
    return shown


class _Fold:
    def __init__(self) -> None:
        self.session: dict[str, Any] = {}
        self.items: list[dict[str, Any]] = []
        self.changes: tuple[Any, ...] = ()
        self.samples: dict[str, list[tuple[float, float]]] = {
            name: []
            for name in ("memory_bytes", "model_bytes", "kv_bytes", "context_tokens", "decode_tok_per_s")
        }
        self._open: dict[str, dict[str, Any]] = {}

    def apply(self, recorded: Recorded) -> None:
        event = recorded.event
        match event:
            case SessionStarted():
                self.session = {
                    "id": event.session_id,
                    "project": clean(event.project),
                    "branch": clean(event.branch or ""),
                    "started_utc": recorded.at_utc,
                    "version": event.version,
                }
            case RunStarted(task):
                self._add(recorded, "task", text=[task])
            case WorkspaceChanged(changes):
                self.changes = changes
            case MemorySample() | KvSample() | ContextMeasured() | RateSample():
                self._sample(recorded.t_s, event)
            case ToolStarted() | ToolOutput() | ToolEnded():
                self._tool(recorded, event)
            case _:
                self._message(recorded, event)

    def _message(self, recorded: Recorded, event: Event) -> None:
        match event:
            case MessageStarted(message_id, role):
                self._open[message_id] = self._add(recorded, role, text=[], thinking=[])
            case TextDelta(message_id, text):
                self._piece(recorded, message_id, "text", text)
            case ThinkingDelta(message_id, text):
                self._piece(recorded, message_id, "thinking", text)
            case MessageEnded(message_id):
                self._open.pop(message_id, None)
            case _:
                if words := _notice(event):
                    self._add(recorded, "notice", text=[words])

    def _piece(self, recorded: Recorded, message_id: str, name: str, text: str) -> None:
        item = self._open.get(message_id)
        if item is None:
            item = self._open[message_id] = self._add(recorded, "assistant", text=[], thinking=[])
        item[name].append(text)

    def _tool(self, recorded: Recorded, event: ToolStarted | ToolOutput | ToolEnded) -> None:
        if isinstance(event, ToolStarted):
            self._open[event.call_id] = self._add(
                recorded, event.label, command=[event.command], check=event.check, output=[]
            )
            return
        item = self._open.get(event.call_id)
        if item is None:
            return
        if isinstance(event, ToolOutput):
            item["output"].append(event.text)
        else:
            item.update(outcome=event.outcome, exit_code=event.exit_code, wall_s=event.wall_s)
            item["message"] = [event.message]

    def _sample(self, t_s: float, event: MemorySample | KvSample | ContextMeasured | RateSample) -> None:
        match event:
            case MemorySample():
                found: Iterable[tuple[str, float | None]] = (
                    ("memory_bytes", event.used_bytes),
                    ("model_bytes", event.model_process_bytes),
                )
            case KvSample():
                found = (("kv_bytes", event.filled_bytes),)
            case ContextMeasured():
                found = (("context_tokens", event.used_tokens),)
            case RateSample():
                found = (("decode_tok_per_s", event.decode_tok_per_s),)
        for name, value in found:
            if value is not None:
                self.samples[name].append((round(t_s, 3), float(value)))

    def _add(self, recorded: Recorded, kind: str, **fields: Any) -> dict[str, Any]:
        item = {"kind": kind, "t_s": round(recorded.t_s, 3), "at_utc": recorded.at_utc, **fields}
        self.items.append(item)
        return item


def _notice(event: Event) -> str:
    match event:
        case Warned(_, text, hint):
            return f"{text} ({hint})" if hint else text
        case Slept(gap_s):
            return f"the machine slept for {gap_s:.0f} s"
        case CompactionEnded(error=None, dropped_messages=dropped):
            return f"context compacted, {dropped if dropped is not None else '?'} messages summarised"
        case WorkspaceApplied(_, changes):
            return "applied to the project: " + ", ".join(change.path for change in changes)
        case WorkspaceUndone(_, paths, redo):
            return ("applied again: " if redo else "undone in the project: ") + ", ".join(paths)
        case RunEnded(reason, error):
            return f"the run ended: {reason}" + (f": {error}" if error else "")
        case _:
            return ""
