from __future__ import annotations

import json
import os
from pathlib import Path

from agentui.backends.models_json import parse_models
from agentui.events import ModelFacts
from agentui.harness.pi.config import ModelOptions, read_pi_settings, write_configuration
from agentui.harness.pi.userconfig import bring_texts, remove_ended, user_instructions

LISTED = """{"providers": {"lms": {"baseUrl": "http://h:1/v1", "api": "openai-completions", "apiKey": "s3cret",
  "models": [{"id": "gemma", "samplingParams": {"top_k": 64, "top_p": 0.9}, "maxTokens": 100}]}}}"""


def test_both_files_are_private_and_the_settings_win_over_the_list(tmp_path: Path) -> None:
    listed = next(parse_models(LISTED, Path("models.json")).models)
    facts = ModelFacts("gemma", "Gemma", loaded_context_tokens=8192)
    options = ModelOptions({"top_k": 5}, 2000, listed)
    assert write_configuration(tmp_path, "http://127.0.0.1:1/v1", facts, options) == "lms/gemma"
    for name in ("models.json", "settings.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    text = (tmp_path / "models.json").read_text()
    assert "s3cret" not in text
    written = json.loads(text)["providers"]["lms"]["models"][0]
    assert (written["contextWindow"], written["maxTokens"]) == (8192, 2000)
    assert written["samplingParams"] == {"top_k": 5, "top_p": 0.9}


def test_settings_of_pi_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert read_pi_settings(path) == {}
    for text in ("{", "[]", "[" * 100_000):
        path.write_text(text)
        assert read_pi_settings(path) == {}
    path.write_text('{"a": 1}')
    assert read_pi_settings(path) == {"a": 1}


def test_texts_come_along_and_code_and_keys_do_not(tmp_path: Path) -> None:
    users, private = tmp_path / "users", tmp_path / "private"
    for name in ("SYSTEM.md", "prompts/review.md", "skills/git/SKILL.md", "skills/git/run.sh", "auth.json"):
        path = users / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    (users / "prompts" / "link.md").symlink_to("/etc/passwd")
    (users / "extensions").mkdir()
    (users / "extensions" / "wanted.ts").write_text("")
    (users / "extensions" / "other.ts").write_text("")
    private.mkdir()
    found = bring_texts(users, private, ("wanted",))
    assert found.texts == ("SYSTEM.md", "prompts/review.md", "skills/git/SKILL.md")
    assert found.extensions == (users / "extensions" / "wanted.ts",)
    assert found.left_out == (
        "prompts/link.md (no plain text file)",
        "skills/git/run.sh (no plain text file)",
        "extensions/other.ts (code; name it in pi.extensions to load it)",
        "auth.json (never given away)",
    )
    brought = private / "prompts" / "review.md"
    assert brought.read_text() == "text of prompts/review.md"
    assert brought.stat().st_mode & 0o777 == 0o400
    assert not (private / "auth.json").exists()


def test_without_a_pi_of_the_users_nothing_comes_along(tmp_path: Path) -> None:
    found = bring_texts(tmp_path / "none", tmp_path)
    assert (found.texts, found.left_out) == ((), ())
    assert user_instructions(tmp_path / "none") == ()


def test_what_a_killed_process_left_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    for pid in (os.getpid(), (1 << 22) + 7):
        (tmp_path / f"run-{pid}-ab").mkdir()
    remove_ended(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"run-{os.getpid()}-ab"]
