"""The review and undo: what keys do there, and what is asked before anything of the user's changes."""

from __future__ import annotations

import asyncio

import pytest
from textual.pilot import Pilot

from agentui.control import Apply, Discard, Redo, Undo
from agentui.events import Change, WorkspaceApplied, WorkspaceChanged, WorkspaceUndone
from agentui.tui.app import AgentuiApp
from agentui.tui.screens import dashboard as dashboard_module
from agentui.tui.screens.diff import DiffScreen, is_prose
from agentui.tui.screens.question import QuestionScreen
from agentui_widgets.text_view import TextView
from tests.unit.view.scenes import CHANGES, whole_run
from tests.widgets.driving import running, screen_text, settle
from tests.widgets.fakes import FakeServices, make_app

LONG_DIFF = "--- a/x\n+++ b/x\n@@ -1,200 +1,200 @@\n" + "".join(f"+line {n}\n" for n in range(200))


async def opened(app: AgentuiApp, pilot: Pilot[None]) -> DiffScreen:
    app.dashboard.open_review("")
    await settle(pilot)
    await app.workers.wait_for_complete()
    await settle(pilot)
    assert isinstance(app.screen, DiffScreen)
    return app.screen


def pointed(app: AgentuiApp) -> str:
    return next(line.split("▸")[1].split()[2] for line in screen_text(app).split("\n") if "▸[" in line)


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_arrows_choose_the_file_and_pages_scroll_its_diff(size: tuple[int, int]) -> None:
    services = FakeServices(whole_run())
    services.diffs = {change.path: LONG_DIFF for change in CHANGES}
    app = make_app(services)
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot)
        first = pointed(app)
        for key, back in (("down", "up"), ("right", "left")):
            await pilot.press(key)
            await settle(pilot)
            assert pointed(app) != first
            await pilot.press(back)
            await settle(pilot)
            assert pointed(app) == first
        await app.workers.wait_for_complete()
        await settle(pilot)
        view = screen.query_one(TextView)
        tops = [view.scroll_offset.y]
        for key in ("pagedown", "j", "k", "pageup"):
            await pilot.press(key)
            await settle(pilot)
            tops.append(view.scroll_offset.y)
        assert tops[0] == 0 < tops[1] < tops[2]
        assert tops[3:] == [tops[1], 0]
        assert pointed(app) == first
        keys = screen_text(app)
        assert all(word in keys for word in ("↑ ↓ file", "apply this", "discard this", "u undo", "U redo"))


async def test_a_file_is_applied_or_discarded_alone_and_the_review_stays() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await pilot.press("down", "down", "a", "d")
        await settle(pilot)
        path = CHANGES[1].path
        assert services.sent == [Apply(paths=(path,), include_ask=False), Discard((path,))]
        services.emit(WorkspaceApplied("a1", (CHANGES[1],), 4, "user"))
        await settle(pilot)
        assert isinstance(app.screen, DiffScreen)
        assert path not in screen_text(app)
        services.emit(WorkspaceChanged(()))
        await settle(pilot)
        assert "nothing waits" in screen_text(app)


async def test_prose_shows_which_words_changed_and_code_does_not() -> None:
    services = FakeServices(whole_run())
    services.diffs = dict.fromkeys(
        (change.path for change in CHANGES), "@@ -1 +1 @@\n-the old words stay\n+the new words stay\n"
    )
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        view = screen.query_one(TextView)

        def underlined() -> list[str]:
            strips = [view.render_line(y) for y in range(5)]
            return [s.text for strip in strips for s in strip if s.style and s.style.underline]

        assert underlined() == []
        view.show(services.diffs[CHANGES[0].path], is_diff=True, has_word_marks=True)
        await settle(pilot)
        assert underlined() == ["old", "new"]
    assert is_prose("docs/Guide.MD")
    assert is_prose("LICENSE")
    assert not is_prose("report/cli.py")


async def test_undo_shows_what_it_will_do_and_waits_for_a_yes() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(WorkspaceApplied("a1", CHANGES, 0, "user"))
        await settle(pilot)
        for answer, sent in (("n", []), ("enter", []), ("y", [Undo()])):
            app.dashboard.prompt.text = "/undo"
            app.dashboard.prompt.close_popup()
            await pilot.press("enter")
            await settle(pilot)
            assert isinstance(app.screen, QuestionScreen)
            signs = {"added": "-", "modified": "~", "deleted": "+"}
            for change in CHANGES:
                assert f"{signs.get(change.kind, '~')} {change.path}" in screen_text(app)
            await pilot.press(answer)
            if answer == "enter":
                await settle(pilot)
                assert isinstance(app.screen, QuestionScreen)
                await pilot.press("escape")
            await app.workers.wait_for_complete()
            await settle(pilot)
            assert services.sent == sent
        services.emit(WorkspaceUndone("a1", tuple(change.path for change in CHANGES)))
        app.dashboard.prompt.text = "/redo"
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [Undo(), Redo()]


async def test_an_undo_that_would_be_refused_says_why_and_asks_nothing() -> None:
    services = FakeServices(whole_run())
    services.conflicts = (CHANGES[0].path,)
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(WorkspaceApplied("a1", CHANGES, 0, "user"))
        await settle(pilot)
        app.dashboard.prompt.text = "/undo"
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await settle(pilot)
        await app.workers.wait_for_complete()
        await settle(pilot)
        (said,) = [notification.message for notification in app._notifications]
        assert said.startswith(f"Not undone: you changed {CHANGES[0].path} since.")
        assert not isinstance(app.screen, QuestionScreen)
    assert services.sent == []


async def test_undo_and_redo_are_keys_of_the_review() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(WorkspaceApplied("a1", CHANGES[:1], 4, "user"), WorkspaceChanged(CHANGES[1:]))
        await settle(pilot)
        await opened(app, pilot)
        await pilot.press("u")
        await settle(pilot)
        await pilot.press("y")
        await app.workers.wait_for_complete()
        await settle(pilot)
        await pilot.press("U")
        await settle(pilot)
        assert services.sent == [Undo(), Redo()]
        assert isinstance(app.screen, DiffScreen)


async def test_a_lone_r_is_no_text_and_an_r_that_begins_a_word_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "REVIEW_ALONE_S", 0.05)
    services = running()
    app = make_app(services)
    said: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        monkeypatch.setattr(app.dashboard, "say", lambda text, **_: said.append(text))
        await pilot.press("r")
        for _ in range(100):
            await asyncio.sleep(0.02)
            if said:
                break
        assert said == ["nothing to review: no changes wait"]
        assert app.dashboard.prompt.text == ""
        monkeypatch.setattr(dashboard_module, "REVIEW_ALONE_S", 60.0)
        await pilot.press(*"rename")
        app.dashboard._take_letter("r")
        assert app.dashboard.prompt.text == "rename"
        assert len(said) == 1


async def test_what_waits_for_a_yes_stands_apart_from_what_is_free() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        screen = await opened(app, pilot)
        mixed = [
            Change("a.py", "modified", "free"),
            Change("b.git", "added", "never"),
            Change("c.py", "modified", "free"),
            Change("Makefile", "modified", "ask"),
            Change("z.py", "modified", "conflict"),
        ]
        screen.show_changes(mixed)
        await settle(pilot)
        rows = [line for line in screen_text(app).split("\n") if "[x]" in line or "[ ]" in line]
        assert [row.split("] ")[1].split()[1] for row in rows] == ["z.py", "Makefile", "b.git", "a.py", "c.py"]
