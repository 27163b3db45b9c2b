"""One request of the own loop: asked, metered, asked again where that can help."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from agentui.backends.base import Backend, ChatRequest
from agentui.backends.meter import GUESS_EVERY_S, RequestMeter
from agentui.backends.prefix import PrefillPace, Prefix, PrefixAccount
from agentui.backends.stall import StallLimits, watch_progress
from agentui.errors import BackendError, BackendUnavailable, StreamBroken
from agentui.events import BackendLost, BackendRetried, MessageId, RequestId, RequestOutcome, Usage
from agentui.harness.answer import Answer
from agentui.harness.base import Cut, Emit, Gate, Interrupted

RETRY_DELAYS_S = (1.0, 2.0, 4.0)
"""Waits before a request is asked again: a restarting LM Studio is back within a few seconds."""

LONGEST_WAIT_S = 120.0
"""Most of what a server may ask for before it is asked again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with what is known of it before it is sent."""

    request: ChatRequest
    turn: int
    estimated_prompt_tokens: int
    likely_cached_tokens: int
    limit_tokens: int | None
    body_bytes: int


class Requester:
    """Sends requests for the loop. Emits their events; every `RequestStarted` gets its `RequestEnded`."""

    def __init__(
        self,
        backend: Backend,
        ids: Callable[[str], str],
        stall: StallLimits,
        retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._ids = ids
        self._stall = stall
        self._retry_delays_s = retry_delays_s
        self._clock = clock
        self._prefixes = PrefixAccount()
        self._pace = PrefillPace()

    async def ask(self, asked: Asked, gate: Gate, emit: Emit) -> Answer:
        """The whole answer, after retries.

        Raises:
            Cut: The user froze the generation or sent a steer at once.
            Interrupted: The user ended the run; carries the partial text.
            BackendError: Retries are used up or cannot help.
        """
        prefix = self._prefixes.asked(asked.request.messages, asked.request.tools)
        for attempt, delay_s in enumerate((*self._retry_delays_s, None), start=1):
            try:
                answer = await self._once(asked, prefix, attempt, gate, emit)
                self._prefixes.answered(answer.usage or Usage())
                return answer
            except BackendError as error:
                if delay_s is None or not error.retryable:
                    if isinstance(error, BackendUnavailable):
                        emit(BackendLost(error.message, error.hint))
                    raise
                delay_s = max(delay_s, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))
                emit(BackendRetried(attempt, delay_s, error.message))
                await gate.back_off(delay_s)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, asked: Asked, prefix: Prefix, attempt: int, gate: Gate, emit: Emit) -> Answer:
        answer = Answer(MessageId(self._ids("m")), asked.turn, emit, self._clock)
        meter = RequestMeter(
            RequestId(self._ids("q")), emit, self._clock, limit_tokens=asked.limit_tokens, pace=self._pace
        )
        known = asked.likely_cached_tokens
        if prefix.first_changed is not None and prefix.known_tokens is not None:
            known = min(known, prefix.known_tokens)
        meter.sent(
            body_bytes=asked.body_bytes,
            messages=len(asked.request.messages),
            estimated_prompt_tokens=asked.estimated_prompt_tokens,
            turn=asked.turn,
            attempt=attempt,
            likely_cached_tokens=known,
            first_changed=prefix.first_changed,
        )
        stream = asyncio.create_task(self._stream(asked.request, answer, meter, emit))
        ended: tuple[str, RequestOutcome, str | None] = ("cut", "cut", None)
        try:
            with gate.generating(lambda why: stream.cancel()):
                await _finished(stream)
            ended = (answer.finish_reason or "stop", "done", None)
        except BackendError as error:
            ended = ("error", "failed", error.message)
            raise
        except Cut as cut:
            if cut.why == "freeze":
                ended = ("cut", "frozen", None)
            raise
        except Interrupted as interrupted:
            interrupted.partial_text = answer.text
            raise
        except Exception as error:
            ended = ("error", "failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            if not stream.done():
                # Interrupted before anything was waited for: nothing may be asked or told any more.
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)
            stop_reason, outcome, message = ended
            meter.ended(outcome, message)
            answer.ended(stop_reason)
        return answer

    async def _stream(self, request: ChatRequest, answer: Answer, meter: RequestMeter, emit: Emit) -> None:
        watched = watch_progress(
            self._backend.chat(request),
            self._stall,
            emit,
            lambda: self._backend.processing_state(request.model),
        )
        # Closed by name: a generator left to the garbage collector would keep the connection open.
        guessing = asyncio.create_task(_guess_progress(meter), name="prefill guess")
        try:
            await self._backend.prepare_chat()
            meter.leaves()
            async with aclosing(watched) as parts:
                async for part in parts:
                    guessing.cancel()
                    meter.part(part)
                    answer.part(part)
        finally:
            guessing.cancel()
            await asyncio.gather(guessing, return_exceptions=True)
        if answer.finish_reason is None:
            raise StreamBroken(
                f"the answer of {request.model} ended without being finished",
                hint="the server may have been restarted or the model crashed; it is asked again",
            )


async def _guess_progress(meter: RequestMeter) -> None:
    """While nothing comes, say how far the prompt must be."""
    while True:
        await asyncio.sleep(GUESS_EVERY_S)
        meter.waiting()


async def _finished(stream: asyncio.Task[None]) -> None:
    """Wait for the stream; a cut stream returns, a cancelled wait cancels the stream and propagates."""
    try:
        await asyncio.wait({stream})
    except asyncio.CancelledError:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
        raise
    if not stream.cancelled():
        stream.result()
