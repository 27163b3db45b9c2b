"""From the chunks of an OpenAI-style stream to `ChatPart`s."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentui.backends.base import (
    ChatPart,
    FinishPart,
    PrefillPart,
    TextPart,
    ThinkingPart,
    Timings,
    ToolCallPart,
    UsagePart,
)
from agentui.backends.fields import as_count, as_list, as_object, as_rate, as_text
from agentui.backends.thinking import ThinkingSplitter
from agentui.events import Usage


class ChunkReader:
    """Reads one answer. Keeps what only the end of the stream may tell: usage, timings, finish reason.

    A `TextPart` or `ThinkingPart` with an empty text says that a token came which cannot be shown yet (it may
    be the beginning of a thinking mark); it counts for speeds.
    """

    def __init__(self) -> None:
        self._splitter = ThinkingSplitter()
        self._calls = _CallIndex()
        self._usage: Usage | None = None
        self._timings: Timings | None = None
        self._counted: Usage | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.has_answer = False

    @property
    def usage(self) -> Usage | None:
        """What the server counted so far: its usage, else the counts inside its timings."""
        told, counted = self._usage, self._counted
        if told is None or counted is None or told.cached_tokens is not None:
            return told or counted
        return replace(told, cached_tokens=counted.cached_tokens)

    @property
    def has_calls(self) -> bool:
        """Whether a tool call came."""
        return bool(self._calls)

    def read(self, chunk: Mapping[str, Any]) -> list[ChatPart]:
        """The parts of one chunk."""
        parts: list[ChatPart] = []
        self.model = as_text(chunk.get("model")) or self.model
        self._read_counts(chunk)
        if not self.has_answer and (progress := _prompt_progress(chunk.get("prompt_progress"))) is not None:
            parts.append(progress)
        for choice in as_list(chunk.get("choices")):
            choice = as_object(choice)
            self._message(as_object(choice.get("delta") or choice.get("message")), parts)
            self.finish_reason = as_text(choice.get("finish_reason")) or self.finish_reason
        return parts

    def finish(self) -> Iterator[ChatPart]:
        """Yield what the end of the stream makes certain: held text, usage, and the finish as the last part."""
        yield from self._splitter.finish()
        if self.usage is not None or self._timings is not None:
            yield UsagePart(self.usage or Usage(), self._timings)
        reason = self.finish_reason or "stop"
        if reason in {"stop", "function_call"} and self._calls:
            reason = "tool_calls"
        yield FinishPart(reason, self.model)

    def _message(self, message: Mapping[str, Any], parts: list[ChatPart]) -> None:
        """Add the parts of a delta, or of a whole message from a server that does not stream."""
        thought = as_text(message.get("reasoning_content")) or as_text(message.get("reasoning"))
        if thought:
            self.has_answer = True
            parts.append(ThinkingPart(thought))
        content = _content(message.get("content"))
        if content:
            self.has_answer = True
            before = len(parts)
            parts.extend(self._splitter.feed(content))
            if len(parts) == before:
                parts.append(ThinkingPart("") if self._splitter.may_think else TextPart(""))
        for call in as_list(message.get("tool_calls")):
            parts.append(self._call(as_object(call), as_object(as_object(call).get("function"))))
        # What there was before tool calls: one, without an id.
        if function := as_object(message.get("function_call")):
            parts.append(self._call({"index": 0}, function))

    def _call(self, call: Mapping[str, Any], function: Mapping[str, Any]) -> ToolCallPart:
        self.has_answer = True
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        index, call_id, name = (
            as_count(call.get("index")),
            as_text(call.get("id")),
            as_text(function.get("name")),
        )
        return self._calls.part(index, call_id, name, arguments or "")

    def _read_counts(self, chunk: Mapping[str, Any]) -> None:
        if not chunk.get("usage") and not chunk.get("timings"):
            return
        usage, timings = as_object(chunk.get("usage")), as_object(chunk.get("timings"))
        if usage:
            self._usage = usage_from(usage)
        if timings:
            self._timings = timings_from(timings) or self._timings
            self._counted = _usage_from_timings(timings) or self._counted


def _content(value: object) -> str | None:
    """The text of a content, also of one in parts as Mistral's servers send it."""
    if isinstance(value, list):
        return "".join(as_text(as_object(part).get("text")) or "" for part in value)
    return as_text(value)


class _CallIndex:
    """Gives the calls of one answer their places and ids, whatever the server leaves out or repeats."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}
        self._places: dict[int, int] = {}
        self._last = -1

    def __bool__(self) -> bool:
        return bool(self._ids)

    def part(self, index: int | None, call_id: str | None, name: str | None, arguments: str) -> ToolCallPart:
        place = self._place(index, call_id, name)
        self._last = place
        if place in self._ids:
            return ToolCallPart(place, arguments)
        if call_id is None or call_id in self._ids.values():
            # The history needs an id for the result to answer to, and it must be the only one of its kind.
            call_id = f"call_{secrets.token_hex(6)}"
        self._ids[place] = call_id
        return ToolCallPart(place, arguments, call_id=call_id, name=name or "")

    def _place(self, index: int | None, call_id: str | None, name: str | None) -> int:
        fresh = len(self._ids)
        if index is None:
            begins = bool(name) and call_id not in self._ids.values()
            return fresh if begins or self._last < 0 else self._last
        place = self._places.setdefault(index, index if index not in self._ids else fresh)
        known = self._ids.get(place)
        if known is not None and name and call_id and call_id != known:
            # Some servers number every parallel call 0; a new id with a name is a new call.
            place = self._places[index] = max(self._ids) + 1
        return place


def usage_from(usage: Mapping[str, Any]) -> Usage:
    """Token counts of a usage object; what the server left out stays unknown."""
    completion = as_object(usage.get("completion_tokens_details"))
    prompt = as_object(usage.get("prompt_tokens_details"))
    return Usage(
        prompt_tokens=as_count(usage.get("prompt_tokens")),
        completion_tokens=as_count(usage.get("completion_tokens")),
        reasoning_tokens=as_count(completion.get("reasoning_tokens")),
        cached_tokens=as_count(prompt.get("cached_tokens")),
    )


def timings_from(timings: Mapping[str, Any]) -> Timings | None:
    """llama-server's `timings`; ``None`` while they hold no rate. Prompt time there is without queueing."""
    decode = as_rate(timings.get("predicted_per_second"))
    prefill = as_rate(timings.get("prompt_per_second"))
    if decode is None and prefill is None:
        return None
    prompt_ms = as_rate(timings.get("prompt_ms"))
    return Timings(
        ttft_s=prompt_ms / 1000 if prompt_ms else None,
        prefill_tok_per_s=prefill,
        decode_tok_per_s=decode,
    )


def _usage_from_timings(timings: Mapping[str, Any]) -> Usage | None:
    read, cached = as_count(timings.get("prompt_n")), as_count(timings.get("cache_n"))
    written = as_count(timings.get("predicted_n"))
    if read is None or not written:
        return None
    return Usage(prompt_tokens=read + (cached or 0), completion_tokens=written, cached_tokens=cached)


def _prompt_progress(value: object) -> PrefillPart | None:
    progress = as_object(value)
    processed, total = as_count(progress.get("processed")), as_count(progress.get("total"))
    if processed is None or not total:
        return None
    return PrefillPart(min(processed, total), total, as_count(progress.get("cache")))
