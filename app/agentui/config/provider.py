"""One model of a provider that the user's ``models.json`` names: where it is, and how to speak with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agentui.frozen import frozen


@frozen
class ProviderRoute:
    """How requests reach one model of one provider.

    `url` is without ``/v1``. `api_key` and `headers` are as written (a literal, ``$NAME``, ``!command``) until
    they are resolved, and never show in a ``repr``. `thinking_level` is what the user chose, ``None`` for the
    server's own; `thinking_levels` goes from ours to the server's words, ``None`` for one it does not have.
    """

    provider: str
    model: str
    url: str
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compat: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    reasoning: bool = False
    thinking_level: str | None = None
    thinking_levels: Mapping[str, str | None] = field(default_factory=dict)
    context_tokens: int | None = None
    max_tokens: int | None = None
