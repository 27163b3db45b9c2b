"""What is typed behind a slash: whose it is, and how it is completed."""

from __future__ import annotations

from agentui.events import HarnessStarted
from agentui.tui.commands import BY_NAME, COMMANDS, Completer, is_command
from agentui.tui.keys import KEYS
from agentui.view.fold import View
from tests.unit.view.scenes import Tape


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
