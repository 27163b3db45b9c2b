"""The only place that chooses concretes: settings in, a working session out.

Parts are loaded when they are asked for: the screen is there before the session's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentui.wire.bench import Bench, list_workspaces, open_bench
    from agentui.wire.demo import DEMO_TASK
    from agentui.wire.live import LiveSession, open_session
    from agentui.wire.opening import OpeningServices
    from agentui.wire.servers import find_backend, tools_image

_MODULES = {
    "Bench": "agentui.wire.bench",
    "DEMO_TASK": "agentui.wire.demo",
    "LiveSession": "agentui.wire.live",
    "OpeningServices": "agentui.wire.opening",
    "find_backend": "agentui.wire.servers",
    "list_workspaces": "agentui.wire.bench",
    "open_bench": "agentui.wire.bench",
    "open_session": "agentui.wire.live",
    "tools_image": "agentui.wire.servers",
}

__all__ = [
    "DEMO_TASK",
    "Bench",
    "LiveSession",
    "OpeningServices",
    "find_backend",
    "list_workspaces",
    "open_bench",
    "open_session",
    "tools_image",
]


def __getattr__(name: str) -> object:
    """Load the part that holds `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
