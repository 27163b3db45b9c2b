"""The only place that chooses concretes: settings in, a working session out.

Parts are loaded when they are asked for: the screen is there before the session's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentui.wire.bench import Bench, list_workspaces, open_bench
    from agentui.wire.caches import ModelFits, served_model
    from agentui.wire.check_run import run_check
    from agentui.wire.checks import project_image, shell_image
    from agentui.wire.compare import CompareRuns
    from agentui.wire.demo import DEMO_TASK
    from agentui.wire.harnesses import pi_image
    from agentui.wire.live import LiveSession, open_session
    from agentui.wire.opening import OpeningServices
    from agentui.wire.sandboxes import probe_sandbox, sandbox_limits
    from agentui.wire.servers import find_backend, tools_image
    from agentui.wire.watching import WatchSession

_MODULES = {
    "Bench": "agentui.wire.bench",
    "CompareRuns": "agentui.wire.compare",
    "list_workspaces": "agentui.wire.bench",
    "open_bench": "agentui.wire.bench",
    "project_image": "agentui.wire.checks",
    "run_check": "agentui.wire.check_run",
    "shell_image": "agentui.wire.checks",
    "DEMO_TASK": "agentui.wire.demo",
    "LiveSession": "agentui.wire.live",
    "ModelFits": "agentui.wire.caches",
    "OpeningServices": "agentui.wire.opening",
    "WatchSession": "agentui.wire.watching",
    "find_backend": "agentui.wire.servers",
    "open_session": "agentui.wire.live",
    "served_model": "agentui.wire.caches",
    "probe_sandbox": "agentui.wire.sandboxes",
    "sandbox_limits": "agentui.wire.sandboxes",
    "pi_image": "agentui.wire.harnesses",
    "tools_image": "agentui.wire.servers",
}

__all__ = [
    "DEMO_TASK",
    "Bench",
    "CompareRuns",
    "LiveSession",
    "ModelFits",
    "OpeningServices",
    "WatchSession",
    "find_backend",
    "list_workspaces",
    "open_bench",
    "open_session",
    "pi_image",
    "probe_sandbox",
    "project_image",
    "run_check",
    "sandbox_limits",
    "served_model",
    "shell_image",
    "tools_image",
]


def __getattr__(name: str) -> object:
    """Load the part that holds `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
