"""Pi's private configuration for a session, written where only Pi and we read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentui.backends.models_json import ProviderModel
from agentui.backends.private_models import private_models
from agentui.events import ModelFacts


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the user set for the model's answers.

    Attributes:
        sampling: Parameters of requests; they win over those of the user's list of providers.
        max_tokens: Longest answer, likewise.
        listed: What that list says of the model.
        user_settings: The user's own ``settings.json`` of Pi.
        thinking_level: What was chosen with the model's name; Pi's own default otherwise.
    """

    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    listed: ProviderModel | None = None
    user_settings: Mapping[str, Any] = field(default_factory=dict)
    thinking_level: str | None = None


ENVIRONMENT: Mapping[str, str] = {
    "PI_OFFLINE": "1",
    "PI_SKIP_VERSION_CHECK": "1",
    "PI_TELEMETRY": "0",
    "NO_COLOR": "1",
}


def read_pi_settings(path: Path) -> dict[str, Any]:
    """The user's own settings of Pi; empty where there are none that can be read. Blocks for the read."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def write_configuration(folder: Path, base_url: str, model: ModelFacts, options: ModelOptions) -> str:
    """Write both files into Pi's private agent folder, readable for their owner only; returns the model's name.

    Raises:
        OSError: If they cannot be written.
    """
    private = private_models(
        options.listed,
        model,
        base_url,
        options.user_settings,
        sampling=options.sampling,
        max_tokens=options.max_tokens,
    )
    for name, content in (("models.json", private.models), ("settings.json", private.settings)):
        path = folder / name
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        path.chmod(0o600)
    return private.label
