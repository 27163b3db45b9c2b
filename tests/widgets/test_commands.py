"""What is typed behind a slash: whose it is, and how it is completed."""

from __future__ import annotations

import re

import pytest

from agentui.control import Apply, Control, Discard
from agentui.events import HarnessStarted
from agentui.tui.app import AgentuiApp
from agentui.tui.commands import BY_NAME, COMMANDS, Completer, is_command
from agentui.tui.keys import KEYS
from agentui.view.fold import View
from tests.unit.view.scenes import Tape, whole_run
from tests.widgets.driving import settle
from tests.widgets.fakes import FakeServices, make_app


def test_a_slash_command_that_only_the_harness_knows_is_text_for_it() -> None:
    tape = Tape()
    tape.add(HarnessStarted("pi", "1", None, "host", ("sayit", "compact")))
    view = View()
    view.apply_all(tape.records)
    theirs = view.status.harness_commands
    assert not is_command("/sayit two words", theirs)
    assert is_command("/compact", theirs)
    assert is_command("/sayti", theirs)
    assert not is_command("/usr/bin", theirs)


def test_ids_of_keys_and_names_of_commands_are_unique() -> None:
    assert len({key.id for key in KEYS}) == len(KEYS)
    assert len(BY_NAME) == len(COMMANDS)


def test_completion_of_commands_arguments_and_paths() -> None:
    paths = ("report.py", "README.md")
    complete = Completer(
        lambda prefix: [p for p in paths if p.startswith(prefix)],
        lambda: ["dark", "light"],
        lambda: ["review", "sayit", "skill:tidy"],
        lambda: (),
    )
    found = complete("/s")
    assert found is not None
    texts = [c.text for c in found.candidates]
    assert (texts[-2:], "/step" in texts) == (["/sayit", "/skill:tidy"], True)
    found = complete("/pa")
    assert found is not None
    assert (found.replaces, [c.text for c in found.candidates]) == (3, ["/pause"])
    found = complete("/theme li")
    assert found is not None
    assert (found.replaces, [c.text for c in found.candidates]) == (2, ["light"])
    found = complete("look at @re")
    assert found is not None
    assert (found.replaces, [c.text for c in found.candidates]) == (3, ["@report.py"])
    assert complete("mail a@b") is None
    assert complete("plain") is None


def said(app: AgentuiApp) -> str:
    return "\n".join(notification.message for notification in app._notifications)


def completer(*, paths: tuple[str, ...] = (), changed: tuple[str, ...] = ()) -> Completer:
    themes = ["rose-pine", "rose-pine-dawn"]
    return Completer(lambda prefix: paths, lambda: themes, lambda: (), lambda: changed)


@pytest.mark.parametrize(
    ("typed", "replaces", "offered"),
    [
        ("/apply no", 2, ["notes.md"]),
        ("/discard notes.md my", 2, ["'my post.md'"]),
        ("/apply 'my p", 5, ["'my post.md'"]),
        ("/review it", 2, ["""'it'"'"'s.md'"""]),
        ("/apply ", 0, []),
    ],
)
def test_changed_paths_are_completed_as_they_must_be_quoted(
    typed: str, replaces: int, offered: list[str]
) -> None:
    changed = ("notes.md", "my post.md", "it's.md", "no\x1b[31m.md", "no\nline.md")
    found = completer(changed=changed)(typed)
    assert found is not None
    assert (found.replaces, [c.text for c in found.candidates]) == (replaces, offered)


def test_a_file_whose_name_holds_control_is_not_offered() -> None:
    found = completer(paths=("a.py", "a\x1b]0;owned\x07.py", "a\u202egnp.py", "a\udcff.py"))("look at @a")
    assert found is not None
    assert [c.text for c in found.candidates] == ["@a.py"]


def test_a_pasted_megabyte_is_not_looked_for_among_the_files() -> None:
    assert completer(paths=("a.py",))("@" + "a/" * 500_000) is None


def test_a_word_that_is_whole_is_among_its_completions_so_that_enter_takes_it() -> None:
    found = completer()("/theme rose-pine")
    assert found is not None
    assert [c.text for c in found.candidates] == ["rose-pine", "rose-pine-dawn"]


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("/apply 'my post.md' notes.md", [Apply(paths=("my post.md", "notes.md"), include_ask=True)]),
        ("/discard my\\ post.md", [Discard(("my post.md",))]),
        ("/apply all", [Apply(include_ask=True)]),
        ("/apply", [Apply()]),
        ("/discard it's.md", []),
    ],
)
async def test_paths_of_a_command_are_quoted_as_in_a_shell(line: str, sent: list[Control]) -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app.dashboard.prompt.text = line
        await pilot.pause()
        app.dashboard.prompt.close_popup()
        await pilot.press("enter")
        await settle(pilot)
        assert services.sent == sent
        assert ("a quote is not closed" in said(app)) == (not sent)


@pytest.mark.parametrize("line", ["/output \u00b2", "/output " + "9" * 5000, "/branch \u00b2", "/output 0"])
async def test_what_is_no_number_is_said_and_ends_nothing(line: str) -> None:
    services = FakeServices(whole_run())
    app = make_app(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app.dashboard.prompt.text = line
        await pilot.pause()
        await pilot.press("enter")
        await settle(pilot)
        assert re.search("no such command|needs the number", said(app))
        assert app.screen is app.dashboard
