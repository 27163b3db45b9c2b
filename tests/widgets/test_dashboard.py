"""The dashboard under keys and events; longer than other files, as its screens and services are set up once."""

from __future__ import annotations

import asyncio
import json

import pytest

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
    ApprovalGiven,
    AskId,
    CallId,
    Change,
    Hold,
    MessageEnded,
    MessageId,
    RunEnded,
    StateChanged,
    SteerId,
    SteerQueued,
    SteerWithdrawn,
    ToolCallDelta,
    WorkspaceApplied,
    WorkspaceChanged,
)
from agentui.tui.screens import dashboard as dashboard_module
from agentui.tui.screens.diff import DiffScreen
from agentui.tui.screens.question import QuestionScreen
from agentui.view.fold import View
from tests.unit.view.scenes import CHANGES, whole_run
from tests.widgets.driving import running, screen_text, settle
from tests.widgets.fakes import FakeServices, make_app


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
    resumed, live = make_app(FakeServices(records)), FakeServices()
    async with resumed.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        wanted = screen_text(resumed)
    app = make_app(live)
    async with app.run_test(size=(120, 40)) as pilot:
        for recorded in records:
            live.emit(recorded.event, after_s=recorded.t_s - live.tape.t_s)
        for _ in range(100):  # figures are painted once a second at most
            await settle(pilot)
            if screen_text(app) == wanted:
                break
            await pilot.pause(0.05)
        assert screen_text(app) == wanted


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
        app.dashboard.prompt.text = "/context 5"
        await pilot.press("enter")
        app.dashboard.prompt.text = "/context many"
        await pilot.press("enter")
        app.dashboard.prompt.text = "/discard a.py b.py"
        await pilot.press("enter")
        await settle(pilot)
        assert len(app._notifications) == 2
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


@pytest.mark.parametrize("size", [(160, 45), (60, 20)])
async def test_a_long_question_is_shown_to_its_end(size: tuple[int, int]) -> None:
    app = make_app(FakeServices())
    async with app.run_test(size=size) as pilot:
        detail = "What a yes means. " * 10 + "Unapplied changes go."
        app.push_screen(QuestionScreen("Really?", detail))
        await pilot.pause()
        words = screen_text(app).split()
        assert words.count("means.") == 10
        assert words[-5:] == ["go.", "y", "yes", "n", "no"]


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
        await pilot.press("a", "enter")
        await settle(pilot)
        assert services.sent == [Apply()]
        await pilot.press("A", "enter")
        await settle(pilot)
        assert services.is_always
        await pilot.press("r", "enter")
        await settle(pilot)
        assert isinstance(app.screen, DiffScreen)
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert "+new" in screen_text(app)
        await pilot.press("down", "space", "enter")  # what needs a yes of its own stands first
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
async def test_a_letter_that_stands_alone_acts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "LETTER_ALONE_S", 0.01)
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("a")
        async with asyncio.timeout(30):
            while not services.sent:
                await pilot.pause()
        assert services.sent == [Apply()]
        assert app.dashboard.prompt.text == ""


@pytest.mark.usefixtures("_no_quiet_time")
async def test_a_text_that_begins_with_a_letter_that_answers_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "LETTER_ALONE_S", 60.0)
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"again")
        app.dashboard._take_letter("a")
        assert services.sent == []
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [Submit("again")]
        services.emit(ApprovalAsked(AskId("q"), "run it?", "why", ("yes", "no")))
        await settle(pilot)
        await pilot.press(*"not like this")
        app.dashboard._take_letter("n")
        assert len(services.sent) == 1


async def test_the_second_of_two_questions_has_time_to_be_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(ApprovalAsked(AskId("q"), "this?", "", ("yes", "no")))
        await settle(pilot)
        monkeypatch.setattr(dashboard_module, "OFFER_QUIET_S", 60.0)
        services.emit(
            ApprovalGiven(AskId("q"), "yes", "user"), ApprovalAsked(AskId("q2"), "and that?", "", ("yes", "no"))
        )
        await settle(pilot)
        assert app.dashboard._letter_waits_s("y") is None


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
        await pilot.press("y", "enter")
        await settle(pilot)
        assert services.sent == [Answer(AskId("q"), "yes")]


async def test_a_question_for_text_is_answered_by_what_is_typed_or_by_nothing() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(ApprovalAsked(AskId("q"), "which name?", "", (), kind="input", text="shop"))
        await settle(pilot)
        assert "type the answer" in screen_text(app)
        await pilot.press(*"/a b", "enter")
        await settle(pilot)
        assert services.sent == [Answer(AskId("q"), "/a b")]
        await pilot.press("escape")
        await settle(pilot)
        assert services.sent[1:] == [Answer(AskId("q"), "", is_cancelled=True)]
        services.emit(ApprovalGiven(AskId("q"), "/a b", "user"))
        services.emit(ApprovalAsked(AskId("e"), "the message?", "", (), kind="editor", text="fix: x"))
        await settle(pilot)
        assert app.dashboard.prompt.text == "fix: x"


async def test_the_line_about_the_project_follows_an_apply() -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(160, 45)) as pilot:
        services.emit(WorkspaceApplied("a1", CHANGES[:4], 1, "user"))
        await settle(pilot)
        assert "your project: 4 files applied" in screen_text(app)


async def test_a_steer_that_waits_for_a_command_says_so_and_enter_says_it_again() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(StateChanged("running_command", "none", "make"))
        services.emit(SteerQueued(SteerId("s"), "keep the names of all that is public " * 4, "steer"))
        await settle(pilot)
        assert "sent when the command ends, up takes back" in screen_text(app)
        said = len(app._notifications)
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == []
        assert len(app._notifications) == said + 1


async def test_text_left_by_an_interrupt_begins_a_run_by_enter() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(SteerQueued(SteerId("s"), "keep the names", "steer"))
        services.emit(RunEnded("interrupted"), StateChanged("interrupted", "none"))
        await settle(pilot)
        assert "enter starts a run with it, up takes back" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == [SendNow()]


async def test_during_the_start_the_title_says_that_a_task_waits_and_none_is_hidden_silently() -> None:
    services = FakeServices()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(StateChanged("starting", "none"))
        for number in range(4):
            services.emit(SteerQueued(SteerId(f"s{number}"), f"task {number}", "follow_up"))
        await settle(pilot)
        text = screen_text(app)
        assert "enter starts a run" not in text
        assert "enter queues a task" in text
        assert "+1 more" in text
        assert "begins when everything is ready" in text


async def test_a_pause_during_the_start_is_taken_back_by_the_next_press() -> None:
    services = FakeServices()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(StateChanged("starting", "none"))
        await settle(pilot)
        await pilot.press("space")
        services.emit(StateChanged("starting", "pausing"))
        await settle(pilot)
        assert "space resume" in screen_text(app)
        assert "freeze now" not in screen_text(app)
        await pilot.press("space")
        await settle(pilot)
        assert services.sent == [Pause(), Resume()]


@pytest.mark.usefixtures("_no_quiet_time")
async def test_changes_of_an_earlier_run_are_offered_at_the_start() -> None:
    services = FakeServices()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(WorkspaceChanged(CHANGES), StateChanged("idle", "none"))
        await settle(pilot)
        assert "a apply, r review" in screen_text(app)
        await pilot.press("a", "enter")
        await settle(pilot)
        assert services.sent == [Apply()]


@pytest.mark.usefixtures("_no_quiet_time")
async def test_what_is_never_applied_is_not_offered() -> None:
    services = FakeServices()
    app = make_app(services)
    never = Change(".git", "modified", "never", "git's own files stay in the copy")
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(WorkspaceChanged((never,)), StateChanged("idle", "none"))
        await settle(pilot)
        assert ".git" in screen_text(app)
        assert "a apply" not in screen_text(app)
        services.emit(WorkspaceChanged((never, CHANGES[0])))
        await settle(pilot)
        assert "1 change: a apply, r review" in screen_text(app)


@pytest.mark.usefixtures("_no_quiet_time")
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_no_line_of_a_command_that_wants_a_yes_is_hidden_silently(size: tuple[int, int]) -> None:
    services = running()
    app = make_app(services)
    command = "\n".join(["for f in *; do", *(f"  echo {n} && true" for n in range(40)), "rm -rf EVERYTHING"])
    async with app.run_test(size=size) as pilot:
        services.emit(ToolCallDelta(MessageId("m"), 0, "bash", json.dumps({"command": command}), 1))
        services.emit(MessageEnded(MessageId("m"), "tool_calls"))
        services.emit(ApprovalAsked(AskId("q"), f"Run {command}", "why", ("yes", "always", "no"), CallId("c")))
        await settle(pilot)
        text = screen_text(app)
        assert "rm -rf EVERYTHING" in text
        assert "between, v shows all" in text
        assert "y yes" in text
        assert "not sent" not in text
        await pilot.press("v", "enter")
        await settle(pilot)
        await pilot.press("end")
        await settle(pilot)
        assert services.sent == []
        assert "rm -rf EVERYTHING" in screen_text(app)
        await pilot.press("escape", "n", "enter")
        await settle(pilot)
        assert services.sent == [Answer(AskId("q"), "no")]


async def test_a_long_line_that_wants_a_yes_is_wrapped_to_its_end() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(100, 40)) as pilot:
        services.emit(
            ApprovalAsked(AskId("q"), "Run " + "echo word && " * 20 + "rm -rf END", "", ("yes", "no"))
        )
        await settle(pilot)
        assert "rm -rf END" in screen_text(app)
