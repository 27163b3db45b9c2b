"""The only place that chooses concretes: settings in, a working session out."""

from __future__ import annotations

from agentui.wire.demo import DEMO_TASK
from agentui.wire.live import LiveSession, open_session
from agentui.wire.servers import find_backend, tools_image

__all__ = ["DEMO_TASK", "LiveSession", "find_backend", "open_session", "tools_image"]
