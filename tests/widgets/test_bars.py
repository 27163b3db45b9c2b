from __future__ import annotations

from textual.app import App, ComposeResult
from textual.strip import Strip

from agentui_widgets.chart import Curve, chart_strips
from agentui_widgets.gauges import BarPart, BarRow, GaugePanel, GaugeRow, LegendRow, TextRow
from agentui_widgets.line_bar import Fact, FactRows, LineBar, TitleBar, fit


def test_the_least_important_fact_goes_first_and_rank_zero_stays() -> None:
    left = [Fact("project", rank=4), Fact("model", rank=3)]
    right = [Fact("state", rank=0)]
    assert fit(left, right, 40) == (left, right)
    assert fit(left, right, 14) == ([left[1]], right)
    assert fit(left, right, 3) == ([], right)


def test_a_detail_is_cut_before_any_fact_goes_and_a_short_wording_stays() -> None:
    left = [Fact("project", rank=4), Fact("simulated model", rank=5, short="simulated")]
    state = Fact("running", rank=0, detail=": mkdir -p one/two/three")
    told = "running: mkdir -p one/two/three"
    assert [f.text for f in fit(left, [state], 80)[1]] == [told]
    kept, right = fit(left, [state], 48)
    assert [f.text for f in kept] == ["project", "simulated model"]
    assert right[0].text == "running: mkdir -p one/…"[: len(right[0].text) - 1] + "…"
    assert [f.text for f in fit(left, [state], 36)[1]] == ["running"]
    assert [f.text for f in fit(left, [state], 30)[0]] == ["project", "simulated"]
    assert [f.text for f in fit(left, [state], 20)[0]] == ["simulated"]
    assert [f.text for f in fit(left, [state], 5)[0]] == ["simulated"]
    assert fit([Fact("keep the pu", rank=0, detail="blic names")], [], 12)[0][0].text == "keep the p…"


def test_a_path_becomes_short_before_the_detail_of_the_state_is_cut() -> None:
    path = Fact("~/a/long/way/to/shop (main)", rank=4, short="shop (main)", short_rank=3, yields=True)
    state = Fact("running", rank=0, detail=": mkdir -p one/two/three")
    told = "running: mkdir -p one/two/three"
    for width, fact, texts in (
        (80, state, [path.text, told]),
        (50, state, ["shop (main)", told]),
        (40, state._replace(detail=""), [path.text, "running"]),
    ):
        left, right = fit([path], [fact], width)
        assert [f.text for f in (*left, *right)] == texts


class BarApp(App[None]):
    CSS = "GaugePanel { height: 14; }"

    def compose(self) -> ComposeResult:
        yield LineBar(id="bar")
        yield TitleBar(id="title")
        yield FactRows(id="rows")
        yield GaugePanel(id="gauges")


async def test_bars_say_their_facts_in_exactly_their_width() -> None:
    app = BarApp()
    async with app.run_test(size=(50, 20)) as pilot:
        bar, title, rows = app.query_one("#bar", LineBar), app.query_one(TitleBar), app.query_one(FactRows)
        bar.show([Fact("agentui"), Fact("[/x] ~/shop")], [Fact("done", rank=0)])
        title.show([Fact("Tools")], [Fact("3 run", "dim")])
        rows.show([[Fact("a")], [Fact("b")]])
        await pilot.pause()
        assert bar.render_line(0).text == " agentui  [/x] ~/shop".ljust(45) + "done "
        assert title.render_line(0).text.startswith("─ Tools ───")
        assert title.render_line(0).text.endswith("── 3 run ─")
        assert title.render_line(0).cell_length == bar.render_line(0).cell_length == 50
        assert rows.size.height == 2
        rows.show([])
        await pilot.pause()
        assert rows.size.height == 0


async def test_gauges_give_the_room_left_to_the_curve() -> None:
    app = BarApp()
    async with app.run_test(size=(60, 24)) as pilot:
        panel = app.query_one(GaugePanel)
        parts = (BarPart("weights", 0.5, "weights 8.0"), BarPart("kv", 0.1, "~kv 1.5"))
        panel.show(
            [TextRow((Fact("8 of 16 GiB"),)), BarRow(parts, 0.75), LegendRow(parts)],
            [TextRow((Fact("x"),), "Speed")],
        )
        panel.show_curve(Curve(tuple(range(60)), tuple(n / 60 for n in range(60)), 1.5, " GiB"))
        await pilot.pause()
        rows = [panel.render_line(y).text for y in range(14)]
        assert rows[1].count("█") == 29
        assert rows[1].count("│") == 1
        assert "~kv 1.5" in rows[2]
        assert "1.5 GiB" in rows[3]
        assert any("⠤" in row or "⠒" in row for row in rows[3:13])
        assert rows[13].startswith(" Speed    x")
        assert {panel.render_line(y).cell_length for y in range(14)} == {60}


def test_a_curve_of_one_point_or_no_room_is_not_drawn() -> None:
    from rich.style import Style

    assert chart_strips(Curve((1.0,), (1.0,)), 60, 8, Style()) == []
    assert chart_strips(Curve((1.0, 2.0), (1.0, 1.0)), 10, 8, Style()) == []
    assert len(chart_strips(Curve((1.0, 2.0), (0.0, 0.0)), 60, 8, Style())) == 8


def test_the_room_of_a_fact_that_went_is_the_details_again() -> None:
    text = Fact("keep the pu", rank=0, detail="blic names")
    hint = Fact("a hint that is far too long for this row", rank=2)
    assert [fact.text for fact in fit([text, hint], [], 30)[0]] == ["keep the public names"]


class CountingPanel(GaugePanel):
    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[int] = []

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


class CountingApp(App[None]):
    CSS = "CountingPanel { height: 14; }"

    def compose(self) -> ComposeResult:
        yield CountingPanel()


async def test_only_the_rows_of_the_gauges_that_look_different_are_drawn_again() -> None:
    def rows(words: str, ratio: float) -> list[GaugeRow]:
        parts = (BarPart("weights", ratio, "weights 16 GiB"),)
        return [TextRow((Fact(words),)), BarRow(parts), LegendRow(parts)]

    app = CountingApp()
    async with app.run_test(size=(50, 20)) as pilot:
        panel = app.query_one(CountingPanel)
        below = [TextRow((Fact("context 10 %"),)), TextRow((Fact("12 tok/s"),))]
        panel.show(rows("mem 20 GiB", 0.5), below)
        await pilot.pause()
        panel.drawn.clear()
        panel.show(rows("mem 20 GiB", 0.5001), below)
        await pilot.pause()
        assert panel.drawn == []
        panel.show(rows("mem 21 GiB", 0.75), below)
        await pilot.pause()
        assert sorted(set(panel.drawn)) == [0, 1]
        panel.drawn.clear()
        panel.show(rows("mem 21 GiB", 0.75), [below[0], TextRow((Fact("13 tok/s"),))])
        await pilot.pause()
        assert set(panel.drawn) == {panel.size.height - 1}
        panel.drawn.clear()
        panel.show(rows("mem 21 GiB", 0.75)[:2], below)
        await pilot.pause()
        assert set(panel.drawn) == set(range(panel.size.height))
        assert "mem 21 GiB" in panel.render_line(0).text
