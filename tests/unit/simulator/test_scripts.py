"""The scripts, played to their end on a real copy of the scratch project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentui.errors import UsageError
from agentui.simulator.scratch import make_scratch_project
from agentui.simulator.scripts.player import reply_to
from agentui.simulator.scripts.script import (
    CHECK_COMMAND,
    GENERIC_NAME,
    SCRIPT_NAMES,
    choose_script,
    load_script,
    shipped_commands,
)
from tests.unit.simulator.playing import BASH_TOOL, EDIT_FOLDER, Play, play, run_command, unittest_on_host

TASKS = {
    "split": "split report.py into five or six modules with PEP 585 type hints",
    "tests": "write unit tests for report.py",
    "post": "edit the blog post",
    "two_tower": "set up a two-tower recommendation repository",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    make_scratch_project(folder)
    return folder


def unexpected(run: Play) -> list[str]:
    return [reply.text for reply in run.replies if "did not expect" in reply.text]


def test_the_edit_command_lies_where_the_sandbox_keeps_it() -> None:
    assert (EDIT_FOLDER / "edit").is_file()


def test_the_scratch_projects_own_tests_pass(project: Path) -> None:
    done = unittest_on_host(project)
    assert done.returncode == 0, done.stderr
    assert "Ran 8 tests" in done.stderr


def test_a_scratch_project_is_never_written_over_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        make_scratch_project(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", SCRIPT_NAMES)
def test_each_task_chooses_its_script(name: str) -> None:
    assert choose_script(TASKS[name]) is load_script(name)


@pytest.mark.parametrize("task", ["make it faster", "what is in this folder?", ""])
def test_other_tasks_choose_no_script(task: str) -> None:
    assert choose_script(task) is None


def test_split_leaves_a_package_whose_tests_pass(project: Path) -> None:
    run = play(TASKS["split"], project)
    modules = {path.name for path in (project / "report").glob("*.py")}
    assert {"model.py", "parse.py", "totals.py", "render.py", "cli.py"} <= modules
    assert not (project / "report.py").exists()
    done = unittest_on_host(project)
    assert done.returncode == 0, done.stderr
    assert "Ran 8 tests" in done.stderr
    assert unexpected(run) == []
    sources = "".join(path.read_text() for path in (project / "report").glob("*.py"))
    assert not re.search(r"\b(List|Dict|Tuple|Optional)\[", sources)
    assert "list[Sale]" in sources


def test_split_tries_the_tests_once_and_says_that_they_could_not_run(project: Path) -> None:
    run = play(TASKS["split"], project)
    assert run.commands.count("python3 -m unittest") == 1
    assert run.exit_codes["python3 -m unittest"] == 127
    assert "could **not** run the tests" in run.texts
    assert "python3 -m unittest" in run.replies[-1].text


def test_split_calls_the_users_check_where_there_is_one(project: Path) -> None:
    def answer(command: str, folder: Path) -> tuple[str, int]:
        return ("8 passed", 0) if command == CHECK_COMMAND else run_command(command, folder)

    run = play(TASKS["split"], project, system="Checks, as whole commands: `check test`.", answer=answer)
    assert CHECK_COMMAND in run.commands
    assert "python3 -m unittest" not in run.commands
    assert "The tests pass." in run.texts


def test_tests_script_writes_tests_that_pass(project: Path) -> None:
    run = play(TASKS["tests"], project)
    done = unittest_on_host(project)
    assert done.returncode == 0, done.stderr
    assert "Ran 25 tests" in done.stderr
    assert unexpected(run) == []
    assert "25 tests instead of 8" in run.replies[-1].text


def test_tests_script_works_on_the_split_package_too(project: Path) -> None:
    play(TASKS["split"], project)
    run = play(TASKS["tests"], project)
    done = unittest_on_host(project)
    assert done.returncode == 0, done.stderr
    assert unexpected(run) == []


def test_post_script_corrects_the_post(project: Path) -> None:
    run = play(TASKS["post"], project)
    post = (project / "posts" / "first-post.md").read_text()
    assert unexpected(run) == []
    for mistake in ("was was", "the the", "apears", "definately", "htp:", "###"):
        assert mistake not in post
    assert "description:" in post
    assert "65,536 tokens" in post


def test_two_tower_script_sets_up_a_repository_whose_tests_pass(project: Path) -> None:
    run = play(TASKS["two_tower"], project)
    done = unittest_on_host(project / "two-tower")
    assert done.returncode == 0, done.stderr
    assert "Ran 9 tests" in done.stderr
    assert unexpected(run) == []
    assert "MISSING" not in "".join(str(message.get("content")) for message in run.messages)
    assert unittest_on_host(project).returncode == 0


def test_any_other_task_is_answered_honestly_and_changes_nothing(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    run = play("make the report print in colour", project)
    assert "simulated" in run.replies[-1].text
    assert "split report.py" in run.replies[-1].text
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", SCRIPT_NAMES)
def test_every_command_of_a_run_is_a_shipped_one(name: str, project: Path) -> None:
    run = play(TASKS[name], project, steers={2: "something of my own: $(rm -rf /) `id`"})
    assert set(run.commands) <= shipped_commands()
    assert 8 <= len(load_script(name).steps) <= 14


@pytest.mark.parametrize("name", [*SCRIPT_NAMES, GENERIC_NAME])
def test_no_command_of_a_script_occurs_in_two_of_its_steps(name: str) -> None:
    script = load_script(name)
    rules = [*script.rules, *script.fallbacks]
    steps = [*script.steps, *(step for rule in rules for step in rule.steps)]
    commands = [command for step in steps for command in step.commands]
    assert len(commands) == len(set(commands))
    ids = [step.id for step in steps]
    assert len(ids) == len(set(ids))
    for rule in rules:
        assert rule.after in ("", *ids)
        assert rule.drops <= set(ids)


def test_the_commands_use_nothing_that_bsd_tools_or_bash_3_lack() -> None:
    # Each of these works on Debian and fails or means something else on macOS.
    gnu_only = [
        r"sed -i",
        r"grep -[a-z]*P",
        r"\\[bsw<>]",
        r"\$\{\w+,,",
        r"declare -A",
        r"mapfile",
        r"readlink -f",
    ]
    for command in shipped_commands():
        shell = re.sub(r"<<'EOF'\n.*?\nEOF", "", command, flags=re.DOTALL)
        for pattern in gnu_only:
            assert not re.search(pattern, shell), (pattern, shell)


def test_no_command_leaves_the_folder_it_was_started_in() -> None:
    # The directory a command ends in is kept for the next one, so `cd` happens in subshells only.
    for command in shipped_commands():
        shell = re.sub(r"<<'EOF'\n.*?\nEOF", "", command, flags=re.DOTALL)
        assert not re.search(r"(^|[;&\n]\s*)cd ", shell), shell


def test_without_tools_the_model_only_talks() -> None:
    reply = reply_to([{"role": "user", "content": TASKS["split"]}], [])
    assert reply.calls == ()
    assert "no tools" in reply.text


def test_another_tool_is_used_under_its_own_names() -> None:
    tool = {
        "type": "function",
        "function": {"name": "shell", "parameters": {"properties": {"cmd": {"type": "string"}}}},
    }
    reply = reply_to([{"role": "user", "content": TASKS["split"]}], [tool])
    assert {call.name for call in reply.calls} == {"shell"}
    assert reply.calls[0].arguments.startswith('{"cmd": ')
    assert reply_to([{"role": "user", "content": TASKS["split"]}], [BASH_TOOL]).calls[0].name == "bash"
