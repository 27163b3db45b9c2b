"""Every gauge says whether it is measured, reported or estimated, how old it is, and what it rests on."""

from __future__ import annotations

from agentui.tui.present_sources import gauge_report
from agentui.tui.screens.output import OutputScreen
from agentui.view.fold import View
from agentui.view.gauges import Gauges
from tests.unit.view.scenes import whole_run
from tests.widgets.driving import screen_text, settle
from tests.widgets.fakes import FakeServices, make_app


def shown() -> dict[str, str]:
    view = View()
    for recorded in whole_run():
        view.apply(recorded)
    lines = gauge_report(view.gauges).split("\n")
    return {line[:22].strip(): line[22:] for line in lines}


def test_each_gauge_says_how_sure_it_is_and_how_old() -> None:
    rows = shown()
    assert rows["memory used"].split()[:4] == ["44.0", "GiB", "of", "64.0"]
    assert "measured" in rows["memory used"]
    assert rows["GPU wall"].startswith("~48.0 GiB")
    assert "estimated" in rows["GPU wall"]
    assert "reported" in rows["weights"]
    for name in ("kv filled", "context", "decode tok/s"):
        assert rows[name].split()[-1] != "?", name
        assert any(word in rows[name] for word in ("measured", "reported", "estimated")), name
        assert " s " in rows[name] or "min" in rows[name], name


def test_what_is_not_known_is_a_question_mark_without_a_source() -> None:
    report = gauge_report(Gauges())
    assert "memory                ?" in report.split("\n")
    assert "kv cache              ?" in report.split("\n")
    decode = next(line for line in report.split("\n") if line.startswith("decode"))
    assert "measured" not in decode


async def test_the_command_opens_it() -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app.dashboard.prompt.text = "/gauges"
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, OutputScreen)
        assert "memory wall" in screen_text(app)
