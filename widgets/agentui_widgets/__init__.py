"""Widgets of the screen: they take plain values and know nothing of agentui."""
