from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest

from agentui import __version__
from agentui.cli import COMMANDS, exit_code, main
from agentui.cli.sandbox import ACTIONS
from agentui.errors import (
    AuthenticationFailed,
    BackendRefused,
    BackendUnavailable,
    ConfigError,
    SandboxUnavailable,
    SessionError,
    UsageError,
)


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"agentui {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert name in out
        assert text in out


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS), *(f"sandbox {action}" for action in sorted(ACTIONS))])
def test_help_fits_a_terminal_of_eighty_columns(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split(), "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_there_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)
    assert main([name, "--help"]) == 0
    assert f"agentui {name}" in capsys.readouterr().out


def test_a_wrong_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nonsense"]) == 2
    assert main(["-p", "x", "--apply", "sometimes"]) == 2
    captured = capsys.readouterr()
    assert "--apply must be one of ask, auto, never" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("words", [["--url", "http://h", "models"], ["-p", "doctor"]])
def test_a_task_that_is_a_commands_name_needs_two_dashes(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "put -- before it" in capsys.readouterr().err


def test_two_dashes_make_it_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-p", "--approve", "ask", "--", "models"]) == 2
    assert "nobody to ask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mode", "json"], "--mode needs -p"),
        (["-p", "x", "--samples"], "--samples needs --mode json"),
        (["-p"], "-p needs a task"),
        (["-p", "x", "-C", "/does/not/exist"], "cannot work in /does/not/exist"),
        (["-p", "x", "--trust-project"], "to trust"),
        ([], "needs a terminal"),
        (["doctor", "keys"], "needs a terminal"),
        (["doctor", "keys", "--json"], "no --json"),
        (["unload"], "name one model"),
        (["unload", "--all", "m"], "name one model"),
        (["replay", "--speed", "0"], "--speed must be"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_asking_under_print_is_refused_wherever_it_was_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTUI_APPROVE", "ask")
    assert main(["-p", "x"]) == 2
    assert "environment AGENTUI_APPROVE" in capsys.readouterr().err


def test_nothing_is_sent_to_a_public_host_that_only_the_environment_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/v1")
    assert main(["-p", "x"]) == 2
    assert "--url https://api.example.com" in capsys.readouterr().err
    assert main(["models"]) == 2


def test_a_projects_settings_are_read_after_a_yes_and_told_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".agentui").mkdir()
    Path(".agentui/config.toml").write_text("max_turns = 'x'\n")
    assert main(["-p"]) == 2
    assert "you have not agreed" in capsys.readouterr().err
    assert main(["-p", "--trust-project"]) == 2
    assert "'max_turns' in" in capsys.readouterr().err
    Path(".agentui/config.toml").write_text("max_turns = 5\n")
    assert main(["-p", "--trust-project"]) == 2
    assert main(["-p"]) == 2
    assert "you have not agreed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (BackendUnavailable("x"), 75),
        (SandboxUnavailable("x"), 75),
        (AuthenticationFailed("x"), 75),
        (BackendRefused("x"), 1),
        (SessionError("x"), 1),
    ],
)
def test_errors_have_their_exit_code(error: UsageError, code: int) -> None:
    assert exit_code(error) == code


def test_errors_are_cleaned_before_they_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "\x1b]0;owned\x07x"]) == 1
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["doctor", "keys"]])
def test_every_help_says_the_exit_codes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.count("exit codes: ") == 1
