from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.models_json import ProviderModel, parse_models
from agentui.backends.private_models import (
    NO_KEY,
    Compaction,
    PrivateFiles,
    compaction_for,
    private_models,
)
from agentui.events import ModelFacts

GATEWAY = "http://127.0.0.1:1234/v1"
SAFE = {
    "supportsStore": False,
    "supportsDeveloperRole": False,
    "supportsReasoningEffort": False,
    "maxTokensField": "max_tokens",
}
ZERO_COST = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}


def model(fields: dict[str, Any], **provider: Any) -> ProviderModel:
    written = {
        "baseUrl": "http://host.docker.internal:1234/v1",
        "api": "openai-completions",
        "apiKey": "lm-studio",
    }
    whole = {"providers": {"lmstudio": {**written, **provider, "models": [fields]}}}
    return next(parse_models(json.dumps(whole), Path("models.json")).models)


def facts(context_tokens: int | None, name: str = "gemma") -> ModelFacts:
    return ModelFacts(name, name, loaded_context_tokens=context_tokens)


def entry(private: PrivateFiles) -> dict[str, Any]:
    provider = private.models["providers"][private.label.partition("/")[0]]
    found: dict[str, Any] = provider["models"][0]
    return found


@pytest.mark.parametrize(
    ("model_id", "name", "context_tokens", "answer_tokens"),
    [
        ("gemma-4-26b-a4b", "Gemma 4 26B A4B", 32768, 8192),
        ("gemma-4-12b-qat", "Gemma 4 12B QAT", 16384, 4096),
    ],
)
def test_the_guides_examples_come_out_as_they_are_shown(
    model_id: str, name: str, context_tokens: int, answer_tokens: int
) -> None:
    own = {"id": model_id, "name": name, "reasoning": True, "input": ["text", "image"], "cost": ZERO_COST}
    for given_sizes in ({}, {"contextWindow": context_tokens, "maxTokens": answer_tokens}):
        private = private_models(model({**own, **given_sizes}), facts(context_tokens, model_id), GATEWAY)
        assert entry(private) == {**own, "contextWindow": context_tokens, "maxTokens": answer_tokens}
        provider = private.models["providers"]["lmstudio"]
        assert (provider["api"], provider["compat"]) == ("openai-completions", SAFE)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (16_384, Compaction(6_144, 4_096)),
        (32_768, Compaction(6_144, 8_192)),
        (131_072, Compaction(16_384, 32_768)),
        (2_048, Compaction(1_024, 512)),
    ],
)
def test_an_eighth_is_free_and_a_quarter_kept(window: int, expected: Compaction) -> None:
    assert compaction_for(window) == expected


@given(st.integers(512, 1 << 21), st.none() | st.integers(1, 1 << 21))
def test_what_is_written_always_leaves_room_for_a_prompt(window: int, answer: int | None) -> None:
    own = {"id": "gemma"} | ({} if answer is None else {"maxTokens": answer})
    private = private_models(model(own), facts(window), GATEWAY)
    compaction = private.settings["compaction"]
    assert compaction["reserveTokens"] + compaction["keepRecentTokens"] < window
    assert 0 < entry(private)["maxTokens"] <= window // 2
    assert compaction["modelOverrides"] == {
        "lmstudio/gemma": {name: compaction[name] for name in ("reserveTokens", "keepRecentTokens")}
    }


def test_the_loaded_context_stands_instead_of_the_users_and_says_why() -> None:
    private = private_models(model({"id": "gemma", "contextWindow": 131072}), facts(40960), GATEWAY)
    assert entry(private)["contextWindow"] == 40960
    found = next(note for note in private.differences if note.field == "contextWindow")
    assert (found.yours, found.written) == (131072, 40960)
    assert "loaded" in found.reason


def test_where_the_server_does_not_tell_the_users_context_counts() -> None:
    assert (
        entry(private_models(model({"id": "gemma", "contextWindow": 9000}), facts(None), GATEWAY))[
            "contextWindow"
        ]
        == 9000
    )
    untold = private_models(model({"id": "gemma"}), facts(None), GATEWAY)
    assert entry(untold)["contextWindow"] == 32768


def test_the_users_flags_sampling_and_unknown_keys_are_kept() -> None:
    own = {
        "id": "gemma",
        "samplingParams": {"top_k": 64},
        "samplingParamsByThinkingLevel": {"high": {"temperature": 1}},
        "thinkingLevelMap": {"high": None},
        "shiny": 1,
        "compat": {"supportsReasoningEffort": True},
    }
    private = private_models(model(own, compat={"supportsStore": True}, zzz=2), facts(8192), GATEWAY)
    kept = entry(private)
    assert {name: kept[name] for name in own if name not in ("id", "compat")} == {
        name: own[name] for name in own if name not in ("id", "compat")
    }
    provider = private.models["providers"]["lmstudio"]
    assert provider["compat"] == {**SAFE, "supportsStore": True, "supportsReasoningEffort": True}
    assert provider["zzz"] == 2
    noted = {note.field for note in private.differences}
    assert {"compat.supportsDeveloperRole", "compat.maxTokensField"} <= noted
    assert not {"compat.supportsStore", "compat.supportsReasoningEffort"} & noted


def test_no_key_header_or_address_of_the_users_reaches_pi() -> None:
    secret = model({"id": "gemma", "headers": {"X-B": "s3cret"}}, apiKey="s3cret", headers={"X-A": "!s3cret"})
    private = private_models(secret, facts(8192), GATEWAY)
    written = json.dumps([private.models, private.settings])
    assert "s3cret" not in written
    assert "host.docker.internal" not in written
    provider = private.models["providers"]["lmstudio"]
    assert (provider["baseUrl"], provider["apiKey"]) == (GATEWAY, NO_KEY)
    assert "s3cret" not in repr(private.differences)
    assert {"apiKey", "headers.X-A", "headers.X-B", "baseUrl"} <= {note.field for note in private.differences}


def test_the_users_own_compaction_is_kept_where_it_fits_the_window() -> None:
    def written(reserve: object, keep: object) -> Any:
        of_model = {"lmstudio/gemma": {"reserveTokens": reserve, "keepRecentTokens": keep}}
        settings = {"compaction": {"enabled": False, "modelOverrides": of_model}}
        return private_models(model({"id": "gemma"}), facts(16384), GATEWAY, settings).settings["compaction"]

    assert written(3072, 3000)["modelOverrides"]["lmstudio/gemma"] == {
        "reserveTokens": 3072,
        "keepRecentTokens": 3000,
    }
    assert written(3072, 3000)["enabled"] is False
    for reserve, keep in ((16384, 20000), ("a", 1), (None, None), (True, 5)):
        assert written(reserve, keep)["reserveTokens"] == 6144


def test_the_users_own_way_of_thinking_is_kept_and_nothing_else_of_the_settings() -> None:
    yours = {"defaultThinkingLevel": "high", "thinkingBudgets": {"high": 9}, "shellPath": "/bin/evil"}
    written = private_models(model({"id": "gemma"}), facts(16384), GATEWAY, yours).settings
    assert (written["defaultThinkingLevel"], written["thinkingBudgets"]) == ("high", {"high": 9})
    assert "shellPath" not in written
    wrong = {"defaultThinkingLevel": "hard", "thinkingBudgets": 3}
    assert not {"defaultThinkingLevel", "thinkingBudgets"} & set(
        private_models(model({"id": "gemma"}), facts(16384), GATEWAY, wrong).settings
    )


def test_a_model_that_no_list_names_gets_safe_flags_too() -> None:
    private = private_models(None, facts(8192, "qwen/q"), GATEWAY)
    assert private.label == "agentui/qwen/q"
    assert private.models["providers"]["agentui"]["compat"] == SAFE
    assert entry(private)["contextWindow"] == 8192
