from __future__ import annotations

from agentui.session.replay import ReplayServices
from agentui.tui.app import AgentuiApp
from agentui.tui.screens.replay import ReplayScreen
from agentui.view.fold import View
from agentui.view.timeline import Timeline
from tests.unit.view.scenes import whole_run
from tests.widgets.driving import screen_text, settle

RECORDS = whole_run()


def held_replay() -> tuple[AgentuiApp, ReplayServices]:
    """A replay at its usual pace: the first second of the session lasts longer than any test."""
    services = ReplayServices(RECORDS, 0.001)
    timeline = Timeline(RECORDS)
    app = AgentuiApp(services, theme="agentui-dark", ground=lambda: ReplayScreen(services, timeline))
    app.animation_level = "none"
    return app, services


def view_of(app: AgentuiApp) -> View:
    return app.dashboard.bridge.view


def folded(place: int) -> View:
    view = View()
    view.apply_all(RECORDS[:place])
    return view


async def test_the_end_of_a_replay_is_the_view_of_the_live_run() -> None:
    app, services = held_replay()
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space", "end")
        await settle(pilot)
        assert view_of(app) == folded(len(RECORDS))
        shown = screen_text(app)
        assert "All public names are kept" in shown
        assert "wc -l report.py" in shown
        assert "report/render.py" in shown
        assert "at the end" in shown
        await pilot.press("home")
        await settle(pilot)
        assert view_of(app) == View()
        assert "All public names" not in screen_text(app)
        assert "wc -l" not in screen_text(app)
        assert "held" in screen_text(app)
        await services.stop()


async def test_arrows_go_from_turn_to_turn_with_all_panes() -> None:
    app, services = held_replay()
    timeline = Timeline(RECORDS)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space", "end", "left")
        await settle(pilot)
        assert services.place == timeline.turns[-1]
        assert view_of(app) == folded(timeline.turns[-1])
        assert "wc -l" not in screen_text(app)
        await pilot.press("left", "right")
        assert services.place == timeline.turns[-1]
        await services.stop()


async def test_a_time_is_typed_after_g() -> None:
    app, services = held_replay()
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space", "g", *"0:40", "enter")
        await settle(pilot)
        assert services.now_s == 40.0
        assert services.place == Timeline(RECORDS).place_at(40.0)
        assert "0:40 of" in screen_text(app)
        before = services.place
        await pilot.press("g", *"never", "enter")
        assert services.place == before
        await services.stop()


async def test_keys_are_letters_again_while_something_is_typed() -> None:
    app, services = held_replay()
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("x", "g", "+", "-", "home", "a")
        assert app.dashboard.prompt.text == "axg+-"
        assert services.place <= Timeline(RECORDS).place_at(0.0)
        await services.stop()


async def test_plus_and_minus_change_the_speed_and_space_holds_whatever_the_run_did() -> None:
    app, services = held_replay()
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space")
        assert services.is_held
        await pilot.press("+", "+")
        assert services.speed == 1.0
        await pilot.press("-")
        assert services.speed == 0.5
        assert "× 0.5" in screen_text(app)
        await pilot.press("space")
        assert not services.is_held
        await services.stop()


async def test_choosing_a_tool_call_shows_memory_and_speed_of_then() -> None:
    app, services = held_replay()
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space", "end", "ctrl+t")
        await settle(pilot)
        await pilot.press("up")
        await settle(pilot)
        shown = screen_text(app)
        assert "memory 44.0 GiB" in shown
        assert "decode 42.3 tok/s" in shown
        assert "context 12.4k" in shown
        await services.stop()


async def test_clicking_a_tool_call_shows_that_too() -> None:
    app, services = held_replay()
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("space", "end")
        await settle(pilot)
        assert "memory 44.0 GiB" not in screen_text(app)
        await pilot.click("#tools-view", offset=(10, 0))
        await settle(pilot)
        assert "memory 44.0 GiB" in screen_text(app)
        await services.stop()
