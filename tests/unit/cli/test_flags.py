"""Flags that do not go together, and which of flag and demo wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentui.cli import exit_code, main
from agentui.errors import ProjectBusy, ProjectUnfit


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-p", "--demo", "--url", "http://127.0.0.1:1"], "--url"),
        (["-p", "--demo", "--model", "m"], "--model"),
        (["-p", "--demo", "--context", "8k"], "--context"),
        (["-p", "--demo", "-C", "/"], "-C"),
        (["-p", "--demo-speed", "2", "x"], "--demo-speed"),
        (["-p", "--theme", "nord", "x"], "--theme"),
        (["-p", "--samples", "x"], "--samples"),
        (["--mode", "json", "x"], "--mode"),
        (["-p", "--approve", "ask", "x"], "--approve"),
    ],
)
def test_a_flag_that_would_have_no_effect_is_a_usage_error(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert captured.out == ""


def test_the_home_folder_is_no_project(
    own_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = own_place / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    assert main(["-p", "--sandbox", "none", "x"]) == 2
    assert "too much" in capsys.readouterr().err


def test_a_project_in_use_is_not_available_and_an_unfit_one_is_misuse() -> None:
    assert exit_code(ProjectBusy("x")) == 75
    assert exit_code(ProjectUnfit("x")) == 2
