"""What the simulated model answers, and the pieces it is written in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agentui.simulator.faults import Fault
from agentui.simulator.tokens import call_opening, tokenize

PieceKind = Literal["reasoning", "content", "call", "arguments"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model."""

    thinking: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    is_endless: bool = False
    """Whether the thinking is repeated for ever."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one record of a stream carries; usually one token."""

    kind: PieceKind
    text: str
    tokens: tuple[str, ...]
    call_index: int = 0
    call_id: str = ""


def tool_call_id(prompt: Sequence[str], index: int) -> str:
    """Return the numeric id of a call; the same prompt always gives the same one."""
    digest = hashlib.sha256("".join(prompt).encode())
    digest.update(str(index).encode())
    return str(100_000_000 + int.from_bytes(digest.digest()[:8], "big") % 900_000_000)


def pieces_of(reply: Reply, call_ids: Sequence[str]) -> Iterator[Piece]:
    """Cut a reply into pieces: thoughts first, then the text, then the calls."""
    thoughts = tokenize(reply.thinking)
    while True:
        yield from (Piece("reasoning", token, (token,)) for token in thoughts)
        if not reply.is_endless or not thoughts:
            break
    yield from (Piece("content", token, (token,)) for token in tokenize(reply.text))
    for index, (call, call_id) in enumerate(zip(reply.calls, call_ids, strict=True)):
        yield Piece("call", call.name, tokenize(call_opening(call.name)), index, call_id)
        for token in tokenize(call.arguments):
            yield Piece("arguments", token, (token,), index, call_id)


def until_stop(pieces: Iterator[Piece], stops: Sequence[str]) -> Iterator[Piece]:
    """End the pieces before the content holds one of the stop strings; looks one string's length ahead."""
    if not stops:
        yield from pieces
        return
    held: list[Piece] = []
    margin = max(len(stop) for stop in stops)
    for piece in pieces:
        if piece.kind != "content":
            before, is_stopped = _before_stop(held, stops)
            yield from before
            if is_stopped:
                return
            yield piece
            held.clear()
            continue
        held.append(piece)
        text = "".join(item.text for item in held)
        place = _first_stop(text, stops)
        # A longer string that began earlier may still be unfinished: decided when no such can come any more.
        if place is not None and len(text) - place >= margin:
            break
        while place is None and held and len(text) - len(held[0].text) >= margin:
            text = text[len(held[0].text) :]
            yield held.pop(0)
    yield from _before_stop(held, stops)[0]


def _first_stop(text: str, stops: Sequence[str]) -> int | None:
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)


def _before_stop(held: Sequence[Piece], stops: Sequence[str]) -> tuple[list[Piece], bool]:
    """What may be sent of the held pieces, and whether a stop string ends the answer."""
    text = "".join(item.text for item in held)
    place = _first_stop(text, stops)
    if place is None:
        return list(held), False
    before = text[:place]
    return ([Piece("content", before, tokenize(before))] if before else []), True


def with_fault(reply: Reply, fault: Fault | None) -> Reply:
    """Return the reply as a model with this defect would have written it."""
    match fault:
        case Fault.ENDLESS_REASONING:
            thinking = reply.thinking or "Wait, let me think about that once more. "
            return Reply(thinking=thinking, is_endless=True)
        case Fault.TOOL_CALL_AS_TEXT if reply.calls:
            leaked = "".join(_as_text(call) for call in reply.calls)
            return replace(reply, text=f"{reply.text}\n{leaked}", calls=())
        case Fault.INLINE_THINKING if reply.thinking:
            return replace(
                reply, thinking="", text=f"<|channel>thought\n{reply.thinking}<channel|>{reply.text}"
            )
        case _:
            return reply


def _as_text(call: ToolCall) -> str:
    body = json.dumps({"name": call.name, "arguments": json.loads(call.arguments)}, ensure_ascii=False)
    return f"[TOOL_REQUEST]{body}[END_TOOL_REQUEST]"
