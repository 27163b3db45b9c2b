from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import pytest

from agentui.cli import main
from agentui.cli.arguments import ALL_FLAGS, Start, add_settings, agreed, start
from agentui.config import Settings
from agentui.errors import UsageError


def begun(*words: str) -> Start:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return start(parser.parse_args(words))


def test_flags_reach_the_settings() -> None:
    words = ["--url", "h:1", "--model", "m", "--context", "32k", "--sandbox", "none", "--apply", "auto"]
    words += [
        "--approve",
        "ask",
        "--max-turns",
        "3",
        "--theme",
        "nord",
        "--system",
        "s.md",
        "--harness",
        "loop",
    ]
    words += ["--profile", "default", "--seed-limit", "2g", "--models-file", "m.json"]
    words += ["--pi-host", "--allow", "a.test:443,b.test:8443"]
    loaded = begun(*words).loaded
    assert {name for name, origin in loaded.origins.items() if origin.kind == "flag"} == set(ALL_FLAGS)
    assert loaded.settings.context_tokens == 32768
    assert loaded.settings.research_allow == ("a.test:443", "b.test:8443")
    assert loaded.settings.system_file == Path("s.md")


def test_without_flags_nothing_counts_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTUI_BASE_IMAGE", raising=False)
    assert begun().loaded.settings == Settings()


def test_another_folder_becomes_the_project(tmp_path: Path) -> None:
    assert begun("-C", str(tmp_path)).project == tmp_path
    assert Path.cwd() == tmp_path


def test_the_log_goes_to_a_private_file_of_the_users(own_place: Path) -> None:
    found = begun().places
    assert found.state.is_relative_to(own_place)
    assert os.stat(found.state).st_mode & 0o077 == 0


def test_a_public_host_is_asked_about_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTUI_URL", "https://api.example.com")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with pytest.raises(UsageError, match=r"nothing was sent to api\.example\.com"):
        agreed(begun(), may_ask=True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UsageError):
        agreed(begun(), may_ask=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    agreed(begun(), may_ask=True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    agreed(begun(), may_ask=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("[y/N]") == 3


def test_the_image_cannot_be_built_without_an_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert main(["sandbox", "build"]) == 75
    assert "none.sock" in capsys.readouterr().err
