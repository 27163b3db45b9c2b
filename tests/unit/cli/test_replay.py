from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentui.cli import main
from tests.unit.cli.sessions import a_run, recorded_session


def test_the_newest_session_of_the_folder_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    recorded_session(Path.cwd(), a_run())
    assert main(["replay", "--mode", "json", "--speed", "max", "--samples"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines][:2] == ["SessionStarted", "RunStarted"]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_session_is_found_by_its_id_and_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    journal = recorded_session(Path("/elsewhere"), a_run())
    assert main(["replay", journal.parent.name[-8:], "--mode", "text", "--speed", "max"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "I look first.\n"
    assert "$ wc -l" in captured.err


def test_what_was_printed_can_be_replayed_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    journal = recorded_session(Path.cwd(), a_run())
    assert main(["replay", str(journal), "--mode", "json", "--speed", "max"]) == 0
    first = capsys.readouterr().out
    (tmp_path / "saved").write_text(first)
    assert main(["replay", str(tmp_path / "saved"), "--mode", "json", "--speed", "max"]) == 0
    captured = capsys.readouterr()
    assert captured.out == first
    assert captured.err == ""


def test_damage_is_told_with_its_line_and_the_rest_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    journal = recorded_session(Path.cwd(), a_run())
    content = journal.read_bytes().splitlines(keepends=True)
    content[2] = content[2].replace(b"user", b"usex")
    journal.write_bytes(b"".join(content) + b'{"torn')
    assert main(["replay", str(journal), "--mode", "json", "--speed", "max"]) == 0
    captured = capsys.readouterr()
    assert "journal.jsonl line 3: the checksum does not fit" in captured.err
    assert "was not finished" in captured.err
    assert len(captured.out.splitlines()) == len(content) - 2


@pytest.mark.parametrize("command", [["replay", "--mode", "json"], ["sessions", "show"], ["export"]])
def test_a_session_without_a_readable_record_is_an_error(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad").write_bytes(b"nothing\n" * 9)
    assert main([*command, str(tmp_path / "bad")]) == 1
    err = capsys.readouterr().err
    assert "bad line 1: no JSON" in err
    assert "and 4 more damaged lines" in err
    assert "no readable record" in err


def test_no_session_yet_says_where_they_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay"]) == 1
    assert "sessions lie in" in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    journal = recorded_session(Path.cwd(), a_run() * 2000)
    process = subprocess.Popen(
        [sys.executable, "-m", "agentui", "replay", str(journal), "--mode", "json", "--speed", "max"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert err == b""


def test_a_recording_of_a_run_that_was_killed_says_where_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    recorded_session(Path.cwd(), a_run()[:-1])
    assert main(["replay", "--mode", "text", "--speed", "max"]) == 0
    assert "the recording ends here: the run was cut" in capsys.readouterr().err
    whole = recorded_session(Path.cwd(), a_run())
    assert main(["replay", str(whole.parent), "--mode", "text", "--speed", "max"]) == 0
    assert "ends here" not in capsys.readouterr().err
