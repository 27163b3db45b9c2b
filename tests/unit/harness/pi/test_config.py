from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agentui.events import ModelFacts
from agentui.harness.pi.config import (
    MARGIN_TOKENS,
    ModelOptions,
    compaction_of,
    models_json,
    settings_json,
    write_configuration,
)
from agentui.harness.pi.userconfig import bring_texts, remove_ended, user_instructions

GEMMA = ModelFacts("google/gemma-4-26b-a4b", loaded_context_tokens=32_768, trained_context_tokens=262_144)


def test_pi_reckons_with_the_loaded_context_and_not_with_the_longest() -> None:
    [model] = models_json("http://127.0.0.1:1/v1", GEMMA, ModelOptions())["providers"]["agentui"]["models"]
    assert (model["id"], model["contextWindow"]) == ("google/gemma-4-26b-a4b", 32_768)
    assert model["maxTokens"] < 32_768 // 2 + 1


def test_the_users_own_flags_win_over_the_safe_ones() -> None:
    options = ModelOptions({"temperature": 0.2}, compat={"supportsReasoningEffort": True})
    provider = models_json("http://127.0.0.1:1/v1", GEMMA, options)["providers"]["agentui"]
    assert provider["compat"]["supportsReasoningEffort"] is True
    assert provider["compat"]["supportsDeveloperRole"] is False
    assert provider["models"][0]["samplingParams"] == {"temperature": 0.2}


@given(st.integers(1024, 1 << 20))
def test_compaction_leaves_room_for_what_it_keeps(context_tokens: int) -> None:
    found = compaction_of(context_tokens)
    assert found["keepRecentTokens"] < context_tokens - found["reserveTokens"] + 1
    assert found["reserveTokens"] > MARGIN_TOKENS or found["reserveTokens"] == context_tokens // 2


def test_reading_a_prompt_has_no_time_limit_and_nothing_of_a_project_is_trusted() -> None:
    found = settings_json(GEMMA)
    assert (found["httpIdleTimeoutMs"], found["defaultProjectTrust"]) == ("disabled", "never")
    assert list(found["compaction"]["modelOverrides"]) == ["agentui/google/gemma-4-26b-a4b"]


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    write_configuration(tmp_path, "http://127.0.0.1:1/v1", GEMMA, ModelOptions())
    for name in ("models.json", "settings.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        json.loads((tmp_path / name).read_text(encoding="utf-8"))


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
