"""How the simulated model reacts: to the user, to results, and to the same messages again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentui.simulator.scratch import make_scratch_project
from agentui.simulator.scripts.player import reply_to
from agentui.simulator.scripts.progress import read_result
from tests.unit.simulator.playing import (
    BASH_TOOL,
    JsonObject,
    add_answer,
    add_result,
    play,
    unittest_on_host,
)

SPLIT = "split report.py into modules"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    make_scratch_project(folder)
    return folder


def first_turns(count: int, task: str = SPLIT) -> list[JsonObject]:
    """The messages after so many turns whose commands all succeeded."""
    messages: list[JsonObject] = [{"role": "user", "content": task}]
    for turn in range(1, count + 1):
        reply = reply_to(messages, [BASH_TOOL])
        add_answer(messages, reply, turn)
        for number in range(len(reply.calls)):
            add_result(messages, turn, number, "exit code 0")
    return messages


def after(messages: list[JsonObject], text: str) -> list[JsonObject]:
    """The messages with one more of the user's."""
    return [*messages, JsonObject(role="user", content=text)]


def commands_after(messages: list[JsonObject]) -> list[str]:
    reply = reply_to(messages, [BASH_TOOL])
    return [json.loads(call.arguments)["command"] for call in reply.calls]


def test_the_same_messages_always_get_the_same_answer() -> None:
    messages = first_turns(4)
    assert reply_to(messages, [BASH_TOOL]) == reply_to(list(messages), [BASH_TOOL])


def test_a_prefix_of_a_run_gets_the_answer_it_had_then(project: Path) -> None:
    run = play(SPLIT, project, steers={3: "keep the public names"})
    place = 0
    for reply in run.replies:
        while run.messages[place].get("role") != "assistant":
            place += 1
        assert reply_to(run.messages[:place], [BASH_TOOL]) == reply
        place += 1


def test_a_steer_is_quoted_and_answered_in_the_next_message() -> None:
    messages = after(first_turns(3), "keep the public names")
    reply = reply_to(messages, [BASH_TOOL])
    assert reply.text.startswith("You said: “keep the public names”")
    assert "__all__" in reply.text


NOTES = (
    "The user ran this in the sandbox: cat notes.md\n# Notes\n[a link]\n\nkeep the public names\n[exit 0]",
    "The user ran this in the sandbox: check test\nboom\n[exit 1, check: throwaway container]",
    "The user discarded your changes to: report/cli.py.",
    "The user applied again earlier changes to: report/cli.py.",
    "The user changed files on their side that you changed too: a.py. Theirs stay on the host.",
)


@pytest.mark.parametrize("note", [*NOTES, "\n".join(NOTES)])
def test_a_note_of_what_the_user_did_is_no_steer(note: str) -> None:
    messages = first_turns(3)
    assert reply_to(after(messages, note), [BASH_TOOL]) == reply_to(messages, [BASH_TOOL])


@pytest.mark.parametrize("text", [f"{NOTES[0]}\n\nuse dataclasses", f"use dataclasses\n\n{NOTES[0]}"])
def test_a_steer_beside_a_note_is_heard_alone(text: str) -> None:
    messages = first_turns(3)
    answer = reply_to(after(messages, text), [BASH_TOOL])
    assert answer == reply_to(after(messages, "use dataclasses"), [BASH_TOOL])


@pytest.mark.parametrize("turn", [1, 5, 9, 12])
def test_keep_the_public_names_gives_the_facade_an_all(project: Path, turn: int) -> None:
    run = play(SPLIT, project, steers={turn: "please keep the public names"})
    facade = (project / "report" / "__init__.py").read_text()
    assert '__all__ = [\n    "FIELDS",' in facade
    assert run.texts.count("You said:") == 1
    assert unittest_on_host(project).returncode == 0


def test_without_that_steer_the_facade_has_none(project: Path) -> None:
    play(SPLIT, project)
    assert "__all__" not in (project / "report" / "__init__.py").read_text()


def test_docstrings_are_added_when_asked_for(project: Path) -> None:
    play(SPLIT, project, steers={2: "and add docstrings"})
    assert "Return the sale of one row" in (project / "report" / "parse.py").read_text()
    assert "Return the report for a terminal" in (project / "report" / "render.py").read_text()
    assert unittest_on_host(project).returncode == 0


def test_shorter_leaves_the_readme_out_and_notes_it(project: Path) -> None:
    before = (project / "README.md").read_text()
    play(SPLIT, project, steers={2: "make it shorter"})
    assert (project / "README.md").read_text() == before
    assert "Kept short on request" in (project / "NOTES.md").read_text()


def test_any_other_remark_leads_to_a_note(project: Path) -> None:
    run = play(SPLIT, project, steers={2: "think of the children", 4: "and of the weather"})
    notes = (project / "NOTES.md").read_text()
    assert "a remark of the user's" in notes
    assert "a second remark" in notes
    assert "“think of the children”" in run.texts
    assert "children" not in "".join(run.commands)


def test_a_wish_after_the_end_is_fulfilled_as_well(project: Path) -> None:
    turns = len(play(SPLIT, project).replies)
    again = project.parent / "again"
    make_scratch_project(again)
    run = play(SPLIT, again, steers={turns: "now keep the public names"})
    assert "__all__" in (again / "report" / "__init__.py").read_text()
    assert run.replies[-1].text.startswith("That is done too.")


def test_another_task_after_the_end_starts_its_own_script(project: Path) -> None:
    turns = len(play(SPLIT, project).replies)
    again = project.parent / "again"
    make_scratch_project(again)
    run = play(SPLIT, again, steers={turns: "now edit the blog post"})
    assert "apears" not in (again / "posts" / "first-post.md").read_text()
    assert "The post is edited" in run.replies[-1].text


def test_a_remark_in_mid_run_never_starts_another_script() -> None:
    messages = after(first_turns(3), "the unit tests and the blog post are mine")
    assert "script was being split" in commands_after(messages)[0]


def test_a_skipped_command_is_asked_for_again() -> None:
    messages = first_turns(3)
    reply = reply_to(messages, [BASH_TOOL])
    add_answer(messages, reply, 4)
    add_result(messages, 4, 0, "skipped: the user steered")
    messages.append({"role": "user", "content": "keep the public names"})
    answer = reply_to(messages, [BASH_TOOL])
    assert answer.calls[0].arguments == reply.calls[0].arguments
    assert "You said" in answer.text
    assert "so I ask for it again" in answer.text


def test_only_the_skipped_one_of_two_commands_is_asked_for_again() -> None:
    messages: list[JsonObject] = [{"role": "user", "content": SPLIT}]
    reply = reply_to(messages, [BASH_TOOL])
    assert len(reply.calls) == 2
    add_answer(messages, reply, 1)
    add_result(messages, 1, 0, "README.md\nexit code 0")
    add_result(messages, 1, 1, "skipped: the user steered")
    messages.append({"role": "user", "content": "wait"})
    assert commands_after(messages) == [json.loads(reply.calls[1].arguments)["command"]]


def test_a_command_that_is_never_run_is_given_up_after_three_attempts() -> None:
    messages = first_turns(1)
    asked = commands_after(messages)
    for turn in range(2, 5):
        add_answer(messages, reply_to(messages, [BASH_TOOL]), turn)
        add_result(messages, turn, 0, "not run: the sandbox is gone")
    reply = reply_to(messages, [BASH_TOOL])
    assert "I go on without it" in reply.text
    assert commands_after(messages) != asked


def test_a_denied_command_is_left_out() -> None:
    messages = first_turns(1)
    asked = commands_after(messages)
    add_answer(messages, reply_to(messages, [BASH_TOOL]), 2)
    add_result(messages, 2, 0, "denied by the user")
    assert "You did not want" in reply_to(messages, [BASH_TOOL]).text
    assert commands_after(messages) != asked


def test_an_unexpected_failure_is_named_and_the_work_goes_on() -> None:
    messages = first_turns(1)
    add_answer(messages, reply_to(messages, [BASH_TOOL]), 2)
    add_result(messages, 2, 0, "sed: report.py: No such file or directory\nexit code 2")
    reply = reply_to(messages, [BASH_TOOL])
    assert "exit code 2, which I did not expect" in reply.text
    assert reply.calls


def test_an_answer_cut_by_the_user_is_taken_up_where_it_was() -> None:
    messages = first_turns(3)
    expected = commands_after(messages)
    messages.append({"role": "assistant", "content": "The plan, bottom up so"})
    messages.append({"role": "user", "content": "go on"})
    assert commands_after(messages) == expected


def test_a_new_task_after_an_interrupt_starts_its_own_script() -> None:
    messages = first_turns(3)
    messages.append({"role": "assistant", "content": "The plan, bottom"})
    messages.append({"role": "user", "content": "leave that, edit the blog post"})
    assert commands_after(messages)[0] == "ls -1 posts"


def test_instructions_in_a_message_of_their_own_do_not_choose_the_script() -> None:
    messages: list[JsonObject] = [
        {"role": "user", "content": "Project rules: be polite."},
        {"role": "user", "content": SPLIT},
    ]
    assert commands_after(messages)[0].startswith("ls -1 .")


def test_a_compacted_conversation_goes_on_where_it_was() -> None:
    messages = after(first_turns(4), "keep the public names")
    expected = commands_after(messages)
    messages.append(
        {"role": "user", "content": "Write a summary from which you can go on without earlier messages."}
    )
    summary = reply_to(messages, [BASH_TOOL])
    assert summary.calls == ()
    compacted: list[JsonObject] = [
        {"role": "system", "content": "You are a coding agent."},
        {
            "role": "user",
            "content": f"What I asked so far: {SPLIT}\n\nYour summary:\n\n{summary.text}\n\nGo on.",
        },
    ]
    assert commands_after(compacted) == expected
    later = compacted
    for turn in range(1, 20):
        reply = reply_to(later, [BASH_TOOL])
        if not reply.calls:
            break
        add_answer(later, reply, turn)
        for number in range(len(reply.calls)):
            add_result(later, turn, number, "exit code 0")
    assert "__all__ = [" in json.dumps(later)


@pytest.mark.parametrize(
    ("text", "exit_code", "was_run"),
    [
        ("", 0, True),
        ("hello\nexit code 0", 0, True),
        ("[exit 127]\npython3: not found", 127, True),
        ("Traceback\n\nCommand exited with code 1", 1, True),
        ("exit status: 2", 2, True),
        ("import sys\nsys.exit(3)\nprint()", 0, True),
        ("skipped: the user steered", 0, False),
        ("[not run: interrupted]", 0, False),
        ("(cancelled)", 0, False),
        ("[skipped: the user steered; read their message first]", 0, False),
        ("output\n[exit 1]", 1, True),
        ("half of the output\n[cancelled]", 0, False),
        ("output\n[killed: it ran longer than 60 s]", 137, True),
    ],
)
def test_results_are_read_in_the_forms_harnesses_use(text: str, exit_code: int, was_run: bool) -> None:
    result = read_result(text)
    assert (result.exit_code, result.was_run) == (exit_code, was_run)
