"""The first row: which project, model and sandbox, and the state in words."""

from __future__ import annotations

from agentui_widgets.line_bar import LineBar


class HeaderBar(LineBar):
    """Facts on the left, the state at the right."""
