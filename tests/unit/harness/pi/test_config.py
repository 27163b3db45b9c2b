from __future__ import annotations

import json
from pathlib import Path

from agentui.backends.models_json import parse_models
from agentui.events import ModelFacts
from agentui.harness.pi.config import ModelOptions, read_pi_settings, write_configuration

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
