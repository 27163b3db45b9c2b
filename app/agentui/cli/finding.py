"""What a look at one part of the set-up found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from agentui.frozen import frozen

Status = Literal["ok", "note", "missing"]


@frozen
class Finding:
    """One thing that was looked at. `needed` for running anything at all; `facts` are for ``--json``."""

    area: str
    status: Status
    text: str
    todo: str = ""
    needed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
