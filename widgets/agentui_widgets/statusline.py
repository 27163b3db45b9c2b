"""The gauge line of small screens: the numbers that must never disappear, in one row."""

from __future__ import annotations

from agentui_widgets.line_bar import LineBar


class GaugeLine(LineBar):
    """Memory, KV, context and speed in one row."""
