"""One run of Pi's: prompts sent, its questions answered through the gate, its requests held and cut."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from agentui.backends.failures import MORE_CONTEXT_HINT, NOTHING_SAID
from agentui.backends.gateway import Gateway
from agentui.errors import HarnessError, HarnessUnavailable
from agentui.events import MessageId, RequestEnded, RequestId, Warned
from agentui.harness.base import Cut, CutWhy, Emit, Gate, HarnessEnd, Interrupted, Note, Stop
from agentui.harness.odd_answers import LENGTH_HINT
from agentui.harness.pi import dialogues
from agentui.harness.pi.connection import PiConnection, any_of
from agentui.harness.pi.fold import ENDED_EARLY, PiFold, Said
from agentui.harness.pi.records import AgentSettled, PiRecord, RetryBegan, UiRequest

log = logging.getLogger(__name__)

MOST_FAILURES = 6
"""How often in a row a server that fails is asked again."""
SETTLING_S = 5.0
"""How long Pi may take to stop when it is told to."""
GO_ON = "[You were stopped here. Go on with the task where you stood.]"


class PiRun:
    """Between a prompt and `agent_settled`, as often as the gate wants. Use once.

    `has_way` tells whether Pi's requests can still reach the gateway.
    """

    def __init__(
        self,
        connection: PiConnection,
        gateway: Gateway,
        gate: Gate,
        emit: Emit,
        fold: PiFold,
        ids: Callable[[str], str],
        has_way: Callable[[], Awaitable[bool]],
        undelivered: Sequence[Note] = (),
    ) -> None:
        self._pi = connection
        self._gateway = gateway
        self._gate = gate
        self._emit = emit
        self._ids = ids
        self._has_way = has_way
        self.fold = fold
        self.undelivered = list(undelivered)
        self._settled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._foreign: set[asyncio.Task[None]] = set()
        self._generations: dict[RequestId, asyncio.Event] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._aborted = asyncio.Event()
        self._interrupted: Interrupted | None = None
        self._failure: BaseException | None = None
        self._stop: Stop | None = None
        self._compact_why: str | None = None
        self._asks_again = False
        self._is_handled = False
        self._failures = 0

    # --- the run -----------------------------------------------------------------------------

    async def work(self, task: str | None) -> HarnessEnd:
        """Work until Pi settles and nothing waits any more.

        Raises:
            HarnessUnavailable: If Pi is gone.
            HarnessError: If it does not take the prompt.
        """
        self._pi.on_record = self.take
        try:
            with self._gate.on_interrupt(self._abort_soon):
                try:
                    return await self._prompts(task)
                except Interrupted as interrupted:
                    self._interrupted = interrupted
                except HarnessUnavailable:
                    if self._interrupted is None:
                        raise
                return HarnessEnd("interrupted", self.fold.usage)
        finally:
            await self._leave()

    async def _prompts(self, task: str | None) -> HarnessEnd:
        first = [Note(task, MessageId(self._ids("m")))] if task is not None else []
        while True:
            notes = [*self._taken_undelivered(), *first, *await self._gate.before_request()]
            await self._prompt(notes)
            self._check()
            if self._failure is not None:
                raise self._failure
            if self._stop is not None:
                return HarnessEnd(self._stop.reason, self.fold.usage, self._stop.why, self._stop.hint)
            first = []
            if self._compact_why is not None:
                self._compact_why = None
                await self.compact()
            elif self._asks_again:
                self._asks_again = False
            else:
                end = self._failed_end()
                if end is not None:
                    return end
                if self._gate.limit_reached(self.fold.turns):
                    return HarnessEnd("done", self.fold.usage)
                first = list(await self._gate.would_stop())
                if not first:
                    return HarnessEnd("done", self.fold.usage)

    def _failed_end(self) -> HarnessEnd | None:
        """How the run ends when the last answer was none; ``None`` when it was one."""
        last = self.fold.last_answer
        if self._is_handled:
            # It was a command of the user's own extension: the model was not asked.
            return None
        if last is None:
            return HarnessEnd("failed", self.fold.usage, "Pi ended without an answer")
        match last.stop_reason:
            case "error":
                return HarnessEnd("failed", self.fold.usage, last.error or "the model's answer failed")
            case "length":
                return HarnessEnd(
                    "limit", self.fold.usage, "the answer was cut at the token limit", LENGTH_HINT
                )
            case _ if last.says_nothing:
                return HarnessEnd("failed", self.fold.usage, f"{NOTHING_SAID}.", MORE_CONTEXT_HINT)
            case _:
                return None

    async def _prompt(self, notes: Sequence[Note]) -> None:
        """Send the notes as one message, and wait until Pi has settled."""
        text = "\n\n".join(note.text for note in notes) or GO_ON
        self._settled.clear()
        self._aborted.clear()
        said = Said(text, tuple(notes), is_shown=bool(notes))
        self.fold.said.append(said)
        response = await self._pi.command("prompt", message=text)
        if not response.success:
            raise HarnessError(f"Pi does not take the prompt: {response.error}")
        self._is_handled = response.data.get("disposition") == "handled"
        if self._is_handled:
            self.fold.said.remove(said)
            return
        await self._until_settled()

    async def _until_settled(self) -> None:
        """Wait for `agent_settled`, however long it takes; once it was told to stop, only a while.

        Raises:
            HarnessUnavailable: If Pi is gone, or did not stop.
        """
        await any_of(self._settled, self._pi.closed, self._aborted)
        try:
            await asyncio.wait_for(any_of(self._settled, self._pi.closed), SETTLING_S)
        except TimeoutError:
            await self._pi.aclose()
            raise HarnessUnavailable(f"Pi did not stop within {SETTLING_S:g} s and was ended") from None
        if not self._settled.is_set():
            raise self._pi.gone()

    async def compact(self) -> None:
        """Let Pi summarise now; only while it is settled. Its records tell the rest."""
        response = await self._pi.command("compact")
        if not response.success and self._interrupted is None:
            self._emit(Warned("nothing_to_compact", f"Pi did not summarise: {response.error}"))

    async def compact_alone(self) -> None:
        """Summarise between runs.

        Raises:
            Interrupted: When the user stopped it.
        """
        self._pi.on_record = self.take
        try:
            with self._gate.on_interrupt(self._abort_soon):
                await self.compact()
            self._check()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """End what is still asked; balance what is still open."""
        self.undelivered = self._taken_undelivered()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for over in self._generations.values():
            over.set()
        with contextlib.suppress(TimeoutError):
            # Their ends come from the gateway, which sees Pi hang up.
            await asyncio.wait_for(self._quiet.wait(), 2.0)
        self._gateway.resume()
        answer = self._interrupted.answer if self._interrupted is not None else ENDED_EARLY
        self.fold.close(answer)

    def _taken_undelivered(self) -> list[Note]:
        """Texts that were given to Pi and did not reach its transcript."""
        notes = [*self.undelivered, *(note for said in self.fold.said for note in said.notes)]
        self.undelivered = []
        self.fold.said.clear()
        return notes

    # --- what Pi says ------------------------------------------------------------------------

    def take(self, record: PiRecord) -> None:
        """Take a record, in order; what takes time becomes a task."""
        if isinstance(record, AgentSettled) and self._interrupted is not None:
            self.fold.close(self._interrupted.answer)
        if isinstance(record, RetryBegan) and not self.fold.is_quiet:
            self._failures += 1
            if self._failures > MOST_FAILURES:
                self._stop = Stop("failed", record.error)
                self._abort_soon()
                return
        self.fold.take(record)
        match record:
            case AgentSettled():
                for task in self._foreign:
                    task.cancel()
                self._settled.set()
            case UiRequest(title=dialogues.EXEC):
                self._start(self._execute(record))
            case UiRequest(title=dialogues.GATE):
                self._start(self._ask_gate(record))
            case UiRequest() if record.is_dialogue:
                self._foreign.add(self._start(self._ask_user(record)))
            case RetryBegan(delay_s=delay_s, is_summary=False) if not self.fold.is_quiet:
                self._start(self._back_off(delay_s))
            case _:
                pass

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._foreign.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """What goes wrong in a task ends the run, not the task alone."""
        try:
            await work
        except Interrupted as interrupted:
            self._interrupted = self._interrupted or interrupted
        except Exception as error:
            self._failure = self._failure or error
            await self._abort()

    # --- questions ---------------------------------------------------------------------------

    async def _execute(self, request: UiRequest) -> None:
        call = dialogues.call_of(request)
        self.fold.tools.hand_over(call.call_id)
        result = await self._gate.execute(call)
        await self._pi.send(dialogues.exec_answer(request, result))

    async def _ask_gate(self, request: UiRequest) -> None:
        """Hold Pi between its commands and its next request; what the user said goes in before it goes on."""
        stop = self._gate.limit_reached(self.fold.turns)
        if stop is not None:
            self._stop = stop
            await self._abort()
            return
        notes: list[Note] = []
        while True:
            new = await self._gate.before_request()
            why = self._gate.wants_compaction()
            if why is not None:
                self._compact_why = why
                self.undelivered += [*notes, *new]
                self.fold.said.clear()
                await self._abort()
                return
            if new:
                notes += new
                await self._steer(notes)
            if self._gate.may_send():
                break
        self.fold.turn_over()
        await self._pi.send(dialogues.gate_answer(request))

    async def _steer(self, notes: Sequence[Note]) -> None:
        """Give Pi the notes as one message before its next request; templates refuse two in a row."""
        if self.fold.said:
            self.fold.said.clear()
            await self._pi.command("clear_queue")
        text = "\n\n".join(note.text for note in notes)
        self.fold.said.append(Said(text, tuple(notes)))
        await self._pi.command("steer", message=text)

    async def _ask_user(self, request: UiRequest) -> None:
        """Put a foreign extension's question to the user, for as long as it waits."""
        answer: str | None = None
        try:
            async with asyncio.timeout(request.timeout_s):
                answer = await self._gate.ask(dialogues.dialogue_of(request))
        except TimeoutError:
            return
        await self._pi.send(dialogues.dialogue_answer(request, answer))

    # --- requests ----------------------------------------------------------------------------

    def request_started(self, request_id: RequestId) -> None:
        """A request of Pi's is on its way to the server; a turn has begun unless Pi summarises."""
        self.fold.request_began()
        self.fold.is_quiet = False
        over = self._generations[request_id] = asyncio.Event()
        self._quiet.clear()
        self._start(self._generation(over))

    def request_ended(self, event: RequestEnded) -> None:
        """It has ended, one way or another."""
        self.fold.request_ended(event)
        if event.outcome == "done":
            self._failures = 0
        over = self._generations.pop(event.request_id, None)
        if over is not None:
            over.set()
        if not self._generations:
            self._quiet.set()

    async def _generation(self, over: asyncio.Event) -> None:
        def cut(why: CutWhy) -> None:
            if why == "freeze":
                self.fold.is_quiet = True
                self._start(self._freeze())
            else:
                over.set()

        try:
            with self._gate.generating(cut):
                await over.wait()
        except Cut as reason:
            if reason.why == "freeze":
                await self._hold()
            else:
                await self._ask_again()

    async def _freeze(self) -> None:
        await self._gateway.freeze()

    async def _hold(self) -> None:
        """The generation was cut; Pi asks again with the same bytes, which wait at the gateway."""
        try:
            await self._gate.until_resumed()
        finally:
            if self._interrupted is None:
                self._gateway.resume()

    async def _ask_again(self) -> None:
        """Drop the answer, and ask with what the user says now."""
        self._asks_again = True
        await self._abort()

    async def _back_off(self, delay_s: float) -> None:
        """Pi waits before it asks a failed request again; the user may want something meanwhile.

        Raises:
            HarnessUnavailable: If asking again is in vain.
        """
        if not await self._has_way():
            raise HarnessUnavailable(
                "Pi's way to the model was ended from outside", hint="the next task makes it again"
            )
        try:
            await self._gate.back_off(delay_s)
        except Cut as reason:
            if reason.why == "freeze":
                await self._freeze()
                await self._hold()
            else:
                await self._ask_again()

    # --- stopping ----------------------------------------------------------------------------

    def _check(self) -> None:
        """Raises `Interrupted` if the run was ended."""
        with self._gate.generating(lambda why: None):
            pass

    def _abort_soon(self) -> None:
        self._start(self._abort())

    async def _abort(self) -> None:
        """Stop Pi where it is: nothing that is queued in it may be consumed without an answer."""
        self._aborted.set()
        if self._pi.closed.is_set():
            return
        await self._pi.send({"id": self._ids("x"), "type": "clear_queue"})
        await self._pi.send({"id": self._ids("x"), "type": "abort"})
