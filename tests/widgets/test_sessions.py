"""The list of sessions on the screen, and the way to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from textual.widgets import Input, OptionList

from agentui.events import CallId, MessageId, TextDelta, ToolStarted, TurnEnded, TurnStarted, Usage
from agentui.tui.app import AgentuiApp
from agentui.tui.screens.sessions import SessionsScreen, fits
from agentui.tui.services import SessionChoice, Wanted
from agentui.tui.turns import turn_choices
from tests.unit.view.scenes import Tape
from tests.widgets.fakes import FakeServices

SESSIONS = (
    SessionChoice(
        "a-1", "/home/me/shop", "split report.py " * 20, "gemma-4", "2026-05-04 10:00", "done", 9, 9000
    ),
    SessionChoice("b-2", "/home/me/blog", "fix \x1b[31mlinks", "qwen", "2026-05-03 10:00", "saved", 2, 100),
)


def app_with(sessions: Sequence[SessionChoice], *, picks_first: bool = False) -> AgentuiApp:
    async def load() -> Sequence[SessionChoice]:
        return sessions

    return AgentuiApp(FakeServices(), list_sessions=load, picks_first=picks_first)


def test_each_word_of_a_search_must_be_somewhere() -> None:
    assert fits(SESSIONS[0], "SHOP gemma done")
    assert fits(SESSIONS[0], "2026-05-04 split 9 turns KiB")
    assert not fits(SESSIONS[0], "shop qwen")
    assert fits(SESSIONS[1], "")


async def test_a_search_narrows_the_list_and_enter_leaves_for_the_session() -> None:
    app = app_with(SESSIONS)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, SessionsScreen)
        options = screen.query_one(OptionList)
        assert options.option_count == 2
        assert "\x1b" not in str(options.get_option_at_index(1).prompt)
        assert options.size.height == 2  # a long task is cut, not wrapped
        screen.query_one(Input).value = "qwen"
        await pilot.pause()
        assert options.option_count == 1
        await pilot.press("enter")
        await pilot.pause()
    assert app.wanted == Wanted("b-2")


async def test_leaving_the_first_choice_begins_no_session() -> None:
    app = app_with(SESSIONS, picks_first=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)
        await pilot.press("escape")
        await pilot.pause()
    assert not app.services.is_started  # type: ignore[attr-defined]
    assert app.wanted is None
    assert not app.is_running


async def test_a_branch_is_asked_about_and_leaves_for_a_turn() -> None:
    app = app_with(SESSIONS)
    cast(FakeServices, app.services).tape.add(*(TurnEnded(turn, Usage()) for turn in (1, 2)))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        for nowhere in ("two", "0", "3"):
            app.dashboard.branch(nowhere)
            await pilot.pause()
            assert app.screen is app.dashboard
        assert app.wanted is None
        assert "there is no finished turn 3" in list(app._notifications)[-1].message
        app.dashboard.branch("2")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
    assert app.wanted == Wanted("", 2)


def test_turns_are_counted_over_all_runs_with_what_was_done() -> None:
    tape = Tape()
    tape.add(TurnStarted(1), ToolStarted(CallId("c"), "bash", "ls\x1b[0m -l", ""), TurnEnded(1, Usage()))
    tape.add(TurnStarted(1), TextDelta(MessageId("m"), "all done"), TurnEnded(1, Usage()), TurnStarted(2))
    assert [(c.value, c.text) for c in turn_choices(tape.records)] == [("2", "all done"), ("1", "$ ls -l")]
