from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentui.cli import main
from agentui.events import WorkspaceApplied
from agentui.paths import places, private_folder
from tests.unit.cli.sessions import a_run, recorded_session

APPLIED = WorkspaceApplied("a1", (), 0, "user")


def test_the_sessions_of_this_folder_are_listed_and_of_all_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded_session(Path.cwd(), a_run("fix the\x1b]0;x\x07 cart"))
    recorded_session(Path("/elsewhere/blog"), a_run("write"))
    assert main(["sessions"]) == 0
    out = capsys.readouterr().out
    assert "fix the cart" in out
    assert "done" in out
    assert "blog" not in out
    assert main(["sessions", "list", "--all"]) == 0
    assert "blog" in capsys.readouterr().out
    assert main(["sessions", "--json", "list", "--all", "WRITE"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["sessions"]
    assert (found["project"], found["tasks"], found["turns"]) == ("/elsewhere/blog", ["write"], 1)


def test_an_empty_list_says_where_else_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "list", "--limit", "3"]) == 0
    assert "--all" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_list_of_no_length_is_a_usage_error(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "list", f"--limit={count}"]) == 2
    assert f"'{count}' is not a number of 1 or more" in capsys.readouterr().err


def test_the_card_of_each_run_is_shown_as_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    journal = recorded_session(Path.cwd(), [*a_run("one"), *a_run("two")])
    assert main(["sessions", "show"]) == 0
    out = capsys.readouterr().out
    assert "1. one" in out
    assert "2. two" in out
    assert "1 turn, 1 command" in out
    assert main(["sessions", "show", journal.parent.name[-8:], "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [card["task"] for card in shown["runs"]] == ["one", "two"]
    assert shown["runs"][0]["model"]["model"] == "m"
    assert shown["runs"][0]["prompt_tokens"] is None


def test_a_session_is_removed_with_all_its_files(capsys: pytest.CaptureFixture[str]) -> None:
    journal = recorded_session(Path.cwd(), a_run())
    assert main(["sessions", "remove", journal.parent.name]) == 0
    assert not journal.parent.exists()
    assert "1 session removed" in capsys.readouterr().out


def test_what_can_be_undone_is_not_removed_without_a_yes(capsys: pytest.CaptureFixture[str]) -> None:
    journal = recorded_session(Path.cwd(), [*a_run(), APPLIED])
    assert main(["sessions", "remove", journal.parent.name]) == 1
    assert journal.exists()
    assert "can still be undone" in capsys.readouterr().err
    assert main(["sessions", "remove", journal.parent.name, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": [journal.parent.name], "kept": []}


def test_what_the_settings_do_not_keep_is_removed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    old = recorded_session(Path.cwd(), a_run())
    kept = recorded_session(Path.cwd(), [*a_run(), APPLIED])
    assert main(["sessions", "remove", "--beyond"]) == 2
    assert "keep every session" in capsys.readouterr().err
    private_folder(places().config)
    places().config_file.write_text("[sessions]\nkeep_days = 1\n")
    assert main(["sessions", "remove", "--beyond"]) == 0
    assert not old.exists()
    assert kept.exists()


def test_other_files_are_never_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal.jsonl").write_text("{}")
    assert main(["sessions", "remove", str(tmp_path)]) == 2
    assert (tmp_path / "journal.jsonl").exists()
    assert main(["sessions", "remove"]) == 2
