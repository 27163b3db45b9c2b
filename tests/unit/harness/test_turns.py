"""User and model take turns in every request, and every request begins with the one before."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

from hypothesis import example, given
from hypothesis import strategies as st

from agentui.backends.base import ChatPart, ChatRequest
from agentui.errors import BackendRefused
from agentui.events import HistoryAppended, Json, MessageId, ModelFacts
from agentui.harness.base import Cut, CutWhy, Dialogue, Interrupted, Note, Stop, ToolCall, ToolResult
from agentui.harness.loop import NO_ANSWER, LoopSettings, OwnLoop
from agentui.history import fold_history
from tests.fakes import Hang, Log, PlayedBackend, calls, says

Happening = Literal["calls", "text", "cut", "interrupted", "failed"]
Request = tuple[Happening, list[str]]
"""What becomes of a request, and what is said before it."""

WORDS = st.text(alphabet="ab", min_size=1, max_size=3)
REQUEST: st.SearchStrategy[Request] = st.tuples(
    st.sampled_from(["calls", "text", "cut", "interrupted", "failed"]), st.lists(WORDS, max_size=3)
)


class PlannedGate:
    """A gate whose user speaks before requests, and cuts or ends the run, as it was planned."""

    def __init__(self, plan: Iterator[Request]) -> None:
        self._plan = plan
        self._now: Happening = "text"
        self._ids = itertools.count(1)

    @property
    def now(self) -> Happening:
        return self._now

    async def before_request(self) -> Sequence[Note]:
        self._now, texts = next(self._plan, ("text", []))
        return [Note(text, MessageId(f"n{next(self._ids)}")) for text in texts]

    async def execute(self, call: ToolCall) -> ToolResult:
        return ToolResult(call.call_id, "ok", "done", 0)

    async def would_stop(self) -> Sequence[Note]:
        return ()

    @contextmanager
    def generating(self, cut: Callable[[CutWhy], object]) -> Iterator[None]:
        if self._now in ("cut", "interrupted"):
            asyncio.get_running_loop().call_soon(cut, "steer" if self._now == "cut" else "interrupt")
        yield
        if self._now == "cut":
            raise Cut("steer")
        if self._now == "interrupted":
            raise Interrupted

    def wants_compaction(self) -> str | None:
        return None

    async def back_off(self, delay_s: float) -> None:
        return None

    def limit_reached(self, turns: int) -> Stop | None:
        return None

    def may_send(self) -> bool:
        return True

    async def until_resumed(self) -> None:
        return None

    async def ask(self, dialogue: Dialogue) -> str | None:
        return None

    def on_interrupt(self, callback: Callable[[], object]) -> AbstractContextManager[None]:
        return nullcontext()


class PlannedBackend(PlayedBackend):
    """Answers as the gate's plan says."""

    def __init__(self, gate: PlannedGate) -> None:
        super().__init__([])
        self._gate = gate

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatPart]:
        match self._gate.now:
            case "calls":
                self._answers = [calls("ls")]
            case "failed":
                self._answers = [[BackendRefused("no")]]
            case "cut" | "interrupted":
                self._answers = [[Hang()]]
            case _:
                self._answers = [says("fine")]
        async for part in super().chat(request):
            yield part


def played(plan: list[Request], tasks: int) -> tuple[PlannedBackend, OwnLoop, Log]:
    log, ids = Log(), itertools.count(1)
    gate = PlannedGate(iter(plan))
    backend = PlannedBackend(gate)
    loop = OwnLoop(
        backend, ModelFacts("m"), "be brief", LoopSettings(retry_delays_s=()), lambda p: f"{p}{next(ids)}"
    )

    async def run() -> None:
        for number in range(tasks):
            await loop.run(f"task {number}", gate, log.emit)

    asyncio.run(run())
    return backend, loop, log


def assert_takes_turns(messages: Sequence[Json]) -> None:
    roles = [message["role"] for message in messages]
    assert roles[:2] == ["system", "user"]
    for first, second in itertools.pairwise(roles):
        assert (first, second) not in {("user", "user"), ("assistant", "assistant")}, roles
        assert second != "user" or first in {"system", "assistant", "tool"}


@given(st.lists(REQUEST, max_size=8), st.integers(1, 3))
@example([("text", ["steer", "and more"])], 1)
@example([("cut", ["a"]), ("cut", []), ("text", ["b"])], 1)
@example([("failed", []), ("interrupted", ["a"]), ("text", [])], 3)
def test_requests_take_turns_and_extend_each_other(plan: list[Request], tasks: int) -> None:
    backend, loop, log = played(plan, tasks)
    before: Sequence[Json] = ()
    for request in backend.requests:
        assert_takes_turns(request.messages)
        assert tuple(request.messages[: len(before)]) == tuple(before)
        before = request.messages
    assert fold_history(log.events) == list(loop.history)


@given(st.lists(REQUEST, max_size=8), st.integers(1, 3))
def test_everything_that_was_said_is_in_the_history(plan: list[Request], tasks: int) -> None:
    backend, loop, _ = played(plan, tasks)
    said = "\n\n".join(m["content"] for m in loop.history if m["role"] == "user").split("\n\n")
    asked = plan[: len(backend.requests)]
    assert sorted(said) == sorted(
        [*(f"task {n}" for n in range(tasks)), *itertools.chain(*(t for _, t in asked))]
    )


def test_what_is_said_before_the_first_request_is_one_message_with_the_task() -> None:
    backend, _, log = played([("text", ["a notice", "a steer"])], 1)
    [request] = backend.requests
    assert [m["content"] for m in request.messages[1:]] == ["task 0\n\na notice\n\na steer"]
    appended = [event for event in log.events if isinstance(event, HistoryAppended)]
    assert [event.joins_last for event in appended] == [False, False, True, True, False]


def test_a_steer_after_a_request_that_was_cut_leaves_the_sent_message_as_it_was() -> None:
    backend, _, _ = played([("cut", []), ("text", ["shorter"])], 1)
    assert [m["content"] for m in backend.requests[1].messages[1:]] == ["task 0", NO_ANSWER, "shorter"]


def test_a_request_that_was_cut_without_a_word_is_asked_again_unchanged() -> None:
    backend, _, _ = played([("cut", []), ("text", [])], 1)
    assert backend.requests[0].messages == backend.requests[1].messages
