from __future__ import annotations

from collections.abc import Callable

import pytest

from agentui.control import (
    Pause,
    SwitchModel,
)
from agentui.events import (
    ApprovalAsked,
    AskId,
    CallId,
    Change,
    MessageEnded,
    MessageId,
    RunEnded,
    RunStarted,
    SessionStarted,
    StateChanged,
    SteerId,
    SteerQueued,
    TextDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    Warned,
    WorkspaceApplied,
    WorkspaceChanged,
)
from agentui.tui.screens.help import HelpScreen
from agentui.tui.screens.output import OutputScreen
from agentui.tui.screens.pick import PickScreen
from agentui.tui.services import ModelChoice
from tests.unit.view.scenes import CHANGES, MODEL, command, whole_run
from tests.widgets.driving import FORBIDDEN, HOSTILE, colours, running, screen_text, settle
from tests.widgets.fakes import FakeServices, make_app


@pytest.mark.parametrize(
    ("size", "shown", "hidden"),
    [
        ((160, 45), ["Transcript", "Memory", "Tools", "Changes"], ["mem 44.0"]),
        ((90, 50), ["Transcript", "Memory", "Tools", "Changes"], ["mem 44.0"]),
        ((200, 15), ["Transcript", "Memory", "Tools", "Changes"], ["mem 44.0"]),
        (
            (80, 24),
            ["Transcript", "mem 44.0/64 GiB", "kv ~0.43/1.50", "a apply, r review"],
            ["Tools", "Memory"],
        ),
    ],
)
async def test_each_size_has_its_layout(size: tuple[int, int], shown: list[str], hidden: list[str]) -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        text = screen_text(app)
    assert [word for word in shown if word not in text] == []
    assert [word for word in hidden if word in text] == []


async def test_ctrl_n_cycles_panes_and_the_gauge_line_never_goes() -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        seen = []
        for _ in range(4):
            await pilot.press("ctrl+n")
            await settle(pilot)
            text = screen_text(app)
            seen.append(text.split("\n")[1].split()[1])
            assert "mem 44.0/64 GiB" in text or "44.0 of 64.0 GiB" in text
        assert seen == ["Tools", "Memory", "Changes", "Transcript"]


async def test_a_resize_changes_the_layout_and_back() -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        before = screen_text(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.3)
        assert "Memory" not in screen_text(app)
        await pilot.resize_terminal(160, 45)
        await pilot.pause(0.3)
        assert screen_text(app) == before


async def test_the_panes_make_room_as_soon_as_something_wants_it() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        services.emit(WorkspaceChanged(CHANGES))
        await settle(pilot)
        text = screen_text(app)
        assert [change.path for change in CHANGES if change.path not in text] == []
        services.emit(WorkspaceChanged(()))
        await settle(pilot)
        assert app.dashboard.query_one("#changes").size.height == 1


async def test_keys_can_be_rebound_and_the_help_says_so() -> None:
    services = running()
    app = make_app(services, keymap={"run.pause": "f9"})
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f9")
        await settle(pilot)
        assert services.sent == [Pause()]
        await pilot.press("question_mark")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        assert "f9" in screen_text(app)


async def test_full_output_models_and_unknown_commands() -> None:
    services = FakeServices(whole_run())
    services.outputs["output/call-3.txt"] = "all of it \x1b[2J\n" * 50
    services.choices = [ModelChoice("qwen"), ModelChoice("gemma", is_loaded=True, loaded_context_tokens=8192)]
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        app.dashboard.prompt.text = "/output 3"
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, OutputScreen)
        assert "all of it" in screen_text(app)
        await pilot.press("escape")
        app.dashboard.prompt.text = "/model"
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, PickScreen)
        await app.workers.wait_for_complete()
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [SwitchModel(model="gemma")]
        app.dashboard.prompt.text = "/nonsense"
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [SwitchModel(model="gemma")]


async def test_models_of_a_server_that_loads_none_are_only_shown() -> None:
    services = FakeServices(whole_run())
    services.choices = [ModelChoice("tiny-test", can_load=False)]
    app = make_app(services)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        app.dashboard.prompt.text = "/model"
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert "tiny-test" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        assert "cannot load models from here" in screen_text(app)
    assert services.sent == []


async def test_hostile_text_never_reaches_the_terminal_and_never_crashes() -> None:
    services = FakeServices()
    services.diffs[HOSTILE] = HOSTILE
    app = make_app(services)
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        message, call = MessageId(HOSTILE), CallId(HOSTILE)
        services.emit(
            SessionStarted(HOSTILE, HOSTILE, HOSTILE, branch=HOSTILE),
            RunStarted(HOSTILE, MODEL, HOSTILE, HOSTILE, HOSTILE, None),
            StateChanged("generating", "none", HOSTILE),
            TextDelta(message, f"# {HOSTILE}\n```{HOSTILE}\n{HOSTILE}\n```\n|{HOSTILE}|\n|---|\n|{HOSTILE}|"),
            ToolStarted(call, "bash", HOSTILE, HOSTILE),
            ToolOutput(call, "stdout", HOSTILE),
            SteerQueued(SteerId(HOSTILE), HOSTILE, "steer"),
            ApprovalAsked(AskId("q"), HOSTILE, HOSTILE, (HOSTILE, "no")),
            Warned(HOSTILE, HOSTILE, HOSTILE),
            WorkspaceChanged((Change(HOSTILE, "added", why=HOSTILE), Change("a\udcff", "added"))),
        )
        await settle(pilot)
        seen = screen_text(app)
        services.emit(MessageEnded(message, "stop"), ToolEnded(call, "error", 1, 0.1, message=HOSTILE))
        app.dashboard.parts.tools.toggle(HOSTILE)
        app.dashboard.open_review(HOSTILE)
        await app.workers.wait_for_complete()
        await settle(pilot)
        seen += screen_text(app)
        await pilot.press("escape")
        await settle(pilot)
        app.dashboard.say(HOSTILE)
        await settle(pilot)
        seen += screen_text(app)
        assert app.export_screenshot()
    assert "[/x]" in seen
    assert not set(seen) & FORBIDDEN
    assert seen.encode()


async def test_a_replay_sends_nothing_from_the_prompt_and_says_what_it_is() -> None:
    services = FakeServices(whole_run(), read_only=True)
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        assert "replay" in screen_text(app)
        assert "space holds it" in screen_text(app)
        await pilot.press("x", "enter", "space")
        await settle(pilot)
        assert services.sent == [Pause()]


@pytest.mark.parametrize("theme", ["agentui-light", "ansi-dark", "textual-dark"])
async def test_every_kind_of_theme_draws_the_same_words(theme: str) -> None:
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        before = screen_text(app)
        app.theme = theme
        await settle(pilot)
        assert screen_text(app) == before


@pytest.mark.parametrize("read_only", [False, True])
async def test_undo_is_offered_only_where_it_can_be_done(read_only: bool) -> None:
    services = FakeServices(whole_run(), read_only=read_only)
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        services.emit(WorkspaceApplied("a1", CHANGES[:4], 1, "user"))
        await settle(pilot)
        assert "4 files applied" in screen_text(app)
        assert ("/undo" in screen_text(app)) is not read_only


async def test_no_color_draws_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "exit 1" in screen_text(app)
        assert "█" in screen_text(app)
        assert colours(app) == {"default"}


async def test_a_chosen_row_stands_out_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("/", "m", "o")
        await settle(pilot)
        segments = [s for strip in app.screen._compositor.render_strips() for s in strip]
        marked = [text for text, style, _ in segments if style is not None and style.underline]
        assert any("/model" in text for text in marked)
        assert colours(app) == {"default"}


async def test_the_bell_rings_only_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    services = running()
    app = make_app(services)
    rung: list[str] = []
    ring: Callable[[], None] = lambda: rung.append("bell")  # noqa: E731
    monkeypatch.setattr(app, "bell", ring)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(ApprovalAsked(AskId("q"), "run it?", ""))
        await settle(pilot)
        assert rung == []
        app.app_focus = False
        services.emit(RunEnded("done"))
        await settle(pilot)
        assert rung == ["bell"]


async def test_the_desktop_is_notified_where_the_terminal_shows_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM_PROGRAM", "WezTerm")
    services = running()
    app = make_app(services)
    announced: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        monkeypatch.setattr(app, "announce", announced.append)
        app.app_focus = False
        services.emit(ApprovalAsked(AskId("q"), "run it?", ""))
        await settle(pilot)
        services.emit(RunEnded("failed"))
        await settle(pilot)
    assert announced == ["shop: it waits for you", "shop: failed"]


@pytest.mark.parametrize("size", [(160, 45), (90, 50), (200, 15), (80, 24)])
async def test_the_tool_log_is_read_by_keys_alone_in_every_layout(size: tuple[int, int]) -> None:
    services = FakeServices(whole_run())
    services.outputs = {f"output/call-{n}.txt": f"all of number {n}" for n in (1, 2, 3)}
    app = make_app(services)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        while app.dashboard.zoom != "tools":
            await pilot.press("ctrl+n")
            await settle(pilot)
        assert app.dashboard.parts.tools.has_focus
        for keys, number in ((["enter"], 3), (["up", "o"], 2), (["down", "enter"], 3)):
            await pilot.press(*keys)
            await settle(pilot)
            assert isinstance(app.screen, OutputScreen)
            assert f"all of number {number}" in screen_text(app)
            await pilot.press("escape")
            await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert app.dashboard.prompt.area.has_focus
        assert services.sent == []


async def test_a_session_that_has_not_begun_says_what_the_keys_do_until_something_is_said() -> None:
    services = FakeServices()
    app = make_app(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "enter    begins a run" in screen_text(app)
        services.emit(Warned("slow", "one\ntwo\nthree"), Warned("full", "four"))
        await settle(pilot)
        rows = screen_text(app).splitlines()
        first = next(number for number, row in enumerate(rows) if "begins a run" in row)
        assert "four" in rows[first - 2]
        assert [row.split()[0] for row in rows[first : first + 6]] == ["enter", "@", "!", "/", "ctrl+r", "?"]
        services.emit(RunStarted("do it", MODEL, "b", "/w", "loop", None))
        await settle(pilot)
        assert "begins a run" not in screen_text(app)


async def test_a_question_gives_its_rows_back_when_the_terminal_gets_wider() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(30, 60)) as pilot:
        services.emit(
            ApprovalAsked(AskId("a"), "Run " + "a long command " * 8, "because it must", ("yes", "no"))
        )
        await settle(pilot)
        await pilot.resize_terminal(90, 50)
        await pilot.pause(0.3)
        await settle(pilot)
        assert "give a task" in screen_text(app).splitlines()[48]


async def test_a_replay_has_no_first_steps() -> None:
    app = make_app(FakeServices(read_only=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "begins a run" not in screen_text(app)


async def test_the_palette_opens_over_the_help_and_what_is_chosen_closes_it() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("question_mark")
        await settle(pilot)
        await pilot.press("ctrl+p")
        await settle(pilot)
        await pilot.press(*"/pause")
        await pilot.pause(0.3)
        await pilot.press("enter")
        for _ in range(100):
            await settle(pilot)
            if services.sent:
                break
        assert services.sent == [Pause()]
        assert app.screen is app.dashboard


async def test_theme_and_context_without_a_word_let_one_choose() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        for line, word in (("/theme", "agentui-light"), ("/context", "128k")):
            app.dashboard.prompt.text = line
            app.dashboard.prompt.close_popup()
            await pilot.press("enter")
            await settle(pilot)
            await app.workers.wait_for_complete()
            await settle(pilot)
            assert isinstance(app.screen, PickScreen)
            assert word in screen_text(app)
            await pilot.press("down", "enter")
            await settle(pilot)
        assert app.theme == "agentui-light"
        assert services.sent == [SwitchModel(context_tokens=131_072)]


async def test_an_idle_screen_has_no_timer_of_its_own() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert app.dashboard.bridge._handle is None
        command(services.tape, 9, "ls")
        assert app.dashboard.bridge._handle is None
