from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from agentui.control import (
    Answer,
    Apply,
    Discard,
    Interrupt,
    Pause,
    Quit,
    Resume,
    RunCommand,
    SendNow,
    Step,
    Submit,
    SwitchModel,
    TakeBack,
)
from agentui.events import (
    ApprovalAsked,
    AskId,
    CallId,
    Change,
    Hold,
    MessageEnded,
    MessageId,
    RunEnded,
    RunStarted,
    SessionStarted,
    StateChanged,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    TextDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    Warned,
    WorkspaceApplied,
    WorkspaceChanged,
)
from agentui.tui.app import AgentuiApp
from agentui.tui.screens import dashboard as dashboard_module
from agentui.tui.screens.diff import DiffScreen
from agentui.tui.screens.help import HelpScreen
from agentui.tui.screens.models import ModelsScreen
from agentui.tui.screens.output import OutputScreen
from agentui.tui.screens.question import QuestionScreen
from agentui.tui.services import ModelChoice
from agentui.view.fold import View
from tests.unit.view.scenes import CHANGES, MODEL, Tape, begin, command, whole_run
from tests.widgets.fakes import FakeServices, make_app

HOSTILE = "\x1b]0;owned\x07\x1b[31m[/x][@click=app.quit] \u202egnp\x9b2J"
FORBIDDEN = {"\x1b", "\x07", "\x9b", "\u202e"}


def running() -> FakeServices:
    tape = Tape()
    begin(tape)
    tape.add(StateChanged("generating", "none"))
    return FakeServices(tape.records)


def screen_text(app: AgentuiApp) -> str:
    """What the terminal would show, row by row."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips[:height])[
        : (width + 1) * height
    ]


async def settle(pilot: Pilot[None]) -> None:
    """Until the bridge has handed everything over and it was painted."""
    bridge = pilot.app.dashboard.bridge if isinstance(pilot.app, AgentuiApp) else None
    while bridge is not None and (bridge._handle is not None or bridge._pending):
        await asyncio.sleep(0.01)
        await pilot.pause()
    await pilot.pause()


async def test_the_screen_shows_what_the_view_of_the_same_events_holds() -> None:
    records = whole_run()
    services = FakeServices()
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        for recorded in records:
            services.emit(recorded.event, after_s=recorded.t_s - services.tape.t_s)
        await settle(pilot)
        view = View()
        view.apply_all(services.tape.records)
        assert app.dashboard.bridge.view == view
        text = screen_text(app)
    for words in (
        "split report.py into modules",
        "thinking",
        "wc -l report.py",
        "exit 1",
        "○ done",
        "44.0 of 64.0 GiB",
    ):
        assert words in text
    assert "your project: untouched" in text
    assert "5 changes: a apply, r review" in text
    assert services.is_started
    assert services.listeners == 0


async def test_a_resumed_session_looks_like_the_live_one() -> None:
    records = whole_run()
    live, resumed = FakeServices(), FakeServices(records)
    texts = []
    for services in (live, resumed):
        app = make_app(services)
        async with app.run_test(size=(120, 40)) as pilot:
            if services is live:
                for recorded in records:
                    services.emit(recorded.event, after_s=recorded.t_s - services.tape.t_s)
            await settle(pilot)
            texts.append(screen_text(app))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("hold", "keys", "control"),
    [
        ("none", ["space"], Pause()),
        ("pausing", ["space"], Pause(freeze=True)),
        ("paused", ["space"], Resume()),
        ("frozen", ["f5"], Resume()),
        ("paused", ["full_stop"], Step()),
        ("none", ["f6"], Step()),
        ("none", ["escape"], Interrupt()),
    ],
)
async def test_keys_steer_the_run_in_every_hold(hold: Hold, keys: list[str], control: object) -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(StateChanged("generating", hold))
        await settle(pilot)
        await pilot.press(*keys)
        await settle(pilot)
        assert services.sent == [control]


async def test_letters_are_typed_when_the_prompt_is_not_empty() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("x", "space", "full_stop", "question_mark", "a", "enter")
        await settle(pilot)
        assert services.sent == [Submit("x .?a")]


async def test_enter_steers_tab_queues_bang_runs_and_slash_commands_command() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        app.dashboard.prompt.text = "keep names"
        await pilot.press("enter")
        app.dashboard.prompt.text = "then test"
        await pilot.press("tab")
        app.dashboard.prompt.text = "!ls -l"
        await pilot.press("enter")
        app.dashboard.prompt.text = "/usr/bin is a path"
        await pilot.press("enter")
        app.dashboard.prompt.text = "/context 64k"
        await pilot.press("enter")
        app.dashboard.prompt.text = "/discard a.py b.py"
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [
            Submit("keep names"),
            Submit("then test", queue=True),
            RunCommand("ls -l"),
            Submit("/usr/bin is a path"),
            SwitchModel(context_tokens=65_536),
            Discard(("a.py", "b.py")),
        ]


async def test_enter_on_an_unsent_steer_sends_now_and_up_takes_it_back() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(SteerQueued(SteerId("s"), "keep the names", "steer"))
        await settle(pilot)
        assert "steer ▸  keep the names" in screen_text(app)
        await pilot.press("enter", "up")
        await settle(pilot)
        assert services.sent == [SendNow(), TakeBack()]
        services.emit(SteerWithdrawn(SteerId("s")))
        await settle(pilot)
        assert app.dashboard.prompt.text == "keep the names"


async def test_escape_closes_the_popup_before_it_interrupts() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("slash", "p")
        await settle(pilot)
        assert app.dashboard.prompt.is_popup_open
        await pilot.press("escape")
        await settle(pilot)
        assert not app.dashboard.prompt.is_popup_open
        assert services.sent == []
        await pilot.press("escape")
        await settle(pilot)
        assert services.sent == [Interrupt()]


async def test_ctrl_c_clears_the_prompt_then_asks_and_a_second_one_quits() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("x", "ctrl+c")
        await settle(pilot)
        assert app.dashboard.prompt.text == ""
        await pilot.press("ctrl+c")
        await settle(pilot)
        assert isinstance(app.screen, QuestionScreen)
        await pilot.press("n")
        await settle(pilot)
        assert not services.is_stopped
        await pilot.press("ctrl+c")
        await settle(pilot)
        await pilot.press("ctrl+c")
        await app.workers.wait_for_complete()
    assert services.sent == [Quit()]
    assert services.is_stopped


async def test_an_idle_session_quits_without_asking() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+c")
        await app.workers.wait_for_complete()
    assert services.is_stopped


@pytest.fixture
def _no_quiet_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "OFFER_QUIET_S", 0.0)


@pytest.mark.usefixtures("_no_quiet_time")
async def test_offered_changes_are_applied_by_a_and_reviewed_by_r() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("a")
        await settle(pilot)
        assert services.sent == [Apply()]
        await pilot.press("A")
        await settle(pilot)
        assert services.is_always
        await pilot.press("r")
        await settle(pilot)
        assert isinstance(app.screen, DiffScreen)
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert "+new" in screen_text(app)
        await pilot.press("space", "enter")
        await settle(pilot)
        marked = tuple(change.path for change in CHANGES[1:4])
        assert services.sent[-1] == Apply(paths=marked, include_ask=False)


async def test_a_letter_right_after_the_offer_is_typed_not_obeyed() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(WorkspaceChanged(CHANGES), RunEnded("done", pending_changes=5))
        await settle(pilot)
        await pilot.press("a", "d", "d")
        await settle(pilot)
        assert services.sent == []
        assert app.dashboard.prompt.text == "add"


@pytest.mark.usefixtures("_no_quiet_time")
async def test_nothing_is_offered_when_apply_does_not_ask() -> None:
    services = FakeServices(whole_run())
    app = make_app(services, apply_asks=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("a")
        await settle(pilot)
        assert services.sent == []
        assert app.dashboard.prompt.text == "a"


@pytest.mark.usefixtures("_no_quiet_time")
async def test_a_question_is_answered_by_its_letter_on_an_empty_prompt() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(ApprovalAsked(AskId("q"), "run it?", "why", ("yes", "no", "never")))
        await settle(pilot)
        assert "y yes" in screen_text(app)
        assert "2 no" in screen_text(app)
        await pilot.press("y")
        await settle(pilot)
        assert services.sent == [Answer(AskId("q"), "yes")]


async def test_the_line_about_the_project_follows_an_apply() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        services.emit(WorkspaceApplied("a1", CHANGES[:4], 1, "user"))
        await settle(pilot)
        assert "your project: 4 files applied" in screen_text(app)


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
        assert isinstance(app.screen, ModelsScreen)
        await app.workers.wait_for_complete()
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [SwitchModel(model="gemma")]
        app.dashboard.prompt.text = "/nonsense"
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [SwitchModel(model="gemma")]


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


async def test_no_color_draws_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(FakeServices(whole_run()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "exit 1" in screen_text(app)
        assert "█" in screen_text(app)


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


async def test_an_idle_screen_has_no_timer_of_its_own() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert app.dashboard.bridge._handle is None
        command(services.tape, 9, "ls")
        assert app.dashboard.bridge._handle is None
