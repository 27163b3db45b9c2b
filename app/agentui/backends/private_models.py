"""What Pi gets instead of the user's own ``models.json`` and ``settings.json``: one model, as loaded. Pure.

The user's compat flags and sampling keys stay; what would make a local model fail is set right, each with the
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from agentui.backends.models_json import (
    CHAT_API,
    DEFAULT_CONTEXT_TOKENS,
    DEFAULT_MAX_TOKENS,
    THINKING_LEVELS,
    ProviderModel,
)
from agentui.events import ModelFacts

PROVIDER = "agentui"
"""The provider of a model that no list names."""
NO_KEY = "agentui"
"""Pi does not offer a model without a key; the real one stays with us."""
UNTOLD_CONTEXT_TOKENS = 32_768
"""Where nobody says what is loaded: too small costs a compaction, too large the run."""
LEAST_RESERVE_TOKENS = 6_144
"""Pi keeps 4,096 tokens of a window free beside the answer and cuts what reaches into them; 2,048 answer."""
MOST_RETRIES = 10_000
"""A frozen answer costs Pi one of them; how often a failing server is asked is counted by us."""
MOST_RETRY_DELAY_MS = 2_000
"""Pi doubles the delay with each retry: what is frozen often would go on later and later."""

SAFE_COMPAT: Mapping[str, tuple[Any, str]] = {
    "supportsStore": (False, "Pi would send store, which local servers do not know"),
    "supportsDeveloperRole": (False, "chat templates of local models refuse the role developer"),
    "supportsReasoningEffort": (False, "Pi would send reasoning_effort, which few local models know"),
    "maxTokensField": ("max_tokens", "Pi would send max_completion_tokens, which local servers ignore"),
}
"""Flags that hold for every local server, with the reason; the user's own win."""

_OF_THE_MODEL = frozenset(
    {"id", "api", "baseUrl", "headers", "compat", "contextWindow", "maxTokens", "promptCache"}
)
_OF_THE_PROVIDER = frozenset(
    {"baseUrl", "api", "apiKey", "headers", "authHeader", "oauth", "compat", "models", "modelOverrides"}
)


_OWN_SETTINGS: Mapping[str, Callable[[Any], bool]] = {
    "defaultThinkingLevel": lambda value: value in THINKING_LEVELS,
    "thinkingBudgets": lambda value: isinstance(value, dict),
}
"""What else of the user's settings concerns what the model is asked, and how it must look."""

_UNLISTED: Mapping[str, Any] = {
    "reasoning": True,
    "input": ["text"],
    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that Pi sees otherwise than the user wrote it. ``None``: not given, or not written."""

    field: str
    yours: Any
    written: Any
    reason: str


@dataclass(frozen=True, slots=True)
class PrivateFiles:
    """The JSON of the two files for Pi, the model's name there, and how they differ from the user's."""

    label: str
    models: Mapping[str, Any]
    settings: Mapping[str, Any]
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Compaction:
    """When Pi summarises: `reserve_tokens` before the window's end, keeping about `keep_recent_tokens`."""

    reserve_tokens: int
    keep_recent_tokens: int


def compaction_for(window_tokens: int) -> Compaction:
    """An eighth of the window free for the answer, a quarter kept; Pi's own figures fail in small windows."""
    reserve = min(max(LEAST_RESERVE_TOKENS, window_tokens // 8), window_tokens // 2)
    return Compaction(reserve, window_tokens // 4)


def private_models(
    model: ProviderModel | None,
    facts: ModelFacts,
    base_url: str,
    user_settings: Mapping[str, Any] | None = None,
    *,
    sampling: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
) -> PrivateFiles:
    """The files for a model as it is loaded.

    Args:
        model: What the user's list says of it, ``None`` where no list names it.
        facts: What the server says of it.
        base_url: Where Pi finds it, with ``/v1``: our gateway, as seen from where Pi runs.
        user_settings: The user's own ``settings.json``.
        sampling: Parameters of the settings, which win over the list's.
        max_tokens: Longest answer by the settings, likewise.
    """
    notes: list[Difference] = []
    provider_id = model.provider if model else PROVIDER
    own = dict(model.fields) if model else dict(_UNLISTED)
    window = _window(own.get("contextWindow"), facts, notes)
    entry: dict[str, Any] = {"id": facts.model, "name": own.get("name") or facts.display_name or facts.model}
    if model is not None and model.id != facts.model:
        notes.append(Difference("id", model.id, facts.model, "the name of the loaded instance"))
    entry |= {name: value for name, value in own.items() if name not in _OF_THE_MODEL}
    entry["contextWindow"] = window
    entry["maxTokens"] = _answer(max_tokens or own.get("maxTokens"), window, notes)
    if sampling:
        entry["samplingParams"] = {**(own.get("samplingParams") or {}), **sampling}
    if "promptCache" in own:
        reason = "Pi would keep the cache warm with requests of its own; a local server keeps it anyway"
        notes.append(Difference("promptCache", own["promptCache"], None, reason))
    provider = {
        name: value
        for name, value in (model.provider_fields if model else {}).items()
        if name not in _OF_THE_PROVIDER
    }
    provider |= {
        "baseUrl": base_url,
        "api": CHAT_API,
        "apiKey": NO_KEY,
        "compat": _compat(model.compat if model else {}, notes),
        "models": [entry],
    }
    _note_hidden(model, base_url, notes)
    label = f"{provider_id}/{facts.model}"
    settings = _settings(label, window, user_settings or {}, notes)
    return PrivateFiles(label, {"providers": {provider_id: provider}}, settings, tuple(notes))


def _window(yours: int | None, facts: ModelFacts, notes: list[Difference]) -> int:
    loaded = facts.loaded_context_tokens
    if loaded is None:
        if yours is None:
            reason = f"the server does not tell; Pi would take {DEFAULT_CONTEXT_TOKENS}"
            notes.append(Difference("contextWindow", None, UNTOLD_CONTEXT_TOKENS, reason))
        return yours or UNTOLD_CONTEXT_TOKENS
    if yours != loaded:
        what = "" if yours else f"; Pi would take {DEFAULT_CONTEXT_TOKENS}, never compact, and fail"
        notes.append(Difference("contextWindow", yours, loaded, f"what the model is loaded with{what}"))
    return loaded


def _answer(yours: int | None, window: int, notes: list[Difference]) -> int:
    if yours is not None and yours <= window // 2:
        return yours
    written = min(DEFAULT_MAX_TOKENS, window // 4)
    if yours is not None:
        reason = f"more than half of a window of {window}"
    else:
        reason = f"a quarter of the window, at most Pi's {DEFAULT_MAX_TOKENS}"
    notes.append(Difference("maxTokens", yours, written, reason))
    return written


def _compat(yours: Mapping[str, Any], notes: list[Difference]) -> dict[str, Any]:
    for name, (value, reason) in SAFE_COMPAT.items():
        if name not in yours:
            notes.append(Difference(f"compat.{name}", None, value, reason))
    return {**{name: value for name, (value, _) in SAFE_COMPAT.items()}, **yours}


def _note_hidden(model: ProviderModel | None, base_url: str, notes: list[Difference]) -> None:
    """What stays with us: addresses, keys and headers. Their values are in no difference."""
    yours = (model.fields.get("baseUrl") or model.provider_fields.get("baseUrl")) if model else None
    notes.append(Difference("baseUrl", yours, base_url, "Pi reaches the server through agentui only"))
    if model is not None and model.api_key is not None:
        notes.append(Difference("apiKey", "set", NO_KEY, "agentui adds yours; none lies where Pi runs"))
    for name in model.headers if model else ():
        notes.append(Difference(f"headers.{name}", "set", None, "agentui adds it"))


def _settings(label: str, window: int, yours: Mapping[str, Any], notes: list[Difference]) -> dict[str, Any]:
    fitting = compaction_for(window)
    held = yours.get("compaction")
    own = held if isinstance(held, dict) else {}
    overrides = own.get("modelOverrides")
    of_model = overrides.get(label) if isinstance(overrides, dict) else None
    kept = _own_compaction(of_model, window) if isinstance(of_model, dict) else None
    chosen = kept or fitting
    written = {"reserveTokens": chosen.reserve_tokens, "keepRecentTokens": chosen.keep_recent_tokens}
    where = f"compaction.modelOverrides.{label}"
    if kept is None:
        reason = "an eighth of the window for the answer, a quarter kept"
        reason += (
            "; yours does not fit the window" if of_model else "; Pi's 16384 and 20000 fail in small windows"
        )
        notes.append(Difference(where, of_model, written, reason))
    is_enabled = own.get("enabled") is not False
    kept_keys = {name: yours[name] for name, fits in _OWN_SETTINGS.items() if fits(yours.get(name))}
    return {
        **kept_keys,
        "compaction": {"enabled": is_enabled, **written, "modelOverrides": {label: written}},
        "retry": {
            "enabled": True,
            "maxRetries": MOST_RETRIES,
            "baseDelayMs": 500,
            "maxAgentDelayMs": MOST_RETRY_DELAY_MS,
        },
        "httpIdleTimeoutMs": "disabled",
        "steeringMode": "all",
        "followUpMode": "one-at-a-time",
        "defaultProjectTrust": "never",
        "enableInstallTelemetry": False,
    }


def _own_compaction(held: Mapping[str, Any], window: int) -> Compaction | None:
    """The user's own figures for this model, where they leave room for anything else."""
    reserve, keep = held.get("reserveTokens"), held.get("keepRecentTokens")
    if not _is_count(reserve) or not _is_count(keep) or reserve + keep >= window:
        return None
    return Compaction(reserve, keep)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
