"""Colours: two themes of our own, and the application that begins with the one that suits its terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from textual import constants
from textual.app import App
from textual.reactive import Initialize, Reactive
from textual.theme import Theme

from agentui.tui.palette import Palette

if TYPE_CHECKING:
    from textual.driver import Driver

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


class ThemedApp(App[None]):
    """An application that begins in its theme: one set later has all style sheets read and applied again.

    Args:
        theme: Name of a theme; chosen by the terminal's colours when ``None`` or unknown.
    """

    theme: Reactive[str] = Reactive(Initialize(lambda app: cast(ThemedApp, app)._first_theme()))

    def __init__(self, theme: str | None) -> None:
        self._wanted_theme = theme  # asked for in the midst of Textual's own beginning
        self._is_there = self._leaves = False
        super().__init__()

    def get_driver_class(self) -> type[Driver]:
        """Ours in the place of Textual's own for a terminal."""
        from textual.drivers.linux_driver import LinuxDriver

        from agentui.tui.driver import TerminalDriver

        found = super().get_driver_class()
        return TerminalDriver if found is LinuxDriver else found

    def leave(self) -> None:
        """End it, also when there is no screen yet: Textual cannot while it makes one."""
        self._leaves = True
        if self._is_there:
            self.exit()

    def on_ready(self) -> None:
        """The first frame is laid out."""
        self._is_there = True
        if self._leaves:
            self.exit()

    def action_command_palette(self) -> None:
        """Open the palette, once."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette())

    def _first_theme(self) -> str:
        """The theme to start with: the wanted one, or the terminal's own where it has few colours or none."""
        for theme in OWN_THEMES:
            self.register_theme(theme)
        if "NO_COLOR" in os.environ:  # any other theme is drawn in greys, and greys are colours to a terminal
            return "ansi-dark"
        if self._wanted_theme in self.available_themes:
            return self._wanted_theme
        terminal = Console(color_system=cast(Any, constants.COLOR_SYSTEM), force_terminal=True)
        return "ansi-dark" if terminal.color_system in FEW_COLOURS else DARK.name
