"""Speed over the depth of the context: the curve, its words, and the way there."""

from __future__ import annotations

from collections import deque

from rich.style import Style

from agentui.tui.present_depth import depth_rows
from agentui.tui.screens.speed import SpeedScreen
from agentui.view.gauges import DepthPoint, Gauges
from agentui_widgets.chart import DepthCurve, depth_strips
from tests.unit.view.scenes import whole_run
from tests.widgets.driving import screen_text, settle
from tests.widgets.fakes import FakeServices, make_app


def slowing(answers: int = 12) -> Gauges:
    """A session whose answers get slower as the context fills."""
    return Gauges(depths=deque(DepthPoint(1000 + 2500 * n, 45.0 - 2.0 * n) for n in range(answers)))


def words(gauges: Gauges) -> list[str]:
    return ["  ".join(fact.text for fact in row) for row in depth_rows(gauges)]


def test_the_words_give_means_by_depth_and_say_when_to_compact() -> None:
    lines = words(slowing())
    assert lines[0].split() == ["0", "to", "4k", "44.0", "tok/s", "2", "answers"]
    assert lines[-1] == "at the deepest 24.0 tok/s, 55 % of the fastest; /compact makes room, which is faster"


def test_too_few_answers_say_so() -> None:
    assert words(Gauges()) == ["no answer was long enough yet: one needs 16 tokens"]
    assert words(slowing(1)) == ["one answer so far: 45.0 tok/s at 1.0k tokens; a curve needs two"]


def test_the_curve_begins_at_zero_and_falls_to_the_right() -> None:
    strips = depth_strips(DepthCurve((20_000, 1000), (20.0, 40.0)), 60, 12, Style())
    rows = [strip.text for strip in strips]
    assert rows[0].startswith("40.0 tok/s")
    assert any(row.lstrip().startswith("0.0") for row in rows)
    assert "10k" in rows[-1]
    braille = [[cell for cell, char in enumerate(row) if "\u2800" < char <= "\u28ff"] for row in rows]
    drawn = [cells for cells in braille if cells]
    assert drawn[0][0] < drawn[-1][-1]
    assert depth_strips(DepthCurve((1000,), (40.0,)), 60, 12, Style()) == []


def test_answers_of_one_depth_stand_at_it_on_an_axis_with_marks() -> None:
    strips = depth_strips(DepthCurve((5000, 5000), (40.0, 42.0)), 60, 8, Style())
    rows = [strip.text for strip in strips]
    assert [mark in rows[-1] for mark in ("1k", "2k", "3k", "4k")] == [True] * 4
    assert max(cell for cell, char in enumerate(rows[0]) if "\u2800" < char <= "\u28ff") == 59


async def test_the_command_opens_it_over_the_dashboard_and_esc_closes_it() -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app.dashboard.bridge.view.gauges.depths.extend(slowing().depths)
        app.dashboard.prompt.text = "/speed"
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, SpeedScreen)
        text = screen_text(app)
        assert "Decode speed over the depth of the context" in text
        assert "of the fastest; /compact makes room" in text
        assert any("\u2800" < char <= "\u28ff" for char in text)
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(app.screen, SpeedScreen)
