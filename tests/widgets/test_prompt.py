from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList

from agentui.control import Resume, Submit
from agentui.events import SessionResumed, StateChanged
from agentui.text import clean
from agentui_widgets.prompt import Candidate, Completion, Prompt
from tests.unit.view.scenes import whole_run
from tests.widgets.driving import running, settle
from tests.widgets.fakes import FakeServices, make_app


def complete(before: str) -> Completion | None:
    words = ("/pause", "/play", "/quit")
    start = before.rfind("@")
    if start >= 0 and (
        files := [f for f in ("@src/m.py", "@src/m.pyi", "@top.py") if f.startswith(before[start:])]
    ):
        return Completion(len(before) - start, [Candidate(file) for file in files])
    if before.startswith("/") and (found := [w for w in words if w.startswith(before) and w != before]):
        return Completion(len(before), [Candidate(word, "[/x] help") for word in found])
    return None


class PromptApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []

    def compose(self) -> ComposeResult:
        yield Prompt(complete, clean)

    def on_mount(self) -> None:
        self.query_one(Prompt).area.focus()

    def on_prompt_submitted(self, message: Prompt.Submitted) -> None:
        self.seen.append(("queue" if message.queue else "send", message.text))

    def on_prompt_empty(self, message: Prompt.Empty) -> None:
        self.seen.append(("empty", message.key))

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)


async def test_enter_sends_tab_queues_and_ctrl_j_breaks_the_line() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("a", "ctrl+j", "b", "enter")
        await pilot.press("c", "tab")
        await pilot.pause()
        assert app.seen == [("send", "a\nb"), ("queue", "c")]
        assert app.prompt.text == ""


async def test_up_on_an_empty_prompt_is_asked_outside_first_and_history_keeps_the_draft() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("o", "n", "e", "enter", "t", "w", "o", "enter", "up")
        await pilot.pause()
        assert app.seen[-1] == ("empty", "up")
        await pilot.press("d")
        await pilot.press("up", "up")
        await pilot.pause()
        assert app.prompt.text == "one"
        await pilot.press("down", "down")
        await pilot.pause()
        assert app.prompt.text == "d"


async def test_the_popup_completes_and_escape_free_keys_stay_ours() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("/", "p")
        await pilot.pause()
        assert app.prompt.is_popup_open
        await pilot.press("down", "tab")
        await pilot.pause()
        assert app.prompt.text == "/play"
        assert not app.prompt.is_popup_open
        await pilot.press("enter")
        await pilot.pause()
        assert app.seen == [("send", "/play")]


async def test_the_list_of_completions_is_mounted_with_the_first_of_them_and_kept() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("a", "backspace")
        await pilot.pause()
        assert not app.query(OptionList)
        await pilot.press("/")
        await pilot.pause()
        popup = app.query_one(OptionList)
        assert (popup.display, popup.option_count, app.prompt.rows) == (True, 3, 4)
        await pilot.press("backspace", "/", "q")
        await pilot.pause()
        assert app.query_one(OptionList) is popup
        assert (popup.display, popup.option_count) == (True, 1)


async def test_enter_on_a_whole_command_sends_it_at_once() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("/", "q", "enter")
        await pilot.pause()
        assert app.seen == [("send", "/quit")]


async def test_pasted_control_never_gets_into_the_text() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.prompt.area.post_message(events.Paste("a\x1b]0;owned\x07\x1b[31mb\r\nc\u202e"))
        await pilot.pause()
        assert app.prompt.text == "ab\nc\ufffd"


async def test_the_prompt_grows_with_its_text_up_to_a_limit() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.prompt.text = "\n".join("abcdefghijkl")
        await pilot.pause()
        assert app.prompt.rows == 8


async def test_a_space_typed_right_behind_letters_is_text_and_not_a_command() -> None:
    """Keys that arrive faster than the text area handles them: each must see the text before it."""

    class TypingApp(App[None]):
        BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "pause", "pause")]
        pauses = 0

        def compose(self) -> ComposeResult:
            yield Prompt(lambda before: None, str, lambda key: key == "space")

        def action_pause(self) -> None:
            self.pauses += 1

    app = TypingApp()
    async with app.run_test() as pilot:
        prompt = app.query_one(Prompt)
        prompt.area.focus()
        await pilot.pause()
        for name, character in (("k", "k"), ("space", " "), ("p", "p")):
            app.post_message(events.Key(name, character))
        await pilot.pause()
        assert (prompt.text, app.pauses) == ("k p", 0)
        prompt.text = ""
        await pilot.press("space")
        await pilot.pause()
        assert (prompt.text, app.pauses) == ("", 1)


def press_in_one_go(app: App[None], keys: str) -> None:
    names = {" ": "space", "\r": "enter", "\t": "tab", "/": "slash"}
    for character in keys:
        app.post_message(events.Key(names.get(character, character), character))


async def test_keys_that_come_in_one_go_with_enter_are_not_taken_for_its_text() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        press_in_one_go(app, "one\rtwo\tthree")
        await pilot.pause()
        assert app.seen == [("send", "one"), ("queue", "two")]
        assert app.prompt.text == "three"


async def test_tab_in_one_go_with_the_beginning_of_a_command_completes_it() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        press_in_one_go(app, "/pa\t")
        await pilot.pause()
        assert (app.prompt.text, app.seen) == ("/pause", [])
        assert not app.prompt.is_popup_open


async def test_a_space_in_one_go_with_a_steer_still_goes_on() -> None:
    services = running()
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        services.emit(StateChanged("generating", "paused"))
        await settle(pilot)
        press_in_one_go(app, "x\r ")
        await settle(pilot)
        assert services.sent == [Submit("x"), Resume()]


async def test_enter_sends_a_completed_file_and_the_popup_does_not_come_back() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("i", "t", "space", "@", "t", "o", "tab")
        await pilot.pause()
        assert app.prompt.text == "it @top.py"
        assert not app.prompt.is_popup_open
        await pilot.press("enter")
        await pilot.pause()
        assert app.seen == [("send", "it @top.py")]


async def test_a_complete_file_that_begins_another_is_sent_unless_the_arrows_choose_the_other() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("@", "s", "r", "enter")
        await pilot.pause()
        assert app.prompt.text == "@src/m.py"
        assert app.prompt.is_popup_open
        await pilot.press("enter")
        await pilot.press("@", "s", "r", "enter")
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.prompt.text == "@src/m.pyi"
        await pilot.press("enter")
        await pilot.pause()
        assert app.seen == [("send", "@src/m.py"), ("send", "@src/m.pyi")]


async def test_up_brings_what_was_said_before_the_session_went_on() -> None:
    past = whole_run()
    services = FakeServices([])
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        for recorded in past:  # read after the first frame, and told then
            services.emit(recorded.event)
        services.emit(SessionResumed(len(past), "1"))
        await settle(pilot)
        await pilot.press("up")
        await settle(pilot)
        assert app.dashboard.prompt.text == "split report.py into modules, PEP 585"
        services.emit(SessionResumed(len(past), "1"))
        await settle(pilot)
        assert app.dashboard.prompt._history.count(app.dashboard.prompt.text) == 1
