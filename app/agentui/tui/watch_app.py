"""The Textual application of `agentui watch`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import work
from textual.app import SystemCommand
from textual.screen import Screen
from textual.types import CSSPathType

from agentui.errors import AgentuiError
from agentui.paths import STYLES
from agentui.tui.screens.watch import WatchScreen
from agentui.tui.theme import ThemedApp
from agentui.tui.watch_services import WatchServices


class WatchApp(ThemedApp):
    """Shows one server.

    Args:
        services: What is watched; started when the first frame is there, closed by whoever made it.
        theme: Name of a theme; chosen by the terminal's colours when ``None`` or unknown.

    Attributes:
        failure: Why watching could not begin; the application has ended then.
    """

    TITLE = "agentui watch"
    CSS_PATH: ClassVar[CSSPathType | None] = [
        STYLES / "base.tcss",
        STYLES / "dashboard.tcss",
        STYLES / "watch.tcss",
    ]
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, services: WatchServices, *, theme: str | None = None) -> None:
        super().__init__(theme)
        self._services = services
        self.failure: AgentuiError | None = None

    def get_default_screen(self) -> Screen[None]:
        """There is one screen."""
        return WatchScreen(self._services)

    def on_ready(self) -> None:
        """The first frame is laid out: once it is painted, watching begins."""
        self.screen.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self._start()

    @work
    async def _start(self) -> None:
        try:
            await self._services.start()
        except AgentuiError as error:
            self.failure = error
            self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What makes sense here."""
        yield SystemCommand("Quit", "leave the gauges", self.action_quit)
        yield SystemCommand("Change theme", "choose other colours", self.action_change_theme)
