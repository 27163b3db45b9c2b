"""Ways out of a session's screen: to another session, to a branch of this one, and to the user's desktop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual import work
from textual.screen import Screen

from agentui.text import plural
from agentui.tui.bridge import Bridge
from agentui.tui.services import Services, Wanted

if TYPE_CHECKING:
    from agentui.tui.app import AgentuiApp


NUMBER = re.compile("[0-9]{1,9}")
"""What is typed for a number; `str.isdigit` takes digits too that `int` does not."""


class LeavingScreen(Screen[None]):
    """The part of a session's screen that reaches beyond it."""

    services: Services
    bridge: Bridge

    def say(self, text: str, *, is_error: bool = False) -> None:
        """A passing word."""
        raise NotImplementedError

    def _app(self) -> AgentuiApp:
        return cast("AgentuiApp", self.app)

    def announce(self, what: str) -> None:
        """Call the user back to the terminal."""
        project = self.bridge.view.status.project.rstrip("/").rpartition("/")[2]
        self._app().announce(f"{project}: {what}" if project else what)

    def action_sessions(self) -> None:
        """Choose a session to go on with."""
        self.open_sessions()

    def open_sessions(self) -> None:
        """Choose a session to go on with."""
        self._app().open_sessions()

    def branch(self, turn: str) -> None:
        """Go back to after a turn, in a new session; without a number choose it."""
        if turn and NUMBER.fullmatch(turn) is None:
            self.say("/branch needs the number of a turn, as in /branch 3", is_error=True)
        elif self._app().list_sessions is None:
            self.say("a branch is made from a live session: agentui -r", is_error=True)
        elif turn:
            self._branch_after(int(turn))
        else:
            self._pick_turn()

    def _branch_after(self, turn: int) -> None:
        from agentui.tui.turns import turn_choices

        finished = len(turn_choices(self.services.past()))
        if 1 <= turn <= finished:
            self._ask_branch(turn)
        else:
            has = f"the session has {plural(finished, 'turn')}"
            self.say(f"there is no finished turn {turn}: {has}", is_error=True)

    def _pick_turn(self) -> None:
        from agentui.tui.screens.pick import Choice, PickScreen
        from agentui.tui.turns import turn_choices

        async def load() -> Sequence[Choice]:
            return turn_choices(self.services.past())

        def chosen(number: str | None) -> None:
            if number is not None:
                self._ask_branch(int(number))

        self.app.push_screen(PickScreen("Go back to after turn", load, none="no turn is finished yet"), chosen)

    @work(exclusive=True, group="branch")
    async def _ask_branch(self, turn: int) -> None:
        from agentui.tui.screens.question import QuestionScreen

        pending = len(self.bridge.view.changes.pending)
        lost = f"{plural(pending, 'change')} not applied yet will be dropped from the private copy."
        detail = (
            "A new session begins with the conversation up to there and your files as they are now; this one "
            f"stays as it is. {lost if pending else ''}"
        )
        if await self.app.push_screen_wait(QuestionScreen(f"Branch after turn {turn}?", detail)):
            self._app().leave_for(Wanted(self.bridge.view.status.session_id, turn))
