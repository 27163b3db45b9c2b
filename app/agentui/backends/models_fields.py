"""The form of ``models.json``: which fields there are, and what each may be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from agentui.backends.jsonc import KeyPath

Problem: TypeAlias = tuple[KeyPath, str]
"""Where a value is not what it must be, and what was expected there."""

_Check: TypeAlias = "Callable[[Any, KeyPath], Problem | None]"


def dotted(where: KeyPath) -> str:
    """A place in words: ``providers.lmstudio.models[0].id``."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _shown(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value[:40]}"'
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return str(value)[:40]


def _is(kinds: type | tuple[type, ...], expected: str) -> _Check:
    def check(value: Any, where: KeyPath) -> Problem | None:
        is_bool = isinstance(value, bool)
        if isinstance(value, kinds) and (not is_bool or kinds is bool):
            return None
        return where, f"expected {expected}, not {_shown(value)}"

    return check


def _secret(value: Any, where: KeyPath) -> Problem | None:
    """A text that no message repeats."""
    is_good = isinstance(value, str) and bool(value.strip())
    return None if is_good else (where, "expected a text: the value, $NAME or !command")


def _filled(value: Any, where: KeyPath) -> Problem | None:
    is_good = isinstance(value, str) and bool(value.strip())
    return None if is_good else (where, f"expected a text that is not empty, not {_shown(value)}")


def _tokens(value: Any, where: KeyPath) -> Problem | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value == int(value) and 0 < value <= 1 << 30:
        return None
    return where, f"expected a whole number of tokens above 0, not {_shown(value)}"


def _above_0(value: Any, where: KeyPath) -> Problem | None:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return None
    return where, f"expected a whole number above 0, not {_shown(value)}"


def _one_of(*words: str) -> _Check:
    def check(value: Any, where: KeyPath) -> Problem | None:
        return None if value in words else (where, f"expected one of {', '.join(words)}; not {_shown(value)}")

    return check


def _list_of(item: _Check) -> _Check:
    def check(value: Any, where: KeyPath) -> Problem | None:
        if not isinstance(value, list):
            return where, f"expected a list, not {_shown(value)}"
        return next((found for number, one in enumerate(value) if (found := item(one, (*where, number)))), None)

    return check


def _table_of(item: _Check) -> _Check:
    def check(value: Any, where: KeyPath) -> Problem | None:
        if not isinstance(value, dict):
            return where, f"expected an object, not {_shown(value)}"
        return next((found for name, one in value.items() if (found := item(one, (*where, name)))), None)

    return check


def _fields(known: Mapping[str, _Check], *required: str) -> _Check:
    def check(value: Any, where: KeyPath) -> Problem | None:
        if not isinstance(value, dict):
            return where, f"expected an object, not {_shown(value)}"
        for name in required:
            if name not in value:
                return where, f'expected a field "{name}" here'
        for name, one in value.items():
            if name in known and (found := known[name](one, (*where, name))):
                return found
        return None

    return check


def _anything(value: Any, where: KeyPath) -> Problem | None:
    return None


_text = _is(str, "a text in quotes")
_flag = _is(bool, "true or false")
_number = _is((int, float), "a number")
_object = _is(dict, "an object")


def _level_word(value: Any, where: KeyPath) -> Problem | None:
    is_good = value is None or isinstance(value, str)
    return None if is_good else (where, f"expected a text or null, not {_shown(value)}")


COMPAT_FIELDS: Mapping[str, _Check] = {
    **dict.fromkeys(
        (
            "supportsStore",
            "supportsDeveloperRole",
            "supportsReasoningEffort",
            "supportsUsageInStreaming",
            "supportsFinishReason",
            "requiresToolResultName",
            "requiresAssistantAfterToolResult",
            "requiresNonNullAssistantContent",
            "requiresToolsWithToolHistory",
            "requiresThinkingAsText",
            "requiresReasoningContentOnAssistantMessages",
            "supportsThinkingTokenBudget",
            "supportsStrictMode",
            "supportsMidConvoSystemMessages",
            "supportsMidConvoToolAdditions",
            "supportsOpenAIGrammarTools",
            "sendSessionAffinityHeaders",
            "supportsLongCacheRetention",
            "zaiToolStream",
        ),
        _flag,
    ),
    "maxTokensField": _one_of("max_completion_tokens", "max_tokens"),
    "thinkingFormat": _one_of(
        "openai",
        "openrouter",
        "deepseek",
        "together",
        "baseten",
        "zai",
        "qwen",
        "chat-template",
        "qwen-chat-template",
        "string-thinking",
        "ant-ling",
    ),
    "chatTemplateKwargs": _object,
    "chatTemplateArgs": _object,
    "thinkingTokenBudgetField": _one_of("thinking_token_budget", "thinking_budget", "thinking_budget_tokens"),
    "cacheControlFormat": _one_of("anthropic"),
    "promptCacheKeyMode": _one_of("auto", "enabled", "disabled"),
    "sessionAffinityFormat": _one_of("openai", "openai-nosession", "openrouter"),
    "vllmPriority": _number,
    "openRouterRouting": _object,
    "vercelGatewayRouting": _object,
}

COST_FIELDS = ("input", "output", "cacheRead", "cacheWrite")
"""Pi refuses a whole file where one of them is missing in a model's cost; an override may name some."""
_COST = {name: _number for name in COST_FIELDS}
_TIER = {"inputTokensAbove": _number, **_COST}
_COST_AND_TIERS = {**_COST, "tiers": _list_of(_fields(_TIER, *_TIER))}
_RESIZE: Mapping[str, _Check] = dict.fromkeys(("maxWidth", "maxHeight", "maxBytes", "jpegQuality"), _above_0)
_IMAGES = {"resize": _fields(_RESIZE), "maxPerMessage": _above_0, "maxPerRequest": _above_0}
_OVERRIDE_FIELDS: Mapping[str, _Check] = {
    "name": _filled,
    "reasoning": _flag,
    "thinkingLevelMap": _table_of(_level_word),
    "input": _list_of(_one_of("text", "image")),
    "inputLimits": _fields({"maxRequestBytes": _above_0, "images": _fields(_IMAGES)}),
    "cost": _fields(_COST_AND_TIERS),
    "promptCache": _object,
    "contextWindow": _tokens,
    "maxTokens": _tokens,
    "samplingParams": _object,
    "samplingParamsByThinkingLevel": _table_of(_object),
    "headers": _table_of(_secret),
    "compat": _object,
}
MODEL_FIELDS: Mapping[str, _Check] = {
    **_OVERRIDE_FIELDS,
    "id": _filled,
    "api": _filled,
    "baseUrl": _filled,
    "cost": _fields(_COST_AND_TIERS, *_COST),
}
PROVIDER_FIELDS: Mapping[str, _Check] = {
    "name": _filled,
    "baseUrl": _filled,
    "api": _filled,
    "apiKey": _secret,
    "headers": _table_of(_secret),
    "authHeader": _flag,
    "oauth": _anything,
    "compat": _object,
    "models": _list_of(_fields(MODEL_FIELDS, "id")),
    "modelOverrides": _table_of(_fields(_OVERRIDE_FIELDS)),
}
_FILE = _fields({"$schema": _text, "providers": _table_of(_fields(PROVIDER_FIELDS))}, "providers")


def problem_of(value: Any) -> Problem | None:
    """What is wrong with a whole file; flags of `compat` are checked where our protocol reads them."""
    found = _FILE(value, ())
    if found is not None:
        return found
    check = _fields(COMPAT_FIELDS)
    return next((bad for where, compat in _compats(value) if (bad := check(compat, where))), None)


def unknown_fields(value: Mapping[str, Any]) -> Iterator[KeyPath]:
    """Places of all fields that the form does not have, in a file without problems."""
    yield from ((name,) for name in value if name not in ("$schema", "providers"))
    for provider_id, provider in value["providers"].items():
        at: KeyPath = ("providers", provider_id)
        yield from ((*at, name) for name in provider if name not in PROVIDER_FIELDS)
        for number, model in enumerate(provider.get("models", [])):
            yield from ((*at, "models", number, name) for name in model if name not in MODEL_FIELDS)
        for model_id, model in provider.get("modelOverrides", {}).items():
            below = (*at, "modelOverrides", model_id)
            yield from ((*below, name) for name in model if name not in _OVERRIDE_FIELDS)
    for where, compat in _compats(value):
        for name in compat:
            if name not in COMPAT_FIELDS:
                yield (*where, name)


def _compats(value: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """The `compat` of everything that speaks our protocol; others have flags of their own."""
    for provider_id, provider in value["providers"].items():
        at: KeyPath = ("providers", provider_id)
        api = provider.get("api")
        if "compat" in provider and api in (None, "openai-completions"):
            yield (*at, "compat"), provider["compat"]
        for number, model in enumerate(provider.get("models", [])):
            if "compat" in model and model.get("api", api) == "openai-completions":
                yield (*at, "models", number, "compat"), model["compat"]
        for model_id, model in provider.get("modelOverrides", {}).items():
            if "compat" in model and api == "openai-completions":
                yield (*at, "modelOverrides", model_id, "compat"), model["compat"]
