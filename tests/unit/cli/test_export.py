from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from agentui.cli import main
from tests.unit.cli.sessions import a_run, recorded_session

SECRET = "ghp_" + "b3" * 18


def test_the_newest_session_is_written_redacted_and_what_went_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded_session(Path.cwd(), a_run(f"use {SECRET} in /Users/ann/shop"))
    assert main(["export"]) == 0
    captured = capsys.readouterr()
    assert "use [redacted: GitHub token] in ~/shop" in captured.out
    assert "GitHub token" in captured.err
    assert main(["export", "--no-redact", "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert SECRET in json.loads(captured.out)["transcript"][0]["text"]
    assert json.loads(captured.out)["redacted"] is None


def test_the_format_follows_the_name_of_the_file_which_only_its_owner_may_read(tmp_path: Path) -> None:
    journal = recorded_session(Path("/elsewhere"), a_run())
    target = tmp_path / "session.html"
    assert main(["export", journal.parent.name, "-o", str(target)]) == 0
    assert target.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_session(Path.cwd(), a_run())
    assert main(["export", "-o", str(tmp_path / "no" / "x.md")]) == 1
    assert "cannot be written" in capsys.readouterr().err
