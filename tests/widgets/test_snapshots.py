"""Pictures of the dashboard; `--snapshot-update` makes them anew after a change that was meant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from textual.pilot import Pilot

from agentui.events import (
    ApprovalAsked,
    AskId,
    CallId,
    MessageId,
    PrefillProgressed,
    RateSample,
    RequestId,
    StateChanged,
    SteerId,
    SteerQueued,
    TextDelta,
    ThinkingDelta,
    ToolOutput,
    ToolStarted,
)
from agentui.tui.app import AgentuiApp
from tests.unit.view.scenes import ANSWER, Tape, begin, samples, whole_run
from tests.widgets.driving import settle
from tests.widgets.fakes import FakeServices, make_app

SIZES = [(80, 24), (120, 40)]
LAYOUTS = [(160, 45), (90, 50), (200, 15)]
Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def size_id(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


async def still(pilot: Pilot[None]) -> None:
    assert isinstance(pilot.app, AgentuiApp)
    while not pilot.app.is_dashboard_ready:
        await pilot.pause()
    await settle(pilot)


def working() -> FakeServices:
    """A run in the middle: an answer growing, a command running, a steer and a question waiting."""
    tape = Tape()
    begin(tape)
    samples(tape)
    tape.add(StateChanged("generating", "none"), RateSample(42.3, 812.0, 0.8, 40, "measured"))
    tape.add(ThinkingDelta(MessageId("m"), "The loader keeps its public names.", 9))
    tape.wait(4.1).add(TextDelta(MessageId("m"), ANSWER[:180], 60))
    tape.add(ToolStarted(CallId("c"), "bash", "for n in 1 2 3; do\n  echo $n\ndone", "/workspace"))
    tape.wait(1.0).add(ToolOutput(CallId("c"), "stdout", "1\n2\n"))
    tape.add(SteerQueued(SteerId("s"), "keep the public names", "steer"))
    return FakeServices(tape.records)


@pytest.mark.parametrize("size", SIZES + LAYOUTS, ids=size_id)
def test_a_finished_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = make_app(FakeServices(whole_run()))
    assert snap_compare(app, terminal_size=size, run_before=still)


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_a_run_at_work(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(working()), terminal_size=size, run_before=still)


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_a_question(snap_compare: Compare, size: tuple[int, int]) -> None:
    services = working()
    services.tape.add(
        StateChanged("waiting_for_user", "none"),
        ApprovalAsked(AskId("q"), "run `rm -rf build`?", "it removes 12 files", ("yes", "no", "always")),
    )
    assert snap_compare(make_app(services), terminal_size=size, run_before=still)


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_an_empty_session_reading_its_first_prompt(snap_compare: Compare, size: tuple[int, int]) -> None:
    tape = Tape()
    begin(tape)
    tape.add(StateChanged("reading_prompt", "pausing"))
    tape.add(PrefillProgressed(RequestId("r"), 4300, 10_000, 0, 12.0, "estimated"))
    assert snap_compare(make_app(FakeServices(tape.records)), terminal_size=size, run_before=still)


@pytest.mark.parametrize("size", SIZES, ids=size_id)
@pytest.mark.parametrize(
    "keys", [["question_mark"], ["slash", "c"], ["ctrl+o"]], ids=["help", "completion", "unfolded"]
)
def test_what_opens_over_it(snap_compare: Compare, size: tuple[int, int], keys: list[str]) -> None:
    async def before(pilot: Pilot[None]) -> None:
        await still(pilot)
        await pilot.press(*keys)
        await settle(pilot)

    assert snap_compare(make_app(FakeServices(whole_run())), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_the_review(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[None]) -> None:
        await still(pilot)
        assert isinstance(pilot.app, AgentuiApp)
        pilot.app.dashboard.open_review("")
        await pilot.app.workers.wait_for_complete()
        await settle(pilot)

    assert snap_compare(make_app(FakeServices(whole_run())), terminal_size=size, run_before=before)


def test_the_light_theme(snap_compare: Compare) -> None:
    async def before(pilot: Pilot[None]) -> None:
        await still(pilot)
        pilot.app.theme = "agentui-light"
        await settle(pilot)

    assert snap_compare(make_app(FakeServices(whole_run())), terminal_size=(120, 40), run_before=before)
