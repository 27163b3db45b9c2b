from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.models_json import ModelsFile, parse_models, read_models_file
from agentui.backends.provider_values import (
    commands_of,
    output_of,
    resolved_route,
    with_variables,
)
from agentui.config.provider import ProviderRoute
from agentui.errors import BackendUnavailable, ConfigError
from tests.unit.test_program import HANGS, is_gone

PATH = Path("/home/u/.pi/agent/models.json")
PI_EXAMPLE = """{
  // as in Pi's guide
  "providers": {
    "lmstudio": {
      "name": "LM Studio",
      "baseUrl": "http://host.docker.internal:1234/v1",
      "api": "openai-completions",
      "apiKey": "lm-studio",
      "compat": { "supportsStore": false, "supportsDeveloperRole": false, "maxTokensField": "max_tokens" },
      "models": [
        { "id": "gemma-4-26b-a4b", "name": "Gemma 4 26B A4B", "reasoning": true, "input": ["text", "image"],
          "contextWindow": 32768, "maxTokens": 8192, "compat": { "supportsStore": true },
          "samplingParams": { "top_k": 64 }, "samplingParamsByThinkingLevel": { "high": { "temperature": 1 } },
          "thinkingLevelMap": { "high": "hard", "low": null } },
        { "id": "gemma3:12b", "baseUrl": "http://127.0.0.1:11434/v1", },
      ],
    },
    "claude": { "api": "anthropic-messages", "baseUrl": "https://api.anthropic.com",
                "models": [{ "id": "big" }] },
    "openai": { "modelOverrides": { "gpt": { "contextWindow": 1000 } } },
    "open": { "api": "openai-completions", "baseUrl": "http://gpu.lan:8000", "headers": { "X-Team": "$TEAM" },
              "modelOverrides": { "q": { "contextWindow": 9000, "compat": { "supportsStore": true } } } }
  }
}"""


def example() -> ModelsFile:
    return parse_models(PI_EXAMPLE, PATH)


def route(name: str) -> ProviderRoute:
    found = example().find(name)
    assert found is not None
    return found[0].route(found[1])


def test_a_model_has_its_providers_address_key_and_flags_its_own_flags_first() -> None:
    found = route("lmstudio/gemma-4-26b-a4b")
    assert (found.model, found.url, found.api_key) == ("gemma-4-26b-a4b", "http://127.0.0.1:1234", "lm-studio")
    assert found.compat == {
        "supportsStore": True,
        "supportsDeveloperRole": False,
        "maxTokensField": "max_tokens",
    }
    assert (found.context_tokens, found.max_tokens, found.reasoning) == (32768, 8192, True)
    assert found.sampling == {"top_k": 64}


def test_a_level_of_thinking_follows_a_colon_but_a_colon_of_the_id_stays() -> None:
    high = route("lmstudio/gemma-4-26b-a4b:high")
    assert (high.model, high.thinking_level) == ("gemma-4-26b-a4b", "high")
    assert high.sampling == {"top_k": 64, "temperature": 1}
    assert route("lmstudio/gemma3:12b").model == "gemma3:12b"
    assert route("lmstudio/gemma3:12b:low").thinking_level == "low"
    with pytest.raises(ConfigError, match="no thinking level 'low'"):
        route("lmstudio/gemma-4-26b-a4b:low")


def test_what_cannot_be_used_says_why() -> None:
    why = {model.label: model.why_not for model in example().models}
    assert why["lmstudio/gemma-4-26b-a4b"] is None
    assert "anthropic-messages" in str(why["claude/big"])
    built_in = example().find("openai/gpt")
    assert built_in is not None
    assert "built into Pi" in str(built_in[0].why_not)
    with pytest.raises(ConfigError, match="cannot be used"):
        built_in[0].route()


def test_a_provider_that_lists_nothing_takes_any_id_with_its_overrides() -> None:
    found = route("open/q")
    assert (found.url, found.context_tokens, found.compat) == (
        "http://gpu.lan:8000",
        9000,
        {"supportsStore": True},
    )
    assert route("open/other").context_tokens is None


def test_overrides_hold_for_listed_models_too_and_merge_as_in_pi() -> None:
    provider = {
        "baseUrl": "http://gpu.lan:8000/v1",
        "api": "openai-completions",
        "headers": {"X-A": "provider", "X-B": "provider", "X-C": "provider"},
        "compat": {"supportsStore": True, "chatTemplateKwargs": {"a": 1, "b": 1}},
        "models": [
            {
                "id": "q",
                "name": "Own",
                "contextWindow": 1000,
                "headers": {"X-B": "model"},
                "compat": {"chatTemplateKwargs": {"b": 2}},
                "samplingParams": {"top_k": 1, "top_p": 1},
                "samplingParamsByThinkingLevel": {"high": {"min_p": 1}, "low": {"min_p": 2}},
            },
            {"id": "other"},
        ],
        "modelOverrides": {
            "q": {
                "name": "Over",
                "contextWindow": 9000,
                "headers": {"X-B": "override", "X-C": "override"},
                "compat": {"supportsStore": False, "chatTemplateKwargs": {"c": 3}},
                "samplingParams": {"top_p": 2},
                "samplingParamsByThinkingLevel": {"high": {"temperature": 1}},
            },
            "unknown": {"contextWindow": 5},
        },
    }
    file = parse_models(json.dumps({"providers": {"p": provider}}), PATH)
    first, other = file.models
    assert (first.name, first.context_tokens, other.context_tokens) == ("Over", 9000, None)
    assert first.headers == {"X-A": "provider", "X-B": "model", "X-C": "override"}
    assert first.compat == {"supportsStore": False, "chatTemplateKwargs": {"a": 1, "b": 2, "c": 3}}
    assert first.route("high").sampling == {"top_k": 1, "top_p": 2, "min_p": 1, "temperature": 1}
    assert first.route("low").sampling == {"top_k": 1, "top_p": 2, "min_p": 2}


def test_of_a_model_that_is_listed_twice_the_last_counts_and_it_is_said() -> None:
    text = '{"providers": {"a": {"models": [{"id": "m"},\n {"id": "x"}, {"id": "m", "name": "2"}]}}}'
    file = parse_models(text, PATH)
    assert [(model.id, model.name) for model in file.models] == [("m", "2"), ("x", "x")]
    assert [(found.where, found.line) for found in file.given_twice] == [("providers.a.models[2].id", 2)]


def test_names_of_other_models_mean_none() -> None:
    assert example().find("google/gemma-4-12b") is None
    assert example().find("lmstudio/unknown") is None
    assert example().find("lmstudio/") is None


def test_no_secret_is_in_a_repr() -> None:
    text = PI_EXAMPLE.replace("lm-studio", "sk-secret").replace("$TEAM", "sk-secret")
    file = parse_models(text, PATH)
    held = [file, *file.models, *(model.route() for model in file.models if model.why_not is None)]
    assert "sk-secret" not in repr(held)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"providers": {"a": {"models": [{}]}}}',
            r"column 33: providers\.a\.models\[0\]: expected a field \"id\"",
        ),
        ("{}", 'column 1: expected a field "providers"'),
        ("[]", "expected an object, not a list"),
        (
            '{"providers": {"a": {"models": [\n  {"id": "m", "contextWindow": "32k"}]}}}',
            r"line 2, column 15: .*contextWindow: expected a whole number of tokens above 0, not \"32k\"",
        ),
        (
            '{"providers": {"a": {"api": "openai-completions", "compat": {"maxTokensField": "n"}}}}',
            "expected one of max_completion_tokens, max_tokens",
        ),
        ('{"providers": {"a": {"apiKey": 5}}}', r"apiKey: expected a text: the value, \$NAME or !command"),
        ('{"providers": {"a" {}}}', "line 1, column 20: found '{'; expected a colon"),
    ],
)
def test_a_mistake_has_line_column_and_what_is_expected(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_models(text, PATH)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"compat": {"cacheControlFormat": "x"}}, "compat.cacheControlFormat: expected one of anthropic; not"),
        ({"compat": {"promptCacheKeyMode": "x"}}, "expected one of auto, enabled, disabled; not"),
        (
            {"compat": {"sessionAffinityFormat": "x"}},
            "one of openai, openai-nosession, openrouter; not",
        ),
        ({"inputLimits": {"images": 5}}, "inputLimits.images: expected an object, not 5"),
        ({"inputLimits": {"images": {"resize": {"maxWidth": 0}}}}, "expected a whole number above 0, not 0"),
        ({"cost": {"input": 1}}, 'expected a field "output" here'),
    ],
)
def test_what_pi_would_refuse_the_whole_file_for_is_a_mistake_here_too(
    fields: dict[str, Any], message: str
) -> None:
    provider = {"baseUrl": "http://h", "api": "openai-completions", "models": [{"id": "m", **fields}]}
    with pytest.raises(ConfigError) as caught:
        parse_models(json.dumps({"providers": {"p": provider}}), PATH)
    assert message in caught.value.message


def test_an_override_of_a_part_of_the_cost_leaves_a_whole_one() -> None:
    overrides = {"m": {"cost": {"output": 2}}}
    provider = {"baseUrl": "http://h", "api": "openai-completions", "models": [{"id": "m"}]}
    text = json.dumps({"providers": {"p": {**provider, "modelOverrides": overrides}}})
    (model,) = parse_models(text, PATH).models
    assert model.fields["cost"] == {"input": 0, "output": 2, "cacheRead": 0, "cacheWrite": 0}


def test_unknown_fields_are_kept_and_named_with_their_line() -> None:
    text = '{"providers": {"a": {\n "zzz": 1, "models": [{"id": "m",\n "shiny": {}}]}}}'
    file = parse_models(text, PATH)
    assert [(found.where, found.line) for found in file.unknown] == [
        ("providers.a.zzz", 2),
        ("providers.a.models[0].shiny", 3),
    ]
    assert next(file.models).fields["shiny"] == {}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "models", "compat", "api", "baseUrl", "headers", "modelOverrides", "contextWindow"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=3))
def test_any_json_is_read_or_refused(providers: dict[str, Any]) -> None:
    try:
        file = parse_models(json.dumps({"providers": providers}), PATH)
    except ConfigError:
        return
    for model in file.models:
        assert model.why_not is not None or model.route().url.startswith("http")
        assert file.find(model.label) is not None or not model.provider or "/" in model.provider


def test_an_absent_file_holds_nothing_unless_it_was_named(tmp_path: Path) -> None:
    assert read_models_file(tmp_path / "none.json").providers == ()
    with pytest.raises(ConfigError, match="there is no"):
        read_models_file(tmp_path / "none.json", must_exist=True)


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("$KEY", "k1"),
        ("Bearer ${KEY}!", "Bearer k1!"),
        ("$$KEY", "$KEY"),
        ("$!sh", "!sh"),
        ("5$", "5$"),
        ("${1x}", "${1x}"),
        ("a${KEY", "a${KEY"),
    ],
)
def test_variables_are_filled_in_as_pi_does(value: str, expected: str) -> None:
    assert with_variables(value, {"KEY": "k1"}, "the key") == expected


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match="variable NO_SUCH, which is not set"):
        with_variables("$NO_SUCH", {}, "the key")


def test_a_command_runs_once_for_all_values_and_its_output_is_trimmed(tmp_path: Path) -> None:
    command = f"echo x >> {tmp_path}/ran; printf ' tok \\n'"
    written = ProviderRoute("p", "m", "http://h", f"!{command}", (("X-Key", f"!{command}"), ("X-B", "b")))
    assert commands_of(written) == (command,)
    found = resolved_route(written, {"PATH": os.environ["PATH"]}, tmp_path)
    assert (found.api_key, dict(found.headers)) == ("tok", {"X-Key": "tok", "X-B": "b"})
    assert (tmp_path / "ran").read_text() == "x\n"


@pytest.mark.parametrize(("command", "why"), [("exit 3", "exit code 3"), ("true", "printed nothing")])
def test_a_command_that_gives_nothing_says_why(command: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=why):
        output_of(command, dict(os.environ), tmp_path, "the key")


def test_a_command_that_hangs_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentui.backends.provider_values.COMMAND_S", 0.3)
    with pytest.raises(BackendUnavailable, match="did not end"):
        output_of(HANGS, dict(os.environ), tmp_path, "the key")
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("value", ["a\nX-Evil: 1", "ключ"])
def test_no_value_can_add_a_header(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no header can carry"):
        resolved_route(ProviderRoute("p", "m", "http://h", "k", (("X", value),)), {}, tmp_path)
    with pytest.raises(ConfigError, match="no name of a header"):
        resolved_route(ProviderRoute("p", "m", "http://h", "k", (("X y", "v"),)), {}, tmp_path)
