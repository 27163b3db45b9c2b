"""Colours: two themes of our own, and which one suits a terminal."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="agentui-dark",
    primary="#7aa2c8",
    secondary="#8f9bb3",
    accent="#d0a46b",
    foreground="#d6d9de",
    background="#15181c",
    surface="#15181c",
    panel="#1d2127",
    success="#88b077",
    warning="#d9b25f",
    error="#dd7a76",
    dark=True,
    variables={
        "block-cursor-background": "#7aa2c8",
        "input-selection-background": "#7aa2c8 35%",
        "scrollbar": "#2c323a",
        "scrollbar-background": "#15181c",
        "scrollbar-hover": "#3c444f",
        "scrollbar-background-hover": "#15181c",
        "scrollbar-active": "#7aa2c8",
        "scrollbar-background-active": "#15181c",
    },
)
LIGHT = Theme(
    name="agentui-light",
    primary="#2f6690",
    secondary="#5b6573",
    accent="#8a5a12",
    foreground="#23272e",
    background="#fafaf8",
    surface="#fafaf8",
    panel="#eeeeea",
    success="#3d7a3a",
    warning="#8a6100",
    error="#b3342f",
    dark=False,
)
OWN_THEMES = (DARK, LIGHT)
FEW_COLOURS = ("standard", "windows", None)


def pick_theme(wanted: str | None, color_system: str | None, available: frozenset[str]) -> str:
    """The theme to start with: the wanted one, or the terminal's own colours where it has only 16."""
    if wanted is not None and wanted in available:
        return wanted
    return "ansi-dark" if color_system in FEW_COLOURS else DARK.name
