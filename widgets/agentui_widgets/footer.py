"""The last row: the keys that work now, and what the program itself costs."""

from __future__ import annotations

from agentui_widgets.line_bar import LineBar


class FooterBar(LineBar):
    """Keys on the left, own cost at the right."""
