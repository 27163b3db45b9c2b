"""From a request for text to a generation: the part all the chat routes share."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from agentui.simulator import answers
from agentui.simulator.answers import Refusal
from agentui.simulator.chat_request import ChatRequest, JsonObject
from agentui.simulator.engine import (
    Disconnected,
    EngineCrashed,
    Finished,
    GenerationEvent,
    Job,
    PromptProgress,
)
from agentui.simulator.faults import OVERFLOWS, Fault
from agentui.simulator.registry import Instance
from agentui.simulator.reply import Piece, pieces_of, tool_call_id, until_stop, with_fault
from agentui.simulator.scripts.player import reply_to
from agentui.simulator.sse import is_gone
from agentui.simulator.state import STATE, ServerState, read_json
from agentui.simulator.tokens import prompt_tokens
from agentui.simulator.truth import RequestRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A generation that is about to start, with everything its route needs to write it down."""

    request: web.Request
    state: ServerState
    chat: ChatRequest
    record: RequestRecord
    instance: Instance
    job: Job
    overflow: Fault | None
    """How to say that the prompt does not fit; None when it does."""

    @property
    def fault(self) -> Fault | None:
        """The fault of this request."""
        return self.record.fault

    @property
    def reasoning_name(self) -> str:
        """The field that carries thoughts."""
        return "reasoning" if self.fault is Fault.REASONING_FIELD else "reasoning_content"

    @property
    def seed(self) -> str:
        """What this request's ids and accidents are drawn from."""
        return f"{self.state.config.seed}/{self.record.number}"

    @property
    def overflow_text(self) -> str:
        """The words of the overflow error."""
        form = self.overflow or Fault.OVERFLOW_EVENT
        context_length = self.instance.settings.context_length
        tokens = len(self.job.prompt)
        # A forced overflow of a small prompt must still make sense to whoever reads the numbers.
        return answers.overflow_message(form, max(tokens, context_length + tokens // 8 + 1), context_length)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Run the generation and give its place back at the end, whatever happens."""
        async with aclosing(self.state.engine.generate(self.job)) as stream:
            yield stream


Parser = Callable[[JsonObject], ChatRequest]
Writer = Callable[[Answer], Awaitable[web.StreamResponse]]


async def answer(request: web.Request, parse: Parser, write: Writer) -> web.StreamResponse:
    """Carry a request for text from its body to its answer; errors become LM Studio's bodies."""
    state = request.app[STATE]
    now_s = state.engine.pace.now_s
    number = len(state.truth.requests) + 1
    record = state.truth.open_request(request.path, {}, state.plan.of_request(number), now_s())
    try:
        record.body = await read_json(request)
        refuse_early(record.fault, str(record.body.get("model", "")), request, state)
        chat = parse(record.body)
        instance = await state.engine.resolve(chat.model, chat.ttl_s, record)
        return await write(prepare(request, chat, record, instance))
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    except EngineCrashed as crash:
        return web.json_response(answers.text_error(str(crash)), status=500)
    except Disconnected:
        logger.info("Client disconnected. Stopping generation…")
        record.disconnected = True
        return web.Response()
    finally:
        record.ended_at_s = now_s()
        if record.fault is Fault.RESTART:
            state.restart_wanted.set()


def refuse_early(fault: Fault | None, model: str, request: web.Request, state: ServerState) -> None:
    """Raise the error of a fault that shows before anything is generated."""
    match fault:
        case Fault.UNKNOWN_MODEL:
            raise answers.unknown_model(model, [item.key for item in state.registry.models])
        case Fault.NO_MODELS_LOADED:
            raise answers.no_models_loaded()
        case Fault.NO_MODELS_LOADED_TEXT:
            raise answers.no_models_loaded(as_text=True)
        case Fault.LOAD_FAILED:
            raise answers.jit_load_failed(model)
        case Fault.LOW_MEMORY:
            raise Refusal(400, answers.text_error(answers.low_memory_message()))
        case Fault.UNAUTHORIZED:
            raise answers.unauthorized()
        case Fault.UNEXPECTED_ENDPOINT:
            raise Refusal(200, answers.unexpected_endpoint(request.method, request.path))
        case Fault.HTTP_500:
            raise Refusal(500, answers.text_error("Internal Server Error"))
        case _:
            return


def prepare(request: web.Request, chat: ChatRequest, record: RequestRecord, instance: Instance) -> Answer:
    """Render the prompt, let the model decide, and see whether it fits.

    Raises:
        Refusal: If the model cannot chat.
    """
    if instance.model.is_embedding:
        raise Refusal(
            400, answers.object_error(f'Model "{instance.id}" is not an LLM.', code=None, param="model")
        )
    state = request.app[STATE]
    prompt = prompt_tokens(chat.messages, chat.tools)
    overflow = record.fault if record.fault in OVERFLOWS else None
    if overflow is None and len(prompt) > instance.settings.context_length:
        overflow = Fault.OVERFLOW_EVENT if chat.stream else Fault.OVERFLOW_N_KEEP
    if overflow is Fault.OVERFLOW_SHARED:
        instance.crash(answers.SHARED_CONTEXT)
    reply = with_fault(reply_to(chat.messages, chat.tools), record.fault)
    ids = [tool_call_id(prompt, index) for index in range(len(reply.calls))]
    cap = chat.max_tokens
    if cap is None and reply.is_endless:
        cap = state.config.reasoning_limit_tokens
    pieces = until_stop(pieces_of(reply, ids), chat.stop)
    job = Job(instance, prompt, pieces, cap, record, lambda: is_gone(request))
    return Answer(request, state, chat, record, instance, job, overflow)


async def collect(answer_: Answer) -> tuple[list[Piece], str]:
    """Run a generation to its end; returns its pieces and the finish reason.

    Raises:
        Refusal: If the prompt does not fit and this form of overflow says so.
    """
    if answer_.overflow is Fault.OVERFLOW_EMPTY:
        answer_.record.finish_reason = "stop"
        answer_.record.prompt_tokens = len(answer_.job.prompt)
        return [], "stop"
    if answer_.overflow is not None:
        raise Refusal(400, answers.text_error(answer_.overflow_text))
    pieces: list[Piece] = []
    reason = "stop"
    async with answer_.events() as events:
        async for event in events:
            match event:
                case Piece():
                    pieces.append(event)
                case Finished():
                    reason = event.reason
                case PromptProgress():
                    continue
    answer_.record.finish_reason = reason
    return pieces, reason
