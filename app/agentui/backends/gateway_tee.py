"""Reads an answer while it passes: the same parts, and so the same figures, as for requests of our own.

Nothing in here can alter or hold up what passes; an answer that cannot be understood is passed on unmeasured.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentui.backends.base import FinishPart, UsagePart
from agentui.backends.failures import is_error, malformed, refusal, unfinished
from agentui.backends.fields import as_count, as_list, as_object, as_text, parse_json
from agentui.backends.meter import RequestMeter
from agentui.backends.openai_chunks import ChunkReader
from agentui.backends.sse import SseReader
from agentui.errors import BackendError
from agentui.events import RequestOutcome, Usage

_log = logging.getLogger(__name__)

MOST_HELD_BYTES = 16 << 20
"""A body that is not a stream is read up to this size, and so is one record of a stream."""

Chunk = Mapping[str, Any]
Translate = Callable[[Chunk], Chunk]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended, as far as its own bytes tell."""

    outcome: RequestOutcome
    error: BackendError | None
    usage: Usage


class AnswerTee:
    """Meters one answer: `begin` with its head, `feed` every piece, then `end`.

    Args:
        meter: Gets the parts.
        translate: Makes chat chunks of what this route answers with.
        address: The server, for messages.
    """

    def __init__(self, meter: RequestMeter, translate: Translate, address: str) -> None:
        self._meter = meter
        self._translate = translate
        self._address = address
        self._reader = ChunkReader()
        self._events: SseReader | None = None
        self._body: list[bytes] = []
        self._unread_bytes = 0
        self._status = 200
        self._error: BackendError | None = None
        self._is_blind = False
        self._ending: Ending | None = None

    @property
    def is_done(self) -> bool:
        """Whether a stream has said its last word."""
        return self._events is not None and self._events.is_done

    def begin(self, status: int, content_type: str) -> None:
        """The head of the answer has come."""
        self._status = status
        if status < 300 and content_type.startswith("text/event-stream"):
            self._events = SseReader()

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body. Never raises; linear in what is fed."""
        if self._is_blind:
            return
        try:
            self._read(piece)
        except Exception as error:  # the edge of the tee: whatever it cannot read must still pass
            self._blinded(error)

    def end(self) -> Ending:
        """The body is complete; again is the same answer."""
        if self._ending is None:
            try:
                self._ending = self._ended()
            except Exception as error:  # the edge of the tee
                self._blinded(error)
                self._ending = Ending("done", None, Usage())
        return self._ending

    def _blinded(self, error: Exception) -> None:
        self._is_blind = True
        if self._events is not None:
            self._error = malformed(self._address, str(error))
        _log.warning("An answer of %s passes unmeasured: %s", self._address, error)

    def _read(self, piece: bytes) -> None:
        if self._events is None:
            self._hold(piece)
            return
        records = self._events.feed(piece)
        self._unread_bytes = 0 if records else self._unread_bytes + len(piece)
        if self._unread_bytes > MOST_HELD_BYTES:
            raise ValueError("a record without an end")
        for data in records:
            self._record(data)

    def _hold(self, piece: bytes) -> None:
        self._unread_bytes += len(piece)
        if self._unread_bytes > MOST_HELD_BYTES:
            self._body.clear()
            raise ValueError("a body that is too long to be read")
        self._body.append(piece)

    def _record(self, data: bytes) -> None:
        chunk = json.loads(data)
        if not isinstance(chunk, dict):
            raise ValueError(f"{data[:80]!r} instead of a chunk")
        chunk = self._translate(chunk)
        if is_error(chunk):
            self._error = refusal(200, chunk, self._address)
        for part in self._reader.read(chunk):
            self._meter.part(part)

    def _ended(self) -> Ending:
        if self._events is None:
            self._whole()
        elif not self._is_blind and not self._events.is_done:
            for data in self._events.finish():
                self._record(data)
        if self._error is None and self._events is not None and self._reader.finish_reason is None:
            self._error = unfinished(self._address)
        if self._error is not None:
            return Ending("failed", self._error, Usage())
        for part in self._reader.finish():
            if isinstance(part, UsagePart | FinishPart):
                self._meter.part(part)
        return Ending("done", None, self._reader.usage or Usage())

    def _whole(self) -> None:
        """An answer that was not streamed has no first token, so only its counts are told."""
        if self._is_blind:
            return
        body = b"".join(self._body)
        if self._status >= 300:
            self._error = refusal(self._status, body, self._address)
            return
        answer = self._translate(as_object(parse_json(body)))
        if not answer.get("choices"):
            self._error = refusal(200, body, self._address)
            return
        self._reader.read(answer)


# --- routes --------------------------------------------------------------------------------------


def _chat(chunk: Chunk) -> Chunk:
    return chunk


def _completion(chunk: Chunk) -> Chunk:
    """``/v1/completions``: the text stands in the choice itself."""
    choices = [
        {"delta": {"content": as_object(choice).get("text")}, **as_object(choice)}
        for choice in as_list(chunk.get("choices"))
    ]
    return {**chunk, "choices": choices}


def _response(event: Chunk) -> Chunk:
    """``/v1/responses``: an event each, or the whole response where it was not streamed."""
    kind = as_text(event.get("type")) or ""
    if kind.endswith(".delta"):
        return {"choices": [{"delta": _response_delta(kind, event)}]}
    if kind in ("response.completed", "response.incomplete"):
        return _whole_response(as_object(event.get("response")))
    if kind in ("response.failed", "error"):
        return {"error": as_object(event.get("response")).get("error") or event.get("message") or kind}
    return _whole_response(event) if event.get("object") == "response" else {}


def _response_delta(kind: str, event: Chunk) -> Chunk:
    if "reasoning" in kind:
        return {"reasoning_content": event.get("delta")}
    if "function_call" in kind:
        index = as_count(event.get("output_index")) or 0
        return {"tool_calls": [{"index": index, "function": {"arguments": event.get("delta")}}]}
    return {"content": event.get("delta")}


def _whole_response(response: Chunk) -> Chunk:
    usage = as_object(response.get("usage"))
    counts = {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }
    reason = "length" if response.get("status") == "incomplete" else "stop"
    found: dict[str, Any] = {"choices": [{"finish_reason": reason}], "model": response.get("model")}
    return {**found, "usage": counts} if usage else found


METERED: Mapping[str, Translate] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/responses": _response,
}
"""Routes that generate, by the end of their path."""


def translation(method: str, target: str) -> Translate | None:
    """How to read the answer of a route that generates; ``None`` for all others."""
    if method != "POST":
        return None
    path = target.partition("?")[0].rstrip("/")
    return next((found for ending, found in METERED.items() if path.endswith(ending)), None)
