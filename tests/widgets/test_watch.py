"""The gauges alone, on a screen of any size, with and without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from agentui.errors import UsageError
from agentui.events import (
    ContextMeasured,
    Event,
    KvSample,
    MemorySample,
    ModelFacts,
    ModelSeen,
    ProcessSample,
    RateSample,
    Recorded,
    RunId,
    StateChanged,
)
from agentui.tui.screens.watch import WatchScreen
from agentui.tui.watch_app import WatchApp
from agentui.tui.watch_services import SlotShown

GIB = 1 << 30
HOSTILE = "\x1b]0;owned\x07\x1b[31m[/x]\u202egnp\x9b2J"
USED, WALL = 44 * GIB, 48 * GIB
MEMORY = MemorySample(64 * GIB, USED, 20 * GIB, 0, 17 * GIB, None, 90 << 20, WALL, "ok", "measured")
EVENTS: tuple[Event, ...] = (
    ModelSeen(ModelFacts("gemma", quantization="Q4_K_M", engine="gguf", loaded_context_tokens=8192)),
    StateChanged("generating", "none"),
    MEMORY,
    KvSample(GIB // 2, 2 * GIB, None, 4000, "estimated", "llama.cpp"),
    ContextMeasured(4096, 8192, "reported"),
    RateSample(42.3, 812.0, 0.8, 100, "measured"),
    ProcessSample(0.6, 92 << 20),
)


@dataclass
class FakeWatch:
    """A watch that only says what a test gives it."""

    records: list[Recorded] = field(default_factory=list)
    server_words: str = "llama.cpp b1 at http://127.0.0.1:8080"
    trouble_words: tuple[str, str] | None = None
    gateway_port: int | None = None
    shown: Sequence[SlotShown] = ()
    fails: UsageError | None = None

    def past(self) -> Sequence[Recorded]:
        return self.records

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        return lambda: None

    def slots(self) -> Sequence[SlotShown]:
        return self.shown

    async def start(self) -> None:
        if self.fails is not None:
            raise self.fails


def told(*events: Event) -> list[Recorded]:
    return [Recorded(seq, float(seq), "", RunId(""), event) for seq, event in enumerate(events, start=1)]


async def screen_text(services: FakeWatch, size: tuple[int, int] = (110, 30)) -> str:
    """What the terminal would show, row by row."""
    app = WatchApp(services)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
        strips = app.screen._compositor.render_strips(app.size)
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@pytest.mark.parametrize("size", [(110, 30), (80, 24), (50, 20)])
async def test_all_gauges_are_on_one_screen(size: tuple[int, int]) -> None:
    text = await screen_text(FakeWatch(told(*EVENTS)), size)
    assert "44.0 of 64.0 GiB" in text
    assert "~0.50 of 2.00 GiB filled" in text
    assert "decode 42.3 tok/s" in text
    assert "4.1k / 8k  50 %" in text
    assert "generating 42.3 tok/s" in text


async def test_each_slot_has_a_row_and_busy_ones_are_never_left_out() -> None:
    slots = [SlotShown(n, n == 11, 405 if n == 11 else None, 8192, None, None, 0) for n in range(12)]
    text = await screen_text(FakeWatch(told(*EVENTS), shown=slots))
    assert "slot 11  405 / 8k  5 %" in text
    assert "slot 0  ? / 8k  ?" in text
    assert "and 4 more" in text


async def test_without_a_server_it_says_why_and_what_to_do() -> None:
    trouble = ("There is no model server at http://x.", "Start it.")
    text = await screen_text(FakeWatch(told(MEMORY), "", trouble))
    assert "no server: memory only" in text
    assert trouble[0] in text
    assert trouble[1] in text
    assert "44.0 of 64.0 GiB" in text


async def test_before_anything_answered_it_claims_nothing() -> None:
    text = await screen_text(FakeWatch(server_words=""))
    assert "looking for a server" in text
    assert "memory ?" in text


async def test_where_clients_are_measured_is_shown() -> None:
    assert "http://127.0.0.1:4321/v1 are measured" in await screen_text(FakeWatch(gateway_port=4321))


async def test_words_of_a_server_cannot_touch_the_terminal() -> None:
    model = ModelSeen(ModelFacts(HOSTILE, quantization=HOSTILE))
    text = await screen_text(FakeWatch(told(model), HOSTILE, (HOSTILE, HOSTILE)))
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}


async def test_a_port_that_is_taken_ends_it_with_the_reason() -> None:
    app = WatchApp(FakeWatch(fails=UsageError("it is taken")))
    async with app.run_test() as pilot:
        while app.is_running and app.failure is None:
            await pilot.pause()
    assert app.failure is not None
    assert app.failure.message == "it is taken"
