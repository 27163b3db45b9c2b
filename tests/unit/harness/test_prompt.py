from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agentui.events import SandboxFacts
from agentui.harness.prompt import find_instructions, system_prompt

SANDBOX = SandboxFacts("docker", "docker, no network", True, image="tools:1")
HOST = SandboxFacts("none", "NO SANDBOX", False, "host", has_interpreters=True)


def test_instructions_come_from_the_users_folder_then_from_the_root_down(tmp_path: Path) -> None:
    root, user = tmp_path / "shop", tmp_path / "config"
    inner = root / "api"
    for folder in (root / ".git", inner, user):
        folder.mkdir(parents=True)
    (user / "AGENTS.md").write_text("mine")
    (root / "AGENTS.md").write_text("root")
    (root / "CLAUDE.md").write_text("not read: AGENTS.md is there")
    (inner / "CLAUDE.md").write_text("inner")
    (tmp_path / "AGENTS.md").write_text("above the root: not read")
    found = find_instructions(inner, user)
    assert [item.text for item in found] == ["mine", "root", "inner"]


def test_the_prompt_names_the_checks_and_stays_the_same_for_the_same_input() -> None:
    line = "`check test [ARGUMENTS]` runs pytest -q {args}"
    prompt = system_prompt(SANDBOX, checks=(line,))
    assert f"with nothing else in it:\n- {line}" in prompt
    assert "There is no interpreter here" in prompt
    own = system_prompt(replace(SANDBOX, has_interpreters=True))
    assert "no interpreter" not in own
    assert "the project's own image" in own
    assert prompt == system_prompt(SANDBOX, checks=(line,))


def test_without_a_sandbox_the_model_is_told_that_it_has_no_tool() -> None:
    prompt = system_prompt(None)
    assert "no tool" in prompt
    assert "bash" not in prompt


def test_the_users_own_text_replaces_ours() -> None:
    assert system_prompt(SANDBOX, base="Only this.\n") == "Only this."


def test_the_model_is_told_the_truth_about_the_place_its_commands_run_in() -> None:
    inside, outside = system_prompt(SANDBOX), system_prompt(HOST)
    assert "No network." in inside
    assert "no interpreter" in inside
    assert "rg -n" in inside
    assert "No network" not in outside
    assert "no interpreter" not in outside
    assert "user's own machine" in outside
    assert "rg -n" not in outside
    for prompt in (inside, outside):
        assert "private copy" in prompt
        assert "{" not in prompt
