"""Pi's private configuration for a session: the model as it is loaded, and settings that suit small windows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentui.events import Json, ModelFacts

PROVIDER = "agentui"
UNKNOWN_CONTEXT_TOKENS = 32_768
"""Where the server does not say what it loaded: too small costs a compaction, too large the run."""

COMPAT: Json = {
    "supportsStore": False,
    "supportsDeveloperRole": False,
    "supportsReasoningEffort": False,
    "maxTokensField": "max_tokens",
}
"""Local chat templates refuse other roles, and servers fields that they do not know."""

MOST_RETRIES = 6
"""A frozen answer costs one of them, so there are more than a failing server alone would need."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the user set for the model's answers; `compat` wins over ours."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    compat: Json = field(default_factory=dict)


def window_tokens(model: ModelFacts) -> int:
    """The context that Pi reckons with: the loaded one, never the most that the model could have."""
    return model.loaded_context_tokens or UNKNOWN_CONTEXT_TOKENS


def compaction_of(context_tokens: int) -> dict[str, int]:
    """When Pi summarises and how much it keeps, in tokens: an eighth for the answer, a quarter kept.

    Pi's own defaults are larger than a window of 16k and never let it compact.
    """
    return {
        "reserveTokens": min(max(2048, context_tokens // 8), context_tokens // 2),
        "keepRecentTokens": context_tokens // 4,
    }


def models_json(base_url: str, model: ModelFacts, options: ModelOptions) -> dict[str, Any]:
    """Pi's `models.json` with the one model in use, behind our gateway. The key is none."""
    context = window_tokens(model)
    reserve = compaction_of(context)["reserveTokens"]
    described: dict[str, Any] = {
        "id": model.model,
        "name": model.display_name or model.model,
        "reasoning": True,
        "input": ["text"],
        "contextWindow": context,
        "maxTokens": min(options.max_tokens or reserve * 2, context // 2),
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    }
    if options.sampling:
        described["samplingParams"] = dict(options.sampling)
    provider = {
        "name": "agentui",
        "baseUrl": base_url,
        "api": "openai-completions",
        "apiKey": "none",
        "compat": {**COMPAT, **options.compat},
        "models": [described],
    }
    return {"providers": {PROVIDER: provider}}


def settings_json(model: ModelFacts) -> dict[str, Any]:
    """Pi's `settings.json`: no time limit on reading a prompt, nothing of a project trusted."""
    compaction = compaction_of(window_tokens(model))
    return {
        "compaction": {
            "enabled": True,
            **compaction,
            "modelOverrides": {f"{PROVIDER}/{model.model}": compaction},
        },
        "retry": {"enabled": True, "maxRetries": MOST_RETRIES, "baseDelayMs": 500},
        "httpIdleTimeoutMs": "disabled",
        "steeringMode": "all",
        "followUpMode": "one-at-a-time",
        "defaultProjectTrust": "never",
        "enableInstallTelemetry": False,
    }


ENVIRONMENT: Mapping[str, str] = {
    "PI_OFFLINE": "1",
    "PI_SKIP_VERSION_CHECK": "1",
    "PI_TELEMETRY": "0",
    "NO_COLOR": "1",
}


def write_configuration(folder: Path, base_url: str, model: ModelFacts, options: ModelOptions) -> None:
    """Write both files into Pi's private agent folder, readable for their owner only.

    Raises:
        OSError: If they cannot be written.
    """
    for name, content in (
        ("models.json", models_json(base_url, model, options)),
        ("settings.json", settings_json(model)),
    ):
        path = folder / name
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        path.chmod(0o600)
