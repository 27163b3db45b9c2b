"""The Textual application: styles, theme, keys, and one dashboard over one session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.types import CSSPathType

from agentui.errors import AgentuiError
from agentui.paths import STYLES
from agentui.tui.attention import desktop_notification
from agentui.tui.palette import palette_commands
from agentui.tui.screens.dashboard import DashboardScreen
from agentui.tui.services import Services, Wanted
from agentui.tui.theme import ThemedApp

if TYPE_CHECKING:
    from agentui.tui.screens.sessions import ListSessions


class AgentuiApp(ThemedApp):
    """Shows one session.

    Args:
        services: The session, live or replayed.
        theme: Name of a theme; chosen by the terminal's colours when ``None`` or unknown.
        keymap: Keys by binding id (`agentui.tui.keys`), instead of the usual ones.
        apply_asks: Whether changes are offered at the end of a run.
        list_sessions: Gives the recorded sessions, where one may be opened instead.
        picks_first: Begin with choosing one of those; leaving the choice ends the application.
        read_only_words: Why nothing can be sent, where it is no replay.
        ground: Makes the dashboard, where it is not that of a live session.

    Attributes:
        failure: Why the session could not begin; the application has ended then.
        wanted: The session to open next, when the application ended for that.
    """

    TITLE = "agentui"
    CSS_PATH: ClassVar[CSSPathType | None] = [
        STYLES / f"{name}.tcss"
        for name in ("base", "dashboard", "output", "diff", "pick", "question", "sessions", "speed")
    ]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q", "ask_quit", "Quit", show=False, priority=True)]

    def __init__(
        self,
        services: Services,
        *,
        theme: str | None = None,
        keymap: Mapping[str, str] | None = None,
        apply_asks: bool = True,
        list_sessions: ListSessions | None = None,
        picks_first: bool = False,
        read_only_words: str = "",
        ground: Callable[[], DashboardScreen] | None = None,
    ) -> None:
        super().__init__(theme)
        self.services = services
        self.rebound_keys = dict(keymap or {})
        self._ground = ground or (lambda: DashboardScreen(services, apply_asks=apply_asks))
        self.list_sessions = list_sessions
        self._picks_first = picks_first
        self.read_only_words = read_only_words
        self.failure: AgentuiError | None = None
        self.wanted: Wanted | None = None

    def get_default_screen(self) -> Screen[None]:
        """The dashboard is the ground of the screen stack."""
        return self._ground()

    def on_mount(self) -> None:
        """The user's keys."""
        if self.rebound_keys:
            self.set_keymap(self.rebound_keys)

    def on_ready(self) -> None:
        """The first frame is laid out: once it is painted, the session begins."""
        if self.read_only_words:
            self.dashboard.say(self.read_only_words)
            self.dashboard.prompt.set_placeholder(self.read_only_words)
        self.screen_stack[0].call_after_refresh(self._pick if self._picks_first else self._begin)

    def _pick(self) -> None:
        self.open_sessions(self.exit)

    def open_sessions(self, otherwise: Callable[[], object] = lambda: None) -> None:
        """Choose a session to go on with; `otherwise` is done if none was chosen."""
        if self.list_sessions is None:
            self.dashboard.say("sessions are opened from a live session: agentui -r", is_error=True)
            return
        from agentui.tui.screens.sessions import SessionsScreen

        def chosen(session_id: str | None) -> None:
            if session_id is None or session_id == self.dashboard.bridge.view.status.session_id:
                otherwise()
            else:
                self.leave_for(Wanted(session_id))

        self.push_screen(SessionsScreen(self.list_sessions), chosen)

    def leave_for(self, wanted: Wanted) -> None:
        """End this session, asking first while a run works, and open another one."""
        self.wanted = wanted
        self.dashboard.ask_quit()

    def _begin(self) -> None:
        self._start_session()

    @work(group="session")
    async def _start_session(self) -> None:
        try:
            await self.services.start()
        except AgentuiError as error:
            self.failure = error
            self.exit()

    @property
    def dashboard(self) -> DashboardScreen:
        """The ground of the screen stack."""
        screen = self.screen_stack[0]
        assert isinstance(screen, DashboardScreen)
        return screen

    @property
    def is_dashboard_ready(self) -> bool:
        """True once the dashboard was composed and drew the past."""
        return (
            bool(self.screen_stack)
            and isinstance(self.screen_stack[0], DashboardScreen)
            and hasattr(self.screen_stack[0], "painter")
        )

    def action_ask_quit(self) -> None:
        """Quit, asking first while a run works."""
        self.dashboard.ask_quit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Our commands, nothing of Textual's that would not fit; what is open over the dashboard closes."""
        yield from palette_commands(self.dashboard, lambda run: self._run_below(screen, run))

    def _run_below(self, screen: Screen[object], run: Callable[[], None]) -> None:
        if screen is not self.dashboard and screen.is_active:
            screen.dismiss()
        self.dashboard.call_later(run)

    def action_command_palette(self) -> None:
        """The palette, but over a question: that wants its answer first."""
        from agentui.tui.screens.question import QuestionScreen

        if not isinstance(self.screen, QuestionScreen):
            super().action_command_palette()

    def announce(self, text: str) -> None:
        """Call the user back: the bell, and a notification of the desktop where the terminal shows those."""
        self.bell()
        sequence = desktop_notification(os.environ, text)
        if sequence is not None and not self.is_headless and self._driver is not None:
            self._driver.write(sequence)
