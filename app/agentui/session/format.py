"""Versions of the journal's format, and how a record of an older one becomes one of today's.

1: one file per journal. 2: a journal may lie in parts (`agentui.session.parts`); the records are the same. An
agentui that knows only 1 must not open such a session, it would take the last part for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT_VERSION = 2

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: Mapping[int, Upgrade] = {1: lambda held: {**held, "v": 2}}
"""From each version to the next."""


def upgraded(
    held: dict[str, Any], upgrades: Mapping[int, Upgrade] = UPGRADES, to: int = FORMAT_VERSION
) -> dict[str, Any]:
    """The record as version `to` holds it; unchanged where its version is unknown or newer."""
    version = held.get("v")
    while isinstance(version, int) and version < to and version in upgrades:
        held = upgrades[version](held)
        version = held["v"]
    return held
