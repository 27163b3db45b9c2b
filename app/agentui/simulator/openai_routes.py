"""The OpenAI-compatible routes under /v1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from agentui.simulator import answers
from agentui.simulator.answering import Answer, answer, collect
from agentui.simulator.answers import Refusal
from agentui.simulator.chat_request import parse_chat, parse_completion
from agentui.simulator.engine import EngineCrashed, Finished, PromptProgress
from agentui.simulator.faults import Fault
from agentui.simulator.openai_chunks import ChunkMaker, completion_id, llama_timings, message_of, usage_of
from agentui.simulator.reply import Piece
from agentui.simulator.sse import SseStream, encode, is_gone, reset_connection
from agentui.simulator.state import STATE

# Faults in the middle of a stream strike after so many pieces, or at the end of a shorter answer.
_PIECES_BEFORE_FAULT = 8
_MIDSTREAM = frozenset(
    {
        Fault.CRASH,
        Fault.ERROR_DATA,
        Fault.ERROR_TEXT,
        Fault.ERROR_KEYLESS,
        Fault.CUT,
        Fault.RESET,
        Fault.STALL,
        Fault.MALFORMED_JSON,
    }
)


async def list_models(request: web.Request) -> web.Response:
    """Answer GET /v1/models: everything on disk when models load just in time, else what is loaded."""
    state = request.app[STATE]
    ids = list(state.registry.instances)
    if state.config.jit:
        ids = list(dict.fromkeys([model.key for model in state.registry.models] + ids))
    data = [{"id": name, "object": "model", "owned_by": "organization_owner"} for name in ids]
    return web.json_response({"object": "list", "data": data})


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/chat/completions."""
    return await answer(request, parse_chat, write_chat)


async def write_chat(item: Answer) -> web.StreamResponse:
    """Write a chat completion, streamed or whole."""
    if not item.chat.stream:
        return await whole_chat(item)
    return await ChatStream(item).write()


async def whole_chat(item: Answer, extra: Callable[[], dict[str, object]] | None = None) -> web.StreamResponse:
    """Answer with one JSON object; what `extra` returns after the generation joins it."""
    pieces, reason = await collect(item)
    broken = await broken_whole(item)
    if broken is not None:
        return broken
    made = ChunkMaker(item.instance.id, item.seed)
    choice = {
        "index": 0,
        "logprobs": None,
        "finish_reason": reason,
        "message": message_of(pieces, item.reasoning_name),
    }
    body = {
        **made.chunk([choice]),
        "object": "chat.completion",
        "stats": draft_stats(item),
        **(extra() if extra else {}),
    }
    if item.fault is not Fault.NO_USAGE:
        body["usage"] = usage_of(item.record)
    if item.state.config.llama_timings:
        body["timings"] = llama_timings(item.record)
    return web.json_response(body)


def draft_stats(item: Answer) -> dict[str, object]:
    """Return the counters of speculative decoding; empty without a draft model, and never with a clock."""
    draft = item.record.body.get("draft_model")
    if not isinstance(draft, str) or not draft:
        return {}
    written = item.record.completion_tokens
    accepted = written * 3 // 5
    return {
        "draft_model": draft,
        "total_draft_tokens_count": accepted + written // 5,
        "accepted_draft_tokens_count": accepted,
        "rejected_draft_tokens_count": written // 5,
        "ignored_draft_tokens_count": 0,
        "tokens_per_second": written / max(item.record.decode_s, 1e-6),
    }


async def broken_whole(item: Answer) -> web.StreamResponse | None:
    """Break an answer that is not streamed; None if its fault does not."""
    match item.fault:
        case Fault.CRASH | Fault.ERROR_DATA | Fault.ERROR_TEXT | Fault.ERROR_KEYLESS:
            raise Refusal(500, answers.text_error(answers.CRASHED))
        case Fault.CUT | Fault.RESET:
            reset_connection(item.request)
            return web.Response()
        case Fault.STALL:
            await stall(item)
            return web.Response()
        case Fault.MALFORMED_JSON:
            text = '{"id":"chatcmpl-broken","choices":[{"index":0,"message":{"role":"assi'
            return web.Response(text=text, content_type="application/json")
        case _:
            return None


async def stall(item: Answer) -> None:
    """Say nothing until the client leaves or the patience of the configuration is over."""
    pace = item.state.engine.pace
    end_s = pace.now_s() + item.state.config.stall_s / item.state.config.speed
    while pace.now_s() < end_s and not is_gone(item.request):
        await asyncio.sleep(0.02)
    item.record.disconnected = is_gone(item.request)
    item.record.disconnected_during = "stall" if item.record.disconnected else ""
    if item.request.transport is not None:
        item.request.transport.abort()


class ChatStream:
    """Writes one streamed chat completion, with the accident its request was given."""

    def __init__(self, item: Answer) -> None:
        self._item = item
        self._sse = SseStream(item.request, item.state.config, item.seed)
        self._made = ChunkMaker(item.instance.id, item.seed, reasoning_name=item.reasoning_name)
        self._written = 0
        self._fault = item.fault if item.fault in _MIDSTREAM else None

    async def write(self) -> web.StreamResponse:
        """Send everything; returns the finished response."""
        if self._item.state.config.headers_first:
            await self._sse.start()
        async with self._sse.pinging():
            if self._item.overflow is not None:
                await self._overflow()
            else:
                await self._generate()
        await self._sse.finish()
        return self._sse.response

    async def _overflow(self) -> None:
        if self._item.overflow is Fault.OVERFLOW_EMPTY:
            self._item.record.prompt_tokens = len(self._item.job.prompt)
            await self._end("stop")
            return
        await self._error_event(self._item.overflow_text)

    async def _error_event(self, message: str) -> None:
        await self._sse.data(answers.event_error(message), event="error")

    async def _generate(self) -> None:
        try:
            async with self._item.events() as events:
                async for event in events:
                    match event:
                        case PromptProgress():
                            await self._progress(event)
                        case Piece():
                            if await self._breaks():
                                return
                            await self._piece(event)
                        case Finished(reason):
                            self._written = max(self._written, _PIECES_BEFORE_FAULT)
                            if await self._breaks():
                                return
                            await self._end(reason)
        except EngineCrashed as crash:
            await self._error_event(str(crash))

    async def _progress(self, progress: PromptProgress) -> None:
        if not (self._item.state.config.llama_timings and self._item.chat.return_progress):
            return
        chunk = self._made.chunk([{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}])
        chunk["prompt_progress"] = {
            "total": progress.total,
            "cache": progress.cached,
            "processed": progress.processed,
            "time_ms": round(progress.elapsed_s * 1000),
        }
        await self._sse.data(chunk)

    async def _piece(self, piece: Piece) -> None:
        self._written += 1
        await self._sse.token(self._made.piece(piece))
        if self._item.fault is Fault.EMPTY_DELTAS:
            await self._sse.raw(self._made.delta({"role": "assistant", "content": ""}))

    async def _end(self, reason: str) -> None:
        item = self._item
        item.record.finish_reason = reason
        last = self._made.finish(reason)
        if item.state.config.llama_timings:
            last["timings"] = llama_timings(item.record)
        await self._sse.data(last)
        if item.chat.include_usage and item.fault is not Fault.NO_USAGE:
            await self._sse.data({**self._made.chunk([]), "usage": usage_of(item.record)})
        await self._sse.raw(b"data: [DONE]\n\n")

    async def _breaks(self) -> bool:
        """Carry out the accident when its moment has come; returns whether the stream is over."""
        if self._fault is None or self._written < _PIECES_BEFORE_FAULT:
            return False
        fault, self._fault = self._fault, None
        match fault:
            case Fault.CRASH:
                await self._error_event(answers.CRASHED)
            case Fault.ERROR_DATA:
                await self._sse.data(answers.event_error(answers.CRASHED))
            case Fault.ERROR_TEXT:
                await self._sse.data(answers.text_error(answers.CRASHED))
            case Fault.ERROR_KEYLESS:
                await self._sse.data({"message": answers.CRASHED}, event="error")
            case Fault.RESET:
                whole = self._made.delta({"role": "assistant", "content": " interrupted"})
                await self._sse.raw(whole[: len(whole) // 2])
                reset_connection(self._item.request)
            case Fault.STALL:
                await stall(self._item)
            case Fault.MALFORMED_JSON:
                await self._sse.raw(b'data: {"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"cont\n\n')
                return False
            case _:
                await self._sse.raw(b"")
        return True


async def completions(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/completions, the legacy route without a chat template."""
    return await answer(request, parse_completion, _write_completion)


async def _write_completion(item: Answer) -> web.StreamResponse:
    base: dict[str, object] = {
        "id": completion_id("cmpl-", item.seed),
        "object": "text_completion",
        "created": ChunkMaker(item.instance.id, item.seed).created,
        "model": item.instance.id,
    }
    if not item.chat.stream:
        pieces, reason = await collect(item)
        text = "".join(piece.text for piece in pieces if piece.kind == "content")
        whole = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return web.json_response({**base, "choices": [whole], "usage": usage_of(item.record), "stats": {}})
    sse = SseStream(item.request, item.state.config, item.seed)
    if item.overflow is not None:
        await sse.data(answers.event_error(item.overflow_text), event="error")
    else:
        await _stream_completion(item, sse, base)
    await sse.finish()
    return sse.response


async def _stream_completion(item: Answer, sse: SseStream, base: dict[str, object]) -> None:
    def record(text: str, reason: str | None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return b"data: " + encode({**base, "choices": [choice]}) + b"\n\n"

    async with item.events() as events:
        async for event in events:
            match event:
                case Piece() if event.kind == "content":
                    await sse.token(record(event.text, None))
                case Finished(reason):
                    item.record.finish_reason = reason
                    await sse.raw(record("", reason))
                case _:
                    continue
    await sse.raw(b"data: [DONE]\n\n")
