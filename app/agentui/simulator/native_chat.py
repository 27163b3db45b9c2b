"""POST /api/v1/chat: LM Studio's own chat with load and prompt progress, without custom tools."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from aiohttp import web

from agentui.simulator.answering import refuse_early
from agentui.simulator.answers import CRASHED, Refusal, native_error, overflow_message
from agentui.simulator.chat_request import JsonObject, as_object
from agentui.simulator.engine import Disconnected, EngineCrashed, Finished, Job, PromptProgress
from agentui.simulator.faults import Fault
from agentui.simulator.native_tools import call_events, call_output, calling_reply, first_integration
from agentui.simulator.openai_chunks import message_of
from agentui.simulator.registry import Instance
from agentui.simulator.reply import Piece, Reply, pieces_of, with_fault
from agentui.simulator.rest_v1 import asked_settings, required_model
from agentui.simulator.scripts.player import reply_to
from agentui.simulator.sse import SseStream, is_gone
from agentui.simulator.state import STATE, read_json
from agentui.simulator.tokens import prompt_tokens
from agentui.simulator.truth import RequestRecord

logger = logging.getLogger(__name__)


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer POST /api/v1/chat, streamed as events or whole."""
    state = request.app[STATE]
    now_s = state.engine.pace.now_s
    number = len(state.truth.requests) + 1
    record = state.truth.open_request(request.path, {}, state.plan.of_request(number), now_s())
    try:
        record.body = await read_json(request)
        refuse_early(record.fault, str(record.body.get("model", "")), request, state)
        return await _NativeChat(request, record).answer()
    except Refusal as refusal:
        return web.json_response(_native_shape(refusal), status=refusal.status)
    except Disconnected:
        logger.info("Client disconnected. Stopping generation…")
        record.disconnected = True
        return web.Response()
    finally:
        record.ended_at_s = now_s()


def _native_shape(refusal: Refusal) -> dict[str, object]:
    error = refusal.body.get("error")
    if isinstance(error, str):
        return native_error("unknown", error) if refusal.status != 200 else refusal.body
    details = as_object(error)
    if details.get("type") != "invalid_request_error":
        return refusal.body
    kind = "model_not_found" if details.get("code") == "model_not_found" else "invalid_request"
    return native_error(kind, str(details.get("message", "")), param=str(details.get("param") or ""))


def _input_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return ""
    # The documentation names both spellings of a text item, so both are taken.
    items = [as_object(item) for item in value]
    return "\n".join(str(item.get("content", "")) for item in items if item.get("type") in ("message", "text"))


class _NativeChat:
    """One answer of the native chat; `output` grows while it is made."""

    def __init__(self, request: web.Request, record: RequestRecord) -> None:
        self._request = request
        self._record = record
        self._state = request.app[STATE]
        self._body = record.body
        self._load_s: float | None = None
        self._output: list[JsonObject] = []
        self._instance_id = ""
        self._sse: SseStream | None = None
        if self._body.get("stream") is True:
            self._sse = SseStream(request, self._state.config, f"{self._state.config.seed}/{record.number}")

    async def answer(self) -> web.StreamResponse:
        model = required_model(self._state, self._body)
        text = _input_text(self._body.get("input"))
        if not text:
            code = "missing_required_parameter"
            raise Refusal(400, native_error("invalid_request", '"input" is required', code=code, param="input"))
        self._refuse_reasoning()
        messages = self._messages(text)
        instance = self._state.registry.find(str(self._body["model"]))
        self._instance_id = instance.id if instance else model.key
        await self._event("chat.start", {"model_instance_id": self._instance_id})
        try:
            instance = instance or await self._load()
            self._record.instance_id = self._instance_id = instance.id
            await self._converse(instance, messages)
        except (EngineCrashed, Refusal) as error:
            refusal = _as_refusal(error)
            if self._sse is None:
                raise refusal from error
            await self._event("error", _native_shape(refusal))
        result = self._result(messages)
        if self._sse is None:
            return web.json_response(result)
        await self._event("chat.end", {"result": result})
        await self._sse.finish()
        return self._sse.response

    def _refuse_reasoning(self) -> None:
        wanted = self._body.get("reasoning")
        if wanted in (None, "off", "on"):
            return
        message = f'Model does not support reasoning "{wanted}". Supported: off, on.'
        raise Refusal(400, native_error("invalid_request", message, param="reasoning"))

    async def _event(self, name: str, data: JsonObject | None = None) -> None:
        if self._sse is not None:
            await self._sse.data({"type": name, **(data or {})}, event=name)

    async def _load(self) -> Instance:
        model = required_model(self._state, self._body)
        started_s = self._state.engine.pace.now_s()
        target: JsonObject = {"model_instance_id": model.key}
        await self._event("model_load.start", target)
        steps: asyncio.Queue[float | None] = asyncio.Queue()
        asked = asked_settings(self._state, model, self._body)
        loading = asyncio.create_task(self._state.engine.load(model, asked, steps.put_nowait))
        loading.add_done_callback(lambda _: steps.put_nowait(None))
        try:
            while (step := await steps.get()) is not None:
                await self._event("model_load.progress", {**target, "progress": step})
            instance = await loading
        finally:
            loading.cancel()
        self._load_s = self._state.engine.pace.now_s() - started_s
        await self._event("model_load.end", {**target, "load_time_seconds": round(self._load_s, 3)})
        return instance

    def _messages(self, text: str) -> list[JsonObject]:
        previous = self._body.get("previous_response_id")
        messages = list(self._state.stored_chats.get(str(previous), []))
        system = self._body.get("system_prompt")
        if isinstance(system, str) and system and not messages:
            messages.append({"role": "system", "content": system})
        messages.append({"role": "user", "content": text})
        return messages

    async def _converse(self, instance: Instance, messages: list[JsonObject]) -> None:
        """Write the answer; with an integration the model calls its tool once before that."""
        integration = first_integration(self._body.get("integrations"))
        if integration is not None:
            await self._say(instance, messages, calling_reply(integration))
            for name, data in call_events(integration):
                await self._event(name, data)
            self._output.append(call_output(integration))
            result: JsonObject = {"role": "tool", "tool_call_id": "", "content": str(call_output(integration))}
            await self._say(instance, [*messages, result], reply_to(messages, ()))
            return
        await self._say(instance, messages, reply_to(messages, ()))

    async def _say(self, instance: Instance, messages: list[JsonObject], reply: Reply) -> None:
        prompt = prompt_tokens(messages)
        context_length = instance.settings.context_length
        if len(prompt) > context_length:
            raise EngineCrashed(overflow_message(Fault.OVERFLOW_EVENT, len(prompt), context_length))
        if self._record.fault in (Fault.CRASH, Fault.ERROR_DATA, Fault.ERROR_TEXT, Fault.ERROR_KEYLESS):
            raise EngineCrashed(CRASHED)
        if self._body.get("reasoning") == "off":
            reply = replace(reply, thinking="")
        reply = with_fault(reply, self._record.fault)
        cap = self._body.get("max_output_tokens")
        limit = cap if isinstance(cap, int) and cap > 0 else None
        if limit is None and reply.is_endless:
            limit = self._state.config.reasoning_limit_tokens
        ids = ["" for _ in reply.calls]
        job = Job(instance, prompt, pieces_of(reply, ids), limit, self._record, lambda: is_gone(self._request))
        message = message_of(await self._write(job))
        for kind, name in (("reasoning", "reasoning_content"), ("message", "content")):
            if message.get(name):
                self._output.append({"type": kind, "content": message[name]})

    async def _write(self, job: Job) -> list[Piece]:
        pieces: list[Piece] = []
        section = ""
        await self._event("prompt_processing.start")
        async with aclosing(self._state.engine.generate(job)) as events:
            async for event in events:
                match event:
                    case PromptProgress():
                        await self._event("prompt_processing.progress", {"progress": event.ratio})
                        if event.processed == event.total:
                            await self._event("prompt_processing.end")
                    case Piece() if event.kind in ("content", "reasoning"):
                        wanted = "message" if event.kind == "content" else "reasoning"
                        section = await self._enter(wanted, section)
                        await self._event(f"{section}.delta", {"content": event.text})
                        pieces.append(event)
                    case Piece():
                        section = await self._enter("", section)
                    case Finished():
                        section = await self._enter("", section)
                        self._record.finish_reason = event.reason
        return pieces

    async def _enter(self, section: str, previous: str) -> str:
        if section != previous:
            if previous:
                await self._event(f"{previous}.end")
            if section:
                await self._event(f"{section}.start")
        return section

    def _result(self, messages: list[JsonObject]) -> JsonObject:
        record = self._record
        first_s = (record.first_token_at_s or record.arrived_at_s) - record.arrived_at_s
        stats: JsonObject = {
            "input_tokens": record.prompt_tokens,
            "total_output_tokens": record.completion_tokens,
            "reasoning_output_tokens": record.reasoning_tokens,
            "tokens_per_second": record.completion_tokens / max(record.decode_s, 1e-6),
            "time_to_first_token_seconds": first_s,
        }
        if self._load_s is not None:
            stats["model_load_time_seconds"] = round(self._load_s, 3)
        result: JsonObject = {"model_instance_id": self._instance_id, "output": self._output, "stats": stats}
        if self._body.get("store") is not False:
            digest = hashlib.sha256(f"{self._state.config.seed}/{record.number}".encode()).hexdigest()
            result["response_id"] = response_id = f"resp_{digest[:48]}"
            said = [str(item["content"]) for item in self._output if item["type"] == "message"]
            answered: JsonObject = {"role": "assistant", "content": "".join(said)}
            self._state.stored_chats[response_id] = [*messages, answered]
        return result


def _as_refusal(error: EngineCrashed | Refusal) -> Refusal:
    if isinstance(error, Refusal):
        return error
    return Refusal(500, native_error("internal_error", str(error)))
