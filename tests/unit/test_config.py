from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.config import (
    ConfigFiles,
    Loaded,
    Settings,
    is_private_host,
    load_settings,
    normal_url,
    trust_project,
)
from agentui.config.settings import RULES
from agentui.config.trust import TrustStore
from agentui.errors import ConfigError, UsageError


@pytest.fixture
def files(tmp_path: Path) -> ConfigFiles:
    project = tmp_path / "shop"
    (project / ".agentui").mkdir(parents=True)
    return ConfigFiles(
        user=tmp_path / "config.toml",
        project=project,
        project_file=project / ".agentui" / "config.toml",
        trust=tmp_path / "state" / "trust.json",
        lmstudio=tmp_path / "lms" / "http-server-config.json",
    )


def load(
    files: ConfigFiles, environ: dict[str, str] | None = None, user: str | None = None, **flags: object
) -> Loaded:
    if user is not None:
        files.user.write_text(user)
    return load_settings(flags, environ or {}, files)


def trusted(files: ConfigFiles, content: str) -> None:
    files.project_file.write_text(content)
    assert trust_project(files)


def write_lmstudio(files: ConfigFiles, **held: Any) -> None:
    files.lmstudio.parent.mkdir()
    files.lmstudio.write_text(json.dumps(held))


def test_without_anything_the_defaults_count(files: ConfigFiles) -> None:
    loaded = load(files)
    assert loaded.settings == Settings()
    assert {origin.kind for origin in loaded.origins.values()} == {"default"}
    assert loaded.warnings == ()


def test_each_source_wins_over_the_next(files: ConfigFiles) -> None:
    user = "max_turns = 1\nmodel = 'u'\ntheme = 'u'\nharness = 'loop'\n"
    trusted(files, "max_turns = 2\nmodel = 'p'\n")
    environ = {"AGENTUI_MAX_TURNS": "3"}
    loaded = load(files, environ, user)
    assert (loaded.settings.max_turns, loaded.settings.model, loaded.settings.theme) == (3, "p", "u")
    assert str(loaded.origins["max_turns"]) == "environment AGENTUI_MAX_TURNS"
    assert loaded.origins["model"].kind == "project file"
    assert str(loaded.origins["theme"]) == f"user file {files.user}"
    flagged = load(files, environ, user, max_turns=4)
    assert flagged.settings.max_turns == 4
    assert str(flagged.origins["max_turns"]) == "flag --max-turns"


def test_every_setting_can_be_set_in_the_users_file(files: ConfigFiles) -> None:
    user = """
        url = "http://10.0.0.7:1234/v1/"
        api_key = "sk-x"
        model = "m"
        models_file = "m.json"
        context_tokens = "64k"
        harness = "loop"
        sandbox = "docker"
        profile = "default"
        apply = "auto"
        approve = "ask"
        max_turns = 7
        command_timeout_s = 30
        theme = "nord"
        system_file = "prompt.md"
        base_image = "debian:trixie-slim"
        [keys]
        "run.pause" = "f5"
        [limits]
        memory = "3 GiB"
        cpus = 1.5
        pids = 100
        tmp = "64 MiB"
        files = 512
        [research]
        allow = ["api.example.com:443"]
        [seed]
        include = ["data/*.csv"]
        exclude = ["big/"]
        limit = "2 GiB"
        [sampling]
        temperature = 0.2
        top_p = 0.9
        top_k = 40
        min_p = 0.05
        repeat_penalty = 1.1
        seed = 42
        max_tokens = 4096
        [samples]
        memory_s = 2
        rate_s = 2
        process_s = 3
        [sessions]
        keep_days = 90
        keep_size = "5 GiB"
        [pi]
        place = "host"
        extensions = ["asker"]
    """
    user += f'[checks."{files.project}"]\nimage = "python:3.12-slim"\ntest = "pytest {{args}}"\n'
    loaded = load(files, user=user)
    assert loaded.warnings == ()
    assert {origin.kind for origin in loaded.origins.values()} == {"user file"}
    found = loaded.settings
    assert found.url == "http://10.0.0.7:1234"
    assert found.context_tokens == 65536
    assert found.memory_limit_bytes == 3 << 30
    assert (found.tmp_bytes, found.open_files) == (64 << 20, 512)
    assert found.system_file == files.user.parent / "prompt.md"
    assert found.keymap == (("run.pause", "f5"),)
    assert list(found.sampling) == ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed"]
    default = Settings()
    same = [f.name for f in dataclasses.fields(Settings) if getattr(found, f.name) == getattr(default, f.name)]
    assert same == ["harness", "profile", "provider"]


def test_unknown_names_are_told_with_the_nearest_one(files: ConfigFiles) -> None:
    loaded = load(files, {"AGENTUI_MODLE": "x"}, "modle = 'x'\n[limits]\nmemroy = '1g'\n[other]\nx = 1\n")
    text = "\n".join(loaded.warnings)
    assert "AGENTUI_MODLE; did you mean AGENTUI_MODEL?" in text
    assert "'modle'" in text
    assert "did you mean model?" in text
    assert "did you mean limits.memory?" in text
    assert "'other'" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_turns = 0", "'max_turns'"),
        ("max_turns = true", "must be a number"),
        ("max_turns = 2.5", "whole number"),
        ("apply = 'always'", "ask, auto, never"),
        ("context_tokens = '64 kB of'", "64k"),
        ("url = 'ftp://x'", "http or https"),
        ("url = 'http://me:pw@host'", "api_key"),
        ("seed.include = [1]", "list of texts"),
        ("keys = 'f5'", "table"),
        ("= broken", "TOML"),
        pytest.param("max_turns = " + "[" * 5000, "nested too deeply", id="deep"),
        pytest.param("max_turns = " + "9" * 5000, "TOML", id="digits"),
    ],
)
def test_a_wrong_value_names_file_and_key(files: ConfigFiles, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(files, user=line + "\n")
    assert str(files.user) in caught.value.message
    assert said in caught.value.message


def test_a_wrong_flag_is_a_usage_error_that_names_it(files: ConfigFiles) -> None:
    with pytest.raises(UsageError, match="--max-turns must be a number") as caught:
        load(files, max_turns="many")
    assert not isinstance(caught.value, ConfigError)


def test_a_wrong_variable_is_named(files: ConfigFiles) -> None:
    with pytest.raises(ConfigError, match="AGENTUI_APPLY in the environment must be one of"):
        load(files, {"AGENTUI_APPLY": "yes"})


def test_no_sandbox_must_be_typed_each_time(files: ConfigFiles) -> None:
    with pytest.raises(ConfigError, match="typed each time"):
        load(files, user="sandbox = 'none'\n")
    files.user.unlink()
    with pytest.raises(ConfigError, match="typed each time"):
        load(files, {"AGENTUI_SANDBOX": "none"})
    assert load(files, sandbox="none").settings.sandbox == "none"


# --- the project's file --------------------------------------------------------------------------


def test_a_project_file_counts_only_while_it_is_what_was_agreed_to(files: ConfigFiles) -> None:
    files.project_file.write_text("max_turns = 5\n")
    before = load(files)
    assert before.settings.max_turns == Settings().max_turns
    assert before.warnings[0].startswith(f"{files.project_file} is not used")
    assert "--trust-project" in before.warnings[0]
    assert trust_project(files)
    assert load(files).settings.max_turns == 5
    files.project_file.write_text("max_turns = 6\n")
    assert load(files).settings.max_turns == Settings().max_turns


def test_trust_is_for_one_folder_and_kept_privately(files: ConfigFiles, tmp_path: Path) -> None:
    trusted(files, "max_turns = 5\n")
    other = tmp_path / "other"
    (other / ".agentui").mkdir(parents=True)
    (other / ".agentui" / "config.toml").write_text("max_turns = 5\n")
    elsewhere = dataclasses.replace(files, project=other, project_file=other / ".agentui" / "config.toml")
    assert "is not used" in load(elsewhere).warnings[0]
    assert stat.S_IMODE(files.trust.stat().st_mode) == 0o600
    files.trust.write_text("{broken")
    assert "is not used" in load(files).warnings[0]


FORBIDDEN = ["url", "api_key", "sandbox", "apply", "approve", "base_image", "keymap", "theme", "profile"]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_project_may_not_decide_over_the_users_machine(files: ConfigFiles, name: str) -> None:
    key = RULES[name].key
    lines = {"keymap": "[keys]\n'run.apply' = 'space'\n"}
    content = lines.get(name, f"{key} = 'docker'\n")
    files.project_file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        trust_project(files)
    assert str(files.project_file) in caught.value.message
    assert repr(key) in caught.value.message
    TrustStore(files.trust).trust_project(files.project, _digest(content))
    with pytest.raises(ConfigError):
        load(files)


def _digest(content: str) -> str:
    from agentui.config.trust import digest_of

    return digest_of(content.encode())


def test_a_projects_system_file_must_lie_in_the_project(files: ConfigFiles) -> None:
    trusted(files, "system_file = 'prompts/agent.md'\n")
    assert load(files).settings.system_file == files.project / "prompts" / "agent.md"
    for path in ("../../secret", "/etc/passwd", "~/.ssh/id_rsa"):
        files.project_file.write_text(f"system_file = '{path}'\n")
        with pytest.raises(ConfigError, match="out of the project"):
            trust_project(files)
    (files.project / "link").symlink_to("/etc/passwd")
    files.project_file.write_text("system_file = 'link'\n")
    with pytest.raises(ConfigError, match="out of the project"):
        trust_project(files)


def test_a_huge_settings_file_is_refused(files: ConfigFiles) -> None:
    files.user.write_bytes(b"#" * (300 * 1024))
    with pytest.raises(ConfigError, match="no settings file"):
        load(files)


# --- addresses and keys --------------------------------------------------------------------------


def test_lmstudios_own_port_comes_before_the_default(files: ConfigFiles) -> None:
    write_lmstudio(files, port=4321, networkInterface="0.0.0.0")
    loaded = load(files)
    assert loaded.settings.url == "http://127.0.0.1:4321"
    assert loaded.origins["url"].kind == "LM Studio"
    assert load(files, url="localhost:1").settings.url == "http://localhost:1"


@pytest.mark.parametrize("held", [b"", b"[]", b'{"port": "x"}', b'{"port": 0}', b'{"port": true}', b"\xff"])
def test_an_odd_lmstudio_file_is_ignored(files: ConfigFiles, held: bytes) -> None:
    files.lmstudio.parent.mkdir()
    files.lmstudio.write_bytes(held)
    assert load(files).settings.url == Settings().url


def test_openai_key_goes_only_where_the_environment_sent_it(files: ConfigFiles) -> None:
    environ = {"OPENAI_API_KEY": "sk-openai"}
    assert load(files, environ).settings.api_key is None
    environ["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    assert load(files, environ).settings.api_key == "sk-openai"
    assert load(files, environ).settings.url == "http://127.0.0.1:9"
    assert load(files, environ, url="http://127.0.0.1:8").settings.api_key is None
    assert load(files, {**environ, "AGENTUI_URL": "http://127.0.0.1:7"}).settings.api_key is None


def test_lmstudio_token_goes_to_private_hosts_only(files: ConfigFiles) -> None:
    environ = {"LM_API_TOKEN": "sk-lm"}
    assert load(files, environ).settings.api_key == "sk-lm"
    assert load(files, environ, url="http://192.168.1.9:1234").settings.api_key == "sk-lm"
    assert load(files, environ, url="https://api.example.com").settings.api_key is None
    both = load(files, {**environ, "AGENTUI_API_KEY": "mine"}, url="https://api.example.com")
    assert both.settings.api_key == "mine"


def test_the_files_key_stays_with_the_files_server(files: ConfigFiles) -> None:
    user = "api_key = 'sk-file'\nurl = 'http://10.0.0.1:1'\n"
    assert load(files, user=user).settings.api_key == "sk-file"
    loaded = load(files, url="http://10.0.0.2:1")
    assert loaded.settings.api_key is None
    assert "not sent to http://10.0.0.2:1" in loaded.warnings[0]
    assert "sk-file" not in loaded.warnings[0]


def test_keys_show_in_no_repr_and_no_error(files: ConfigFiles) -> None:
    assert "sk-1" not in repr(load(files, {"AGENTUI_API_KEY": "sk-1"}))
    with pytest.raises(ConfigError) as caught:
        load(files, {"AGENTUI_API_KEY": "sk-2\n\x00"})
    assert "sk-2" not in caught.value.message


def test_a_public_host_from_the_environment_needs_a_yes(files: ConfigFiles) -> None:
    environ = {"AGENTUI_URL": "https://api.example.com/v1"}
    assert load(files, environ).remote_host == "api.example.com"
    assert load(files, environ, url="https://api.example.com").remote_host is None
    assert load(files, {"AGENTUI_URL": "http://192.168.0.2:1234"}).remote_host is None
    TrustStore(files.trust).trust_host("api.example.com")
    assert load(files, environ).remote_host is None


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("mac-studio", True),
        ("mac.local", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("169.254.1.1", True),
        ("100.101.102.103", True),
        ("fe80::1%en0", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("api.example.com", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_private_hosts_are_told_from_public_ones(host: str, private: bool) -> None:
    assert is_private_host(host) is private


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("localhost:1234", "http://localhost:1234"),
        ("1234", "http://127.0.0.1:1234"),
        (":1234", "http://127.0.0.1:1234"),
        ("http://LOCALHOST:1234/", "http://localhost:1234"),
        ("http://h/v1", "http://h"),
        ("http://h/v1/", "http://h"),
        ("https://h/api/v1", "https://h/api"),
        ("http://[::1]:80/v1", "http://[::1]:80"),
    ],
)
def test_addresses_have_one_form(typed: str, normal: str) -> None:
    assert normal_url(typed) == normal
    assert normal_url(normal) == normal


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        found = normal_url(text)
    except ValueError:
        return
    assert normal_url(found) == found
    assert found.startswith(("http://", "https://"))


def test_every_setting_has_one_key_and_one_variable() -> None:
    assert set(RULES) == {f.name for f in dataclasses.fields(Settings)} - {"checks", "provider"}
    assert len({rule.key for rule in RULES.values()}) == len(RULES)
    assert len({rule.variable for rule in RULES.values()}) == len(RULES)
    assert RULES["base_image"].variable == "AGENTUI_BASE_IMAGE"
