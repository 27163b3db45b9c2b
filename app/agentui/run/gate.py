"""The supervisor's side of the conversation with a harness: every question it asks is answered here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from agentui.events import (
    CallId,
    Event,
    LoopSuspected,
    MessageId,
    NoticeQueued,
    ToolEnded,
    ToolOutcome,
    ToolStarted,
    WorkspaceConflicted,
)
from agentui.harness.base import (
    Cut,
    CutWhy,
    Dialogue,
    Interrupter,
    Note,
    Stop,
    ToolCall,
    ToolResult,
)
from agentui.run.approvals import Approvals
from agentui.run.changes import Changes
from agentui.run.execute import Executor
from agentui.run.hints import Hints
from agentui.run.hold import Holder
from agentui.run.loop_guard import ASKED_AFTER, TOLD_AFTER, LoopGuard
from agentui.run.ports import RunPolicy
from agentui.run.queue import SteerQueue
from agentui.text import plural

SKIPPED = "[skipped: the user steered; read their message first]"
DENIED = "[denied by the user]"
STOPPED = "[skipped: the run stops here]"
NO_SANDBOX = "[refused: there is no sandbox, so nothing can be run]"
_KILLED_BY: dict[Interrupter, str] = {
    "user": "interrupted by the user",
    "quit": "agentui ended before it did",
    "guard": "the memory guard ended the run",
}
_MORE_TURNS = "raise --max-turns, or give the next task: the conversation goes on"
_OTHER_TASK = "give the next task in other words: the conversation goes on"


@dataclass(slots=True)
class Talk:
    """What a session keeps between runs: queued texts, and notices for the end of the model's history.

    `changing` is held while something is changed that requests stand on: the model, or files on the host.
    """

    emit: Callable[[Event], None]
    queue: SteerQueue = field(default_factory=SteerQueue)
    notices: list[str] = field(default_factory=list)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    call_ids: set[CallId] = field(default_factory=set)
    hints: Hints = field(default_factory=Hints)
    always_allowed: bool = False
    has_fresh_copy: bool = True
    """The copy was just made, and nothing was asked since: the user's edits are in it."""

    def notice(self, text: str) -> None:
        """Tell the model at the end of its history, with its next request."""
        self.notices.append(text)
        self.emit(NoticeQueued(text))


class RunGate:
    """The gate of one run. Implements `harness.base.Gate`; all on one event loop."""

    def __init__(
        self,
        talk: Talk,
        holder: Holder,
        executor: Executor | None,
        changes: Changes | None,
        approvals: Approvals,
        policy: RunPolicy,
        emit: Callable[[Event], None],
        ids: Callable[[str], str],
    ) -> None:
        self._talk = talk
        self._holder = holder
        self._executor = executor
        self._changes = changes
        self._approvals = approvals
        self._policy = policy
        self._emit = emit
        self._ids = ids
        self._guard = LoopGuard()
        self._cut: Callable[[CutWhy], object] | None = None
        self._on_interrupt: list[Callable[[], object]] = []
        self._is_frozen_cut = False
        self._asks_seen = -1
        self._executing = asyncio.Lock()
        self._executed: CallId | None = None
        self._compaction: str | None = None
        self.stop: Stop | None = None
        self.commands = 0

    # --- asked by the supervisor -------------------------------------------------------------

    @property
    def ended_by(self) -> Interrupter | None:
        """Who ended the run, if anybody did."""
        return self._holder.interrupter

    def cut(self, why: CutWhy) -> bool:
        """Cut the running generation; it is asked again. False if none runs."""
        if self._cut is None:
            return False
        self._is_frozen_cut = why == "freeze"
        self._cut(why)
        return True

    def interrupt(self, by: Interrupter = "user") -> None:
        """End the run: cut what generates, kill what runs, wake what waits."""
        self._end(by)
        if self._executor is not None:
            self._executor.cancel(None, _KILLED_BY[by])

    def end_by_guard(self, stop: Stop) -> None:
        """End the run now, for a reason of ours."""
        self.stop = stop
        self.interrupt("guard")

    async def over(self) -> None:
        """The harness has ended: what it still asks is dropped, and its command killed and waited for."""
        self._end("quit")
        if self._executor is not None and self._executed is not None:
            self._executor.cancel(self._executed, "the agent's engine ended before it did")
        async with self._executing:
            pass

    def _end(self, by: Interrupter) -> None:
        self._holder.interrupt(by)
        self._approvals.drop_all()
        if self._cut is not None:
            self._cut("interrupt")
        callbacks, self._on_interrupt = self._on_interrupt, []
        for callback in callbacks:
            callback()

    def send_now(self) -> None:
        """Do not let queued steers wait for what is being asked now."""
        if not self.cut("steer"):
            self._holder.nudge()

    def ask_compaction(self, why: str) -> None:
        """Summarise the history before the next request."""
        self._compaction = why

    # --- asked by the harness ----------------------------------------------------------------

    async def before_request(self) -> Sequence[Note]:
        """See `Gate.before_request`. Order: hold, host edits in, notices, steers."""
        at = "during_request" if self._is_frozen_cut else "before_request"
        self._is_frozen_cut = False
        await self._holder.safe_point(at)
        while True:
            asks = self._holder.asks
            async with self._talk.changing:
                pass
            await self._host_edits_in()
            if self._holder.asks == asks:
                self._asks_seen = asks
                return [*self._taken_notices(), *self._taken_steers()]
            await self._holder.safe_point("before_request")

    def may_send(self) -> bool:
        """See `Gate.may_send`."""
        is_free = not (self._holder.is_interrupted or self._talk.changing.locked())
        return is_free and self._holder.asks == self._asks_seen and not self._talk.queue.has_steer

    async def until_resumed(self) -> None:
        """See `Gate.until_resumed`."""
        self._is_frozen_cut = False
        await self._holder.safe_point("during_request")

    async def _host_edits_in(self) -> None:
        """Bring the user's own edits into the copy; the model is told of conflicts."""
        is_fresh, self._talk.has_fresh_copy = self._talk.has_fresh_copy, False
        event = await self._changes.host_edits_in() if self._changes is not None and not is_fresh else None
        self._holder.check()
        if isinstance(event, WorkspaceConflicted):
            names = ", ".join(event.paths)
            self._talk.notice(
                f"The user changed files on their side that you changed too: {names}. Theirs stay on the host, "
                "yours in the copy; the user will decide."
            )

    def _taken_notices(self) -> list[Note]:
        if not self._talk.notices:
            return []
        text, count = "\n".join(self._talk.notices), len(self._talk.notices)
        self._talk.notices.clear()
        return [Note(text, MessageId(self._ids("m")), notices=count)]

    def _taken_steers(self) -> list[Note]:
        steers = self._talk.queue.take_steers()
        return [Note(item.text, MessageId(self._ids("m")), item.steer_id) for item in steers]

    async def would_stop(self) -> Sequence[Note]:
        """See `Gate.would_stop`: a late steer first, else the oldest follow-up."""
        self._holder.check()
        if self._talk.queue.items:
            # Until it is sent, it can still be taken back.
            await self._holder.safe_point("before_request")
        item = self._talk.queue.take_next()
        return [Note(item.text, MessageId(self._ids("m")), item.steer_id)] if item else []

    def wants_compaction(self) -> str | None:
        """See `Gate.wants_compaction`."""
        why, self._compaction = self._compaction, None
        return why

    async def back_off(self, delay_s: float) -> None:
        """See `Gate.back_off`."""
        await self._holder.sleep(delay_s)
        if self._holder.is_asked or self._talk.queue.has_steer:
            raise Cut("freeze" if self._holder.is_asked else "steer")

    def limit_reached(self, turns: int) -> Stop | None:
        """See `Gate.limit_reached`."""
        if self.stop is not None:
            return self.stop
        limit = self._policy.max_turns
        if limit is not None and turns >= limit:
            return Stop("limit", f"the limit of {plural(limit, 'turn')} is reached", _MORE_TURNS)
        return None

    @contextmanager
    def generating(self, cut: Callable[[CutWhy], object]) -> Iterator[None]:
        """See `Gate.generating`."""
        self._holder.check()
        reasons: list[CutWhy] = []

        def cut_noted(why: CutWhy) -> None:
            reasons.append(why)
            cut(why)

        self._cut = cut_noted
        try:
            yield
        finally:
            self._cut = None
        self._holder.check()
        if reasons:
            raise Cut(reasons[-1])

    @contextmanager
    def on_interrupt(self, callback: Callable[[], object]) -> Iterator[None]:
        """See `Gate.on_interrupt`."""
        if self._holder.is_interrupted:
            callback()
        else:
            self._on_interrupt.append(callback)
        try:
            yield
        finally:
            if callback in self._on_interrupt:
                self._on_interrupt.remove(callback)

    async def ask(self, dialogue: Dialogue) -> str | None:
        """See `Gate.ask`."""
        self._holder.check()
        answer = await self._approvals.put(dialogue, is_answerable=self._policy.is_interactive)
        self._holder.check()
        return answer

    async def execute(self, call: ToolCall) -> ToolResult:
        """See `Gate.execute`: one at a time, under an id that is unique in the session."""
        async with self._executing:
            event_id = self._event_id(call.call_id)
            result = await self._executed_as(replace(call, call_id=event_id))
            return replace(result, call_id=call.call_id)

    def _event_id(self, call_id: CallId) -> CallId:
        known = self._talk.call_ids
        unique = call_id if call_id and call_id not in known else CallId(self._ids("c"))
        known.add(unique)
        return unique

    async def _executed_as(self, call: ToolCall) -> ToolResult:
        if self._executor is None:
            return self._unrun(call, "refused", NO_SANDBOX)
        if call.arguments_error:
            return self._unrun(call, "error", call.arguments_error)
        unrun = await self._held_back(call)
        if unrun is not None:
            return unrun
        self._executed = call.call_id
        try:
            result, text = await self._executor.run(
                call.call_id, call.name, call.command, "command", call.timeout_s, self._starting
            )
        finally:
            self._executed = None
        self._holder.check()
        has_checks = self._executor.has_checks
        self._talk.hints.observe(call.command, result.outcome, result.exit_code, has_checks, self._emit)
        if self._changes is not None:
            await self._changes.refresh()
        return ToolResult(
            call.call_id, result.outcome, await self._guarded(call, result.outcome, text), result.exit_code
        )

    def _starting(self) -> None:
        """A command is about to start: one that is killed counts too."""
        self._holder.check()
        self.commands += 1

    async def _held_back(self, call: ToolCall) -> ToolResult | None:
        """Wait until a command may run; its answer where it must not.

        What was asked while something else was waited for is seen to before the command begins.
        """
        is_allowed = False
        while True:
            was_held = await self._holder.safe_point("before_command")
            asks = self._holder.asks
            if was_held:
                await self._host_edits_in()
            if self.stop is not None:
                return self._unrun(call, "skipped", STOPPED)
            if self._talk.queue.has_steer:
                return self._unrun(call, "skipped", SKIPPED)
            if not (is_allowed or await self._is_allowed(call)):
                return self._unrun(call, "denied", DENIED)
            is_allowed = True
            if self._holder.asks == asks and not self._talk.queue.has_steer:
                return None

    def _unrun(self, call: ToolCall, outcome: ToolOutcome, text: str) -> ToolResult:
        """Answer a call without running it, balanced in the log."""
        cwd = self._executor.cwd if self._executor else ""
        self._emit(ToolStarted(call.call_id, call.name, call.command, cwd))
        self._emit(ToolEnded(call.call_id, outcome, None, 0.0, cwd=cwd, message=text.strip("[]")))
        return ToolResult(call.call_id, outcome, text)

    async def _is_allowed(self, call: ToolCall) -> bool:
        if self._policy.approve == "never" or self._talk.always_allowed:
            return True
        choices = ("yes", "always in this session", "no")
        verdict = await self._ask(f"Run {call.command}", "you asked to approve commands", choices, call.call_id)
        self._talk.always_allowed = verdict == choices[1]
        return verdict in choices[:2]

    async def _ask(self, question: str, why: str, choices: tuple[str, ...], call_id: CallId) -> str | None:
        verdict = await self._approvals.ask(question, why, choices, call_id)
        self._holder.check()
        return verdict

    async def _guarded(self, call: ToolCall, outcome: str, text: str) -> str:
        """Tell the model once that it repeats itself, then let the user decide."""
        repeats = self._guard.observe(call.command, outcome, text)
        if repeats == TOLD_AFTER:
            self._emit(LoopSuspected(call.command, repeats, "told_model"))
            return f"{text}\n[notice: this command gave the same result {repeats} times; try something else]"
        if repeats >= ASKED_AFTER:
            await self._ask_about_loop(call, repeats)
        return text

    async def _ask_about_loop(self, call: ToolCall, repeats: int) -> None:
        why = f"the same command gave the same result {repeats} times"
        if not self._policy.is_interactive:
            self._emit(LoopSuspected(call.command, repeats, "stopped"))
            self.stop = Stop("limit", why, _OTHER_TASK)
            return
        self._emit(LoopSuspected(call.command, repeats, "asked_user"))
        verdict = await self._ask(
            "The agent runs in circles. Let it go on?", why, ("go on", "stop"), call.call_id
        )
        if verdict == "stop":
            self.stop = Stop("limit", why, _OTHER_TASK)
        self._guard.forgive()
