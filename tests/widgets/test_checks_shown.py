"""How checks and the project's own image look on the screen."""

from __future__ import annotations

from typing import cast

from agentui.control import Control, RunCommand
from agentui.events import CallId, RunStarted, SandboxFacts, SandboxStarted, ToolEnded, ToolStarted
from agentui.tui import present_bars as bars
from agentui.tui.commands import BY_NAME, Deck
from agentui.tui.present_transcript import tool_row
from agentui.view.fold import View
from tests.unit.view.scenes import MODEL, Tape

OWN = SandboxFacts("docker", "project image, no network", is_isolated=True, has_interpreters=True)


def view_of(tape: Tape) -> View:
    view = View()
    view.apply_all(tape.records)
    return view


def test_the_projects_own_image_is_amber_in_the_header_before_and_in_a_run() -> None:
    tape = Tape()
    tape.add(SandboxStarted(OWN))
    for _ in range(2):
        left, _ = bars.header(view_of(tape), read_only=False)
        assert {fact.text: fact.tone for fact in left}["project image, no network"] == "warning"
        tape.add(RunStarted("t", MODEL, "b", "/w", "loop", OWN, "project"))


def test_a_check_has_its_own_label_in_the_tool_log_and_the_users_keeps_its_mark() -> None:
    tape = Tape()
    for call_id, label in (("a", "check"), ("b", "user")):
        tape.add(ToolStarted(CallId(call_id), "bash", "check test -x", "", label, "test"))  # type: ignore[arg-type]
        tape.add(ToolEnded(CallId(call_id), "error", 1, 3.2))
    entries = view_of(tape).tools.entries
    rows = [tool_row(entry, 5.0) for entry in entries]
    assert [row.command for row in rows] == [
        "check test -x · throwaway, no net",
        "! check test -x · throwaway, no net",
    ]
    assert [row.result for row in rows] == ["exit 1", "exit 1"]
    # What a run's card needs: the last result of each check, by its name.
    assert {entry.check: entry.exit_code for entry in entries} == {"test": 1}


def test_the_slash_command_runs_a_check_as_the_agent_would() -> None:
    class Sent:
        def __init__(self) -> None:
            self.controls: list[Control] = []

        def send(self, control: Control) -> None:
            self.controls.append(control)

    deck = Sent()
    BY_NAME["check"].run(cast(Deck, deck), " test -k 'a b' ")
    BY_NAME["check"].run(cast(Deck, deck), "")
    assert deck.controls == [RunCommand("check test -k 'a b'"), RunCommand("check")]
