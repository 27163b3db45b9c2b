from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agentui.backends.base import ServerFacts
from agentui.backends.source import ModelFiles, ServerReading, ServerSource, SlotReading
from agentui.errors import BackendUnavailable, ModelNotFound
from agentui.events import BackendLost, ContextMeasured, Event, ModelFacts, ModelSeen, StateChanged, Warned
from agentui.run.watch import DESCRIBE_S, LOOK_AGAIN_S, POLL_S, Watch

MODEL = ModelFacts("fake-7b", loaded_context_tokens=4096)


@dataclass
class FakeSource:
    """Another kind of server, as somebody might add one; `fails` is raised instead of the next answer."""

    readings: list[ServerReading] = field(default_factory=lambda: [ServerReading("idle", 0)])
    model: ModelFacts | None = MODEL
    fails: Exception | None = None
    described: int = 0
    is_closed: bool = False
    facts: ServerFacts = field(default_factory=lambda: ServerFacts("openai", "http://fake"))

    async def describe(self, model: str | None) -> ModelFacts:
        self.described += 1
        if self.model is None:
            raise ModelNotFound("No model is loaded.", hint="Load one.")
        return self.model

    async def files(self) -> ModelFiles:
        return ModelFiles()

    async def read(self) -> ServerReading:
        if self.fails is not None:
            raise self.fails
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class NoReadings:
    """No machine to read."""

    is_started: bool = False

    def start(self) -> None:
        self.is_started = True

    async def aclose(self) -> None:
        self.is_started = False


@dataclass
class Stage:
    """A watch over what `source` is at the moment."""

    source: FakeSource | None
    events: list[Event] = field(default_factory=list)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.watch = Watch(self.open, self.events.append, NoReadings(), clock=lambda: self.now_s)

    async def open(self) -> ServerSource:
        if self.source is None:
            raise BackendUnavailable("There is no model server.", hint="Start it.")
        return self.source


async def test_a_source_of_any_kind_gives_the_same_events() -> None:
    slot = SlotReading(0, False, 4096, used_tokens=700)
    stage = Stage(FakeSource([ServerReading("idle", 0, (slot,))]))
    assert await stage.watch.read()
    assert stage.events == [
        ModelSeen(MODEL),
        StateChanged("idle", "none"),
        ContextMeasured(700, 4096, "reported"),
    ]
    await stage.watch.read()
    assert len(stage.events) == 3


async def test_no_server_is_said_once_and_looked_for_again() -> None:
    stage = Stage(None)
    assert not await stage.watch.read()
    assert not await stage.watch.read()
    assert [e for e in stage.events if isinstance(e, BackendLost)] == [
        BackendLost("There is no model server.", "Start it.")
    ]
    assert stage.watch.facts is None
    stage.source = FakeSource()
    assert await stage.watch.read()
    assert stage.watch.trouble is None
    assert ModelSeen(MODEL) in stage.events


async def test_a_server_that_goes_is_let_go_and_found_again() -> None:
    first = FakeSource()
    stage = Stage(first)
    await stage.watch.read()
    first.fails = BackendUnavailable("gone")
    assert not await stage.watch.read()
    assert first.is_closed
    assert (stage.watch.facts, stage.watch.reading) == (None, ServerReading())
    stage.source = FakeSource()
    assert await stage.watch.read()
    assert len([event for event in stage.events if isinstance(event, ModelSeen)]) == 2


async def test_without_a_model_the_server_is_followed_and_the_model_looked_for() -> None:
    source = FakeSource(model=None)
    stage = Stage(source)
    assert await stage.watch.read()
    assert Warned("no_model", "No model is loaded.", "Load one.") in stage.events
    await stage.watch.read()
    assert source.described == 1
    source.model, stage.now_s = MODEL, LOOK_AGAIN_S
    await stage.watch.read()
    assert stage.events[-1] == ModelSeen(MODEL)
    stage.now_s += DESCRIBE_S - 1
    await stage.watch.read()
    assert source.described == 2


async def test_it_polls_in_the_background_slower_while_there_is_no_server() -> None:
    stage, waits, stop = Stage(None), list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        stage.source = stage.source or FakeSource()
        if len(waits) == 3:
            stop.set()
            await asyncio.Event().wait()

    readings = NoReadings()
    watch = Watch(stage.open, stage.events.append, readings, clock=lambda: 0.0, sleep=sleep)
    watch.start()
    await asyncio.wait_for(stop.wait(), 5)
    assert readings.is_started
    await watch.aclose()
    assert waits == [LOOK_AGAIN_S, POLL_S, POLL_S]
    assert stage.source is not None
    assert stage.source.is_closed
    assert not readings.is_started


async def test_a_source_that_surprises_does_not_end_the_watch() -> None:
    stage, waits, stop = Stage(FakeSource(fails=ZeroDivisionError())), list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert stage.source is not None
        stage.source.fails = None
        if len(waits) == 2:
            stop.set()
            await asyncio.Event().wait()

    watch = Watch(stage.open, stage.events.append, NoReadings(), clock=lambda: 0.0, sleep=sleep)
    watch.start()
    await asyncio.wait_for(stop.wait(), 5)
    await watch.aclose()
    assert waits == [LOOK_AGAIN_S, POLL_S]
