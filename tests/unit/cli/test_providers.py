from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from agentui.cli import main
from agentui.cli.arguments import Start, add_settings, agreed, start
from agentui.errors import BackendUnavailable, ConfigError, UsageError
from tests.unit.cli.test_watch import served


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("AGENTUI_", "OPENAI_", "LM_", "PI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AGENTUI_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "shop"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path


def provider(**fields: Any) -> dict[str, Any]:
    written = {"baseUrl": "http://127.0.0.1:9/v1", "api": "openai-completions", "models": [{"id": "gemma"}]}
    return {**written, **fields}


def write(place: Path, **providers: dict[str, Any]) -> Path:
    path = place / ".pi" / "agent" / "models.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"providers": providers}))
    return path


def begun(*words: str) -> Start:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return start(parser.parse_args(words))


def test_a_provider_and_id_choose_address_model_and_sampling(own_place: Path) -> None:
    model = {"id": "gemma", "samplingParams": {"top_k": 64, "top_p": 0.9}, "maxTokens": 4096}
    write(own_place, lms=provider(baseUrl="http://host.docker.internal:5555/v1", models=[model]))
    settings = begun("--model", "lms/gemma").loaded.settings
    assert (settings.url, settings.model, settings.answer_tokens) == ("http://127.0.0.1:5555", "gemma", 4096)
    assert settings.sampling == {"top_k": 64, "top_p": 0.9}


def test_the_settings_own_sampling_wins_over_the_lists(
    own_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(own_place, lms=provider(models=[{"id": "gemma", "samplingParams": {"top_k": 64, "top_p": 0.9}}]))
    monkeypatch.setenv("AGENTUI_SAMPLING_TOP_K", "5")
    assert begun("--model", "lms/gemma").loaded.settings.sampling == {"top_k": 5, "top_p": 0.9}


def test_other_names_with_a_slash_stay_what_they_are(own_place: Path) -> None:
    write(own_place, lms=provider())
    settings = begun("--model", "google/gemma").loaded.settings
    assert (settings.model, settings.provider) == ("google/gemma", None)


def test_the_list_lies_where_pi_has_it_or_where_it_is_said(
    own_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(own_place, lms=provider())
    moved = path.rename(own_place / "models.json")
    assert begun("--model", "lms/gemma").loaded.settings.provider is None
    assert begun("--model", "lms/gemma", "--models-file", str(moved)).loaded.settings.provider is not None
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(own_place))
    assert begun("--model", "lms/gemma").loaded.settings.provider is not None
    with pytest.raises(ConfigError, match="there is no"):
        begun("--model", "lms/gemma", "--models-file", "/nowhere/models.json")


def test_another_typed_address_is_no_riddle(own_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(own_place, lms=provider())
    with pytest.raises(UsageError, match="is not where lms/gemma is"):
        begun("--model", "lms/gemma", "--url", "http://127.0.0.1:8")
    assert begun("--model", "lms/gemma", "--url", "127.0.0.1:9").loaded.settings.provider is not None
    monkeypatch.setenv("AGENTUI_URL", "http://127.0.0.1:8")
    assert begun("--model", "lms/gemma").loaded.settings.url == "http://127.0.0.1:9"
    monkeypatch.setenv("AGENTUI_MODEL", "lms/gemma")
    with pytest.raises(UsageError, match="AGENTUI_URL names"):
        begun()


def test_a_public_host_named_by_a_variable_needs_a_yes(
    own_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(own_place, far=provider(baseUrl="https://api.example.com/v1"))
    assert begun("--model", "far/gemma").loaded.remote_host is None
    monkeypatch.setenv("AGENTUI_MODEL", "far/gemma")
    found = begun()
    assert found.loaded.remote_host == "api.example.com"
    with pytest.raises(UsageError, match="nothing was sent"):
        agreed(found, may_ask=False)


def test_the_users_key_of_another_server_is_not_sent_to_a_provider(
    own_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(own_place, far=provider(baseUrl="https://api.example.com/v1"))
    monkeypatch.setenv("AGENTUI_API_KEY", "mine")
    assert agreed(begun("--model", "far/gemma"), may_ask=False).loaded.settings.api_key is None


def test_a_command_runs_only_after_a_yes_which_is_remembered_for_its_text(
    own_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = own_place / "ran"
    write(own_place, lms=provider(apiKey=f"!echo >> {mark}; echo tok"))
    found = begun("--model", "lms/gemma")
    with pytest.raises(BackendUnavailable, match="not allowed") as refused:
        agreed(found, may_ask=False)
    assert "agentui models --allow-commands lms" in refused.value.hint
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with pytest.raises(BackendUnavailable):
        agreed(found, may_ask=True)
    assert not mark.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert agreed(found, may_ask=True).loaded.settings.api_key == "tok"
    assert agreed(found, may_ask=False).loaded.settings.api_key == "tok"
    assert mark.read_text() == "\n\n"
    write(own_place, lms=provider(apiKey=f"!echo >> {mark}; echo tok2"))
    with pytest.raises(BackendUnavailable):
        agreed(begun("--model", "lms/gemma"), may_ask=False)
    assert "tok" not in capsys.readouterr().err.replace("echo tok", "")


def test_without_a_screen_a_command_ends_with_75_until_it_is_allowed(
    own_place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(own_place, lms=provider(apiKey="!echo tok"))
    assert main(["-p", "--model", "lms/gemma", "--sandbox", "none", "hello"]) == 75
    assert "agentui models --allow-commands lms" in capsys.readouterr().err
    assert main(["models", "--allow-commands", "lms"]) == 0
    assert "echo tok" in capsys.readouterr().out
    assert agreed(begun("--model", "lms/gemma"), may_ask=False).loaded.settings.api_key == "tok"


def test_a_broken_list_is_a_usage_error_with_line_and_column(
    own_place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(own_place)
    path.write_text('{"providers": {\n  "lms": {"models": [}}\n}')
    assert main(["doctor", "models"]) == 2
    assert f"{path}, line 2, column 22: found '}}'; expected a value" in capsys.readouterr().err


def test_doctor_models_shows_each_difference_and_no_key(
    own_place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lms = provider(apiKey="s3cret", zzz=1, models=[{"id": "gemma", "contextWindow": 9000, "maxTokens": 8000}])
    write(own_place, lms=lms, claude=provider(api="anthropic-messages"))
    assert main(["doctor", "models", "--json"]) == 0
    out = capsys.readouterr().out
    assert "s3cret" not in out
    told = json.loads(out)
    ours, other = told["models"]
    differing = {found["field"]: found for found in ours["differences"]}
    assert (differing["maxTokens"]["yours"], differing["maxTokens"]["written"]) == (8000, 2250)
    assert differing["compat.supportsDeveloperRole"]["written"] is False
    assert "127.0.0.1:9" in ours["trouble"]
    assert not other["is_usable"]
    assert told["unknown_fields"] == [{"where": "providers.lms.zzz", "line": 1}]
    assert main(["doctor", "models"]) == 0
    out = capsys.readouterr().out
    assert "s3cret" not in out
    assert "compat.supportsDeveloperRole" in out
    assert "cannot be used: its api is 'anthropic-messages'" in out


def test_the_server_itself_says_what_is_loaded(own_place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served() as url:
        gemma = {"id": "google/gemma-4-26b-a4b", "contextWindow": 262144}
        write(own_place, lms=provider(baseUrl=f"{url}/v1", apiKey="x", models=[gemma]))
        assert main(["doctor", "models", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["models"][0]
        assert main(["models", "--json", "--model", "lms/google/gemma-4-26b-a4b"]) == 0
        listed = json.loads(capsys.readouterr().out)
    loaded = next(model for model in listed["models"] if model["is_loaded"])["instances"][0]["context_tokens"]
    assert found["trouble"] is None
    written = found["written_models"]["providers"]["lms"]["models"][0]["contextWindow"]
    assert (found["differences"][0]["yours"], written) == (262144, loaded)
    assert listed["providers"][0]["models"][0] == {
        "name": "lms/google/gemma-4-26b-a4b",
        "url": url,
        "why_not": None,
    }
