from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from agentui.errors import BackendUnavailable, ModelFileError
from agentui.events import (
    ContextMeasured,
    Event,
    ForecastMade,
    KvSample,
    MemorySample,
    MessageId,
    ModelFacts,
    ModelSeen,
    ProcessSample,
    Recorded,
    RequestEnded,
    RequestId,
    RequestStarted,
    RunId,
    TextDelta,
    TurnEnded,
    TurnStarted,
    Usage,
)
from agentui.telemetry.cache import CacheModel, FindCache, find_builtin_cache
from agentui.telemetry.memory.process import ModelProcess
from agentui.telemetry.memory.reader import MachineMemory, ProcessMemory
from agentui.telemetry.sampler import REMOTE, Readers, Sampler

E = TypeVar("E")
GIB = 1024**3
MIB = 1024**2
MACHINE = MachineMemory(
    total_bytes=64 * GIB, used_bytes=30 * GIB, available_bytes=34 * GIB, swap_used_bytes=0, pressure="ok"
)
GEMMA = ModelFacts("gemma-4-26b-a4b", size_bytes=16 * GIB, loaded_context_tokens=32_768)


class GivenMemory:
    """A machine whose readings the test decides."""

    def __init__(self) -> None:
        self.reading: MachineMemory | OSError = MACHINE
        self.readings = 0

    def machine(self) -> MachineMemory:
        self.readings += 1
        if isinstance(self.reading, OSError):
            raise self.reading
        return self.reading

    def process(self, pid: int) -> ProcessMemory | None:
        return None


class Clockwork:
    """Lets the sampler's pauses end only when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._turn = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._turn.wait()

    def tick(self) -> None:
        """End all pauses that are going on."""
        self._turn.set()
        self._turn = asyncio.Event()


class Bench:
    """A sampler with everything around it."""

    def __init__(self, readers: Readers, memory: GivenMemory) -> None:
        self.memory = memory
        self.events: list[Event] = []
        self.clockwork = Clockwork()
        self._arrived = asyncio.Event()
        self._seq = 0
        self.now_s = 0.0
        self.sampler = Sampler(self._emit, readers, sleep=self.clockwork.sleep, clock=lambda: self.now_s)

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self._arrived.set()

    def observe(self, t_s: float, *events: Event) -> None:
        for event in events:
            self._seq += 1
            self.sampler.observe(Recorded(self._seq, t_s, "", RunId("r"), event))

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(self, kind: type[E], count: int = 1) -> list[E]:
        """The events of a kind once there are `count` of them; the test's own deadline ends a vain wait."""
        while len(self.of(kind)) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.of(kind)

    async def wait_until_resting(self, pauses: int) -> None:
        """Until the sampler's tasks have asked for so many pauses in all."""
        while len(self.clockwork.asked) < pauses:
            await asyncio.sleep(0)


def own() -> ProcessSample:
    return ProcessSample(0.5, 90 * MIB)


async def sandbox() -> int | None:
    return 400 * MIB


@asynccontextmanager
async def bench(
    model_process: Callable[[], ModelProcess | None] = lambda: None,
    find_cache: FindCache | None = None,
    own_process: Callable[[], ProcessSample] = own,
) -> AsyncIterator[Bench]:
    memory = GivenMemory()
    readers = Readers(memory, own_process, model_process, sandbox)
    if find_cache is not None:
        readers = Readers(memory, own_process, model_process, sandbox, find_cache)
    made = Bench(readers, memory)
    made.sampler.start()
    try:
        yield made
    finally:
        await made.sampler.aclose()


async def test_first_samples_come_at_once() -> None:
    async with bench() as given:
        (memory,) = await given.wait_for(MemorySample)
        (process,) = await given.wait_for(ProcessSample)
    assert memory.total_bytes == 64 * GIB
    assert memory.sandbox_bytes == 400 * MIB
    assert memory.source == "measured"
    assert memory.error is None
    assert process == own()


async def test_samples_are_repeated_at_their_intervals() -> None:
    async with bench() as given:
        await given.wait_for(MemorySample)
        await given.wait_for(ProcessSample)
        await given.wait_until_resting(2)
        given.clockwork.tick()
        memory = await given.wait_for(MemorySample, 2)
        assert memory[1].own_bytes == 90 * MIB
        assert given.clockwork.asked[:2] == [2.0, 2.0]


async def test_reader_that_fails_gives_an_error_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with bench() as given:
        await given.wait_for(MemorySample)
        given.memory.reading = OSError("no such file")
        for count in (2, 3):
            await given.wait_until_resting(2 * (count - 1))
            given.clockwork.tick()
            samples = await given.wait_for(MemorySample, count)
            assert samples[-1].error == "memory cannot be read: no such file"
            assert samples[-1].used_bytes is None
            assert samples[-1].sandbox_bytes == 400 * MIB
        given.memory.reading = MACHINE
        await given.wait_until_resting(6)
        given.clockwork.tick()
        samples = await given.wait_for(MemorySample, 4)
        assert samples[-1].error is None
        assert samples[-1].used_bytes == 30 * GIB
    assert len([record for record in caplog.records if "no such file" in record.message]) == 1


async def test_failure_of_our_own_figures_leaves_the_others_alone() -> None:
    def broken() -> ProcessSample:
        raise RuntimeError("gone")

    async with bench(own_process=broken) as given:
        await given.wait_for(MemorySample)
        await given.wait_until_resting(2)
        given.clockwork.tick()
        await given.wait_for(MemorySample, 2)
        assert not given.of(ProcessSample)


async def test_mapped_weights_of_the_engine_count_as_used() -> None:
    engine = ModelProcess(7, "llama-server", ProcessMemory(18 * GIB, mapped_bytes=16 * GIB), is_sure=True)
    async with bench(lambda: engine) as given:
        (memory,) = await given.wait_for(MemorySample)
    assert memory.model_process_bytes == 18 * GIB
    assert memory.used_bytes == 46 * GIB
    assert memory.available_bytes == 18 * GIB


async def test_weights_are_shown_only_where_they_can_be_in_memory() -> None:
    async with bench() as given:
        given.observe(0.0, ModelSeen(GEMMA))
        assert (await given.sampler.read_memory()).weights_bytes == 16 * GIB
        given.memory.reading = MachineMemory(total_bytes=8 * GIB, used_bytes=GIB, available_bytes=7 * GIB)
        assert (await given.sampler.read_memory()).weights_bytes is None


async def test_memory_of_this_machine_says_nothing_of_a_remote_model() -> None:
    async with bench() as given:
        await given.wait_for(MemorySample)
        before = given.memory.readings
        given.observe(0.0, ModelSeen(ModelFacts("far", is_remote=True, size_bytes=5)))
        sample = await given.sampler.read_memory()
        assert sample.error == REMOTE
        assert (sample.total_bytes, sample.used_bytes, sample.weights_bytes) == (None, None, None)
        assert given.memory.readings == before


async def test_cache_follows_prompt_and_answer() -> None:
    async with bench() as given:
        given.observe(0.0, ModelSeen(GEMMA))
        (empty,) = await given.wait_for(KvSample)
        assert (empty.filled_bytes, empty.allocated_bytes, empty.tokens) == (None, 1540 * MIB, None)
        await given.wait_until_resting(3)
        given.observe(1.0, RequestStarted(RequestId("q"), 1, 2, 100, 5000))
        ended = RequestEnded(RequestId("q"), "done", "stop", Usage(6000, 101), 1.0, 1.0, 2.0)
        given.observe(3.0, TextDelta(MessageId("m"), "a"), ended)
        given.clockwork.tick()
        filled = (await given.wait_for(KvSample, 2))[1]
    assert filled.tokens == 6100
    assert filled.filled_bytes == 6100 * 20 * 1024 + 1024 * 200 * 1024
    assert filled.source == "estimated"


async def test_a_run_of_moments_ends_after_the_word_of_what_its_last_request_left_in_the_cache() -> None:
    async with bench() as given:
        given.observe(0.0, ModelSeen(GEMMA))
        await given.wait_for(KvSample)
        given.observe(1.0, RequestStarted(RequestId("q"), 1, 2, 100, 5000))
        given.observe(1.1, RequestEnded(RequestId("q"), "done", "stop", Usage(6000, 101), 0.1, 0.1, 0.1))
        assert given.of(KvSample)[-1].tokens == 6100


async def test_a_request_that_ends_while_the_shape_is_looked_for_is_not_called_unknown() -> None:
    looking, found = asyncio.Event(), asyncio.Event()

    async def slow(model: ModelFacts) -> CacheModel | None:
        looking.set()
        await found.wait()
        return await find_builtin_cache(model)

    async with bench(find_cache=slow) as given:
        given.observe(0.0, ModelSeen(GEMMA), RequestStarted(RequestId("q"), 1, 2, 100, 5000))
        await looking.wait()
        given.observe(1.0, RequestEnded(RequestId("q"), "done", "stop", Usage(6000, 101), 0.1, 0.1, 0.1))
        assert not given.of(KvSample)
        found.set()
        (sample,) = await given.wait_for(KvSample)
    assert sample.tokens == 6100


async def test_unknown_shape_says_which_and_gives_no_bytes() -> None:
    async def unknown(model: ModelFacts) -> CacheModel | None:
        return None

    async with bench(find_cache=unknown) as given:
        given.observe(0.0, ModelSeen(ModelFacts("strange-7b")))
        (sample,) = await given.wait_for(KvSample)
    assert (sample.filled_bytes, sample.allocated_bytes) == (None, None)
    assert sample.basis == "the shape of strange-7b is not known"


async def test_unreadable_model_file_becomes_an_error_of_the_gauge() -> None:
    async def broken(model: ModelFacts) -> CacheModel | None:
        raise ModelFileError("a.gguf is cut")

    async with bench(find_cache=broken) as given:
        given.observe(0.0, ModelSeen(GEMMA))
        (sample,) = await given.wait_for(KvSample)
    assert sample.error == "a.gguf is cut"
    assert sample.filled_bytes is None


async def test_a_shape_that_could_not_be_read_is_looked_for_again_after_a_while() -> None:
    looked_s: list[float] = []

    async def busy(model: ModelFacts) -> CacheModel | None:
        looked_s.append(given.now_s)
        if given.now_s < 10:
            raise BackendUnavailable("the server did not answer")
        return await find_builtin_cache(model)

    async with bench(find_cache=busy) as given:
        given.observe(0.0, ModelSeen(GEMMA))
        for given.now_s in (0.0, 5.0, 10.0, 30.0):
            await given.sampler.emit_kv()
    assert looked_s == [0.0, 10.0]
    assert given.of(KvSample)[-1].allocated_bytes == 1540 * MIB


async def test_shape_is_looked_for_once_per_loaded_model() -> None:
    looked: list[str] = []

    async def find(model: ModelFacts) -> CacheModel | None:
        looked.append(model.model)
        return None

    async with bench(find_cache=find) as given:
        given.observe(0.0, ModelSeen(GEMMA))
        for _ in range(3):
            await given.sampler.emit_kv()
        given.observe(1.0, ModelSeen(ModelFacts("other")))
        await given.sampler.emit_kv()
    assert looked == [GEMMA.model, "other"]


async def test_burst_of_tokens_makes_one_sample_per_pause() -> None:
    async with bench() as given:
        await given.wait_until_resting(2)
        given.observe(0.0, ModelSeen(GEMMA), RequestStarted(RequestId("q"), 1, 2, 100, 5000))
        await given.wait_for(KvSample)
        await given.wait_until_resting(3)
        for step in range(200):
            given.observe((step + 1) / 100, TextDelta(MessageId("m"), "a"))
        assert len(given.of(KvSample)) == 1
        given.clockwork.tick()
        samples = await given.wait_for(KvSample, 2)
    assert len(samples) == 2
    assert samples[-1].tokens == 5200
    assert given.clockwork.asked[2] == 0.5


async def test_nothing_is_sampled_while_nothing_changes() -> None:
    async with bench() as given:
        given.observe(0.0, ModelSeen(GEMMA))
        await given.wait_for(KvSample)
        await given.wait_until_resting(3)
        given.observe(1.0, ModelSeen(GEMMA))
        given.clockwork.tick()
        await given.wait_until_resting(6)
        assert len(given.of(KvSample)) == 1


async def test_forecast_is_made_at_the_end_of_a_turn() -> None:
    async with bench() as given:
        for turn in range(1, 5):
            given.observe(turn * 60.0, TurnStarted(turn))
            given.observe(turn * 60.0 + 30, ContextMeasured(turn * 2000, 16_000, "reported"))
            given.observe(turn * 60.0 + 30, TurnEnded(turn, Usage()))
        forecasts = await given.wait_for(ForecastMade, 4)
    of_context = [forecast for forecast in forecasts if forecast.limit == "context"]
    assert [forecast.turns_left for forecast in of_context] == [None, None, 5.0, 4.0]
    assert of_context[-1].minutes_left == 2.0


async def test_closing_ends_all_tasks() -> None:
    before = asyncio.all_tasks()
    async with bench() as given:
        await given.wait_for(MemorySample)
        assert len(asyncio.all_tasks() - before) == 3
    assert asyncio.all_tasks() == before
