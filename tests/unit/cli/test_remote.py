from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from agentui.cli import main
from agentui.cli.steer import MAX_CHARS, shortened
from agentui.paths import places


def test_without_a_running_session_commands_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    assert "no session runs" in capsys.readouterr().out
    assert main(["pause"]) == 1
    assert "no session runs" in capsys.readouterr().err


def test_a_socket_that_a_crash_left_is_removed() -> None:
    import socket

    folder = places().sockets
    folder.mkdir(parents=True, exist_ok=True)
    left = folder / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left))
    assert main(["status"]) == 1
    assert not left.exists()


def test_long_text_keeps_its_beginning_and_its_end_with_a_note() -> None:
    assert shortened("short") == "short"
    text = "a" * 20_000 + "b" * 60_000 + "THE ERROR"
    cut = shortened(text)
    assert len(cut) < MAX_CHARS + 100
    assert cut.startswith("aaa")
    assert cut.endswith("THE ERROR")
    assert f"{len(text) - MAX_CHARS:,} characters left out" in cut


def test_a_socket_folder_stays_short_enough_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    folder = places({"AGENTUI_HOME": str(deep)}).sockets
    assert len(os.fsencode(folder)) < 90
    assert folder != places({"AGENTUI_HOME": str(tmp_path / "y")}).sockets


def test_nothing_to_say_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agentui.cli.remote.the_session", lambda name: (Path("/nowhere"), {}))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["steer", "  "]) == 2
    assert "nothing to say" in capsys.readouterr().err
