"""Screens over the dashboard, and leaving it, under keys that come in one go, as from a fast hand."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable

import pytest
from textual import events

from agentui.tui.app import AgentuiApp
from agentui.tui.screens.dashboard import DashboardScreen
from agentui.tui.screens.question import QuitQuestion
from tests.unit.view.scenes import whole_run
from tests.widgets.driving import running, settle
from tests.widgets.fakes import FakeServices, make_app

OPENERS: dict[str, Callable[[DashboardScreen], None]] = {
    "help": lambda deck: deck.open_help(),
    "speed": lambda deck: deck.open_speed(),
    "themes": lambda deck: deck.use_theme(""),
    "review": lambda deck: deck.open_review(""),
}


def type_at_once(app: AgentuiApp, keys: list[str]) -> None:
    """Keys that the terminal sends together: none waits for what the one before does."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("key", ["q", "escape", "enter"])
async def test_a_key_that_comes_twice_in_one_go_ends_nothing(name: str, key: str) -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        OPENERS[name](app.dashboard)
        await pilot.pause()
        type_at_once(app, [key, key])
        await settle(pilot)
        assert app.screen_stack[0] is app.dashboard


async def test_a_screen_that_is_closed_closes_no_other() -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app.dashboard.open_speed()
        await pilot.pause()
        below = app.screen
        app.dashboard.open_help()
        await pilot.pause()
        above = app.screen
        above.dismiss()
        above.dismiss()
        await pilot.pause()
        assert app.screen is below


async def test_to_quit_is_asked_once() -> None:
    app = make_app(running())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+q", "ctrl+q")
        await pilot.pause()
        assert [type(screen) for screen in app.screen_stack] == [DashboardScreen, QuitQuestion]
        await pilot.press("n")
        await pilot.pause()
        assert app.screen is app.dashboard


async def test_a_session_that_is_left_before_it_begins_leaves_nothing_half_begun() -> None:
    app = make_app(FakeServices())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            app._begin()
            app.workers.cancel_all()
            await settle(pilot)
            gc.collect()
        assert not [warning for warning in caught if "never awaited" in str(warning.message)]
