"""What keys and slash commands do: the half of the dashboard that acts.

Screens that open on top of it are imported when they open: the first frame does not wait for them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import work

from agentui.control import (
    Answer,
    Apply,
    Control,
    Interrupt,
    Pause,
    Quit,
    Redo,
    Resume,
    Step,
    Undo,
)
from agentui.errors import AgentuiError
from agentui.text import clean, clean_line, human_bytes, plural
from agentui.tui.arrange import LAYOUTS, LayoutKind
from agentui.tui.bridge import Bridge
from agentui.tui.editor import EditorError, edited
from agentui.tui.painter import Painter, Parts
from agentui.tui.present_bars import undo_conflict_text, undo_lines
from agentui.tui.screens.leaving import NUMBER, LeavingScreen
from agentui.tui.services import Services
from agentui.view.blocks import MessageBlock
from agentui.view.changes import AppliedUnit
from agentui.view.words import RESTING
from agentui_widgets.prompt import Prompt

if TYPE_CHECKING:
    from agentui.tui.screens.diff import DiffScreen

log = logging.getLogger(__name__)


class DeckScreen(LeavingScreen):
    """Actions over a session; subclasses compose the widgets and place them."""

    prompt: Prompt
    parts: Parts
    painter: Painter

    def __init__(self, services: Services, bridge: Bridge) -> None:
        super().__init__(id="dashboard")
        self.services = services
        self.bridge = bridge
        self.forced_layout: LayoutKind | None = None
        self.review: DiffScreen | None = None
        self._is_all_folded = True

    def send(self, control: Control) -> None:
        """Ask something of the run; a replay can only be held and let go."""
        words = self._app().read_only_words
        if self.services.read_only and (words or not isinstance(control, Pause | Resume | Step)):
            self.say(words or "this is a replay: nothing is sent")
            return
        self.services.send(control)

    def say(self, text: str, *, is_error: bool = False) -> None:
        """A passing word in a corner."""
        self.app.notify(
            clean(text),
            markup=False,
            severity="error" if is_error else "information",
            timeout=8 if is_error else 4,
        )

    def lay_out_again(self) -> None:
        """Place the panes anew."""
        raise NotImplementedError

    # --- the run

    def action_pause(self) -> None:
        """Pause; freeze when a pause was asked for; resume when one was reached, or nothing could be frozen."""
        status = self.bridge.view.status
        match status.hold:
            case "none":
                self.send(Pause())
            case "pausing" if status.can_freeze:
                self.send(Pause(freeze=True))
            case "pausing" | "paused" | "frozen":
                self.send(Resume())

    def action_step(self) -> None:
        """Go on to the next safe point."""
        self.send(Step())

    def action_empty_pause(self) -> None:
        """`action_pause`, on an empty prompt."""
        self.action_pause()

    def action_empty_step(self) -> None:
        """`action_step`, on an empty prompt."""
        self.action_step()

    def action_empty_help(self) -> None:
        """`action_help`, on an empty prompt."""
        self.open_help()

    def action_escape(self) -> None:
        """Close what is open, then clear the selection, then interrupt."""
        if self.prompt.is_popup_open:
            self.prompt.close_popup()
        elif self.get_selected_text() or self.prompt.area.selected_text:
            self.clear_selection()
            self.prompt.area.move_cursor(self.prompt.area.cursor_location)
        elif self.focused is not self.prompt.area:
            self.prompt.area.focus()
        elif self.bridge.view.status.wants_text:
            self.send(Answer(self.bridge.view.status.questions[0].ask_id, "", is_cancelled=True))
        elif self.bridge.view.status.phase not in RESTING:
            self.send(Interrupt())

    def action_copy_or_quit(self) -> None:
        """Copy a selection, else clear the prompt, else ask to quit."""
        selected = self.get_selected_text() or self.prompt.area.selected_text
        if selected:
            self.app.copy_to_clipboard(clean(selected))
            self.clear_selection()
            self.say("copied")
        elif self.prompt.text:
            self.prompt.text = ""
        else:
            self.ask_quit()

    def answer(self, word: str) -> None:
        """Answer the oldest open question by one of its words."""
        questions = self.bridge.view.status.questions
        if not questions:
            self.say("nothing is being asked")
        elif self.bridge.view.status.wants_text:
            self.send(Answer(questions[0].ask_id, word))
        elif word not in questions[0].choices:
            self.say(f"the answers are: {', '.join(questions[0].choices)}", is_error=True)
        else:
            self.send(Answer(questions[0].ask_id, word))

    def ask_quit(self) -> None:
        """Save and leave; while a run works only after a yes. While that is asked it is not asked again."""
        from agentui.tui.screens.question import QuitQuestion

        if not any(isinstance(screen, QuitQuestion) for screen in self.app.screen_stack):
            self._quit()

    @work(exclusive=True, group="quit")
    async def _quit(self) -> None:
        status = self.bridge.view.status
        is_busy = status.is_running and status.phase not in RESTING and not self.services.read_only
        if is_busy:
            from agentui.tui.screens.question import QuitQuestion

            detail = "The run stops; the session is saved, and agentui -c goes on with it."
            if not await self.app.push_screen_wait(QuitQuestion("A run is working. Quit?", detail)):
                self._app().wanted = None
                return
        if not self.services.read_only:
            self.send(Quit())
        try:
            await self.services.stop()
        except AgentuiError as error:
            log.error("the session did not end cleanly: %s", error.message)
        self.app.exit()

    # --- changes

    def action_apply_offer(self) -> None:
        """Apply everything that may be applied freely."""
        self.send(Apply())

    def action_review_offer(self) -> None:
        """Review per file."""
        self.open_review("")

    def action_always_offer(self) -> None:
        """Apply, and from now on without asking in this project."""
        self.services.apply_always()

    def open_review(self, path: str) -> None:
        """The changes per file."""
        changes = self.bridge.view.changes.pending
        if not changes:
            self.say("nothing to review: no changes wait")
            return
        from agentui.tui.screens.diff import DiffScreen

        self.review = DiffScreen(
            self.services, changes, path, send=self.send, undo=lambda redo: self.undo(redo=redo)
        )
        self.app.push_screen(self.review, self._reviewed)

    def _reviewed(self, _: None) -> None:
        self.review = None

    def undo(self, *, redo: bool = False) -> None:
        """Say what an undo would do, and do it after a yes; a redo brings what was seen before."""
        changes = self.bridge.view.changes
        units = changes.undone if redo else changes.applied
        if redo:
            self.send(Redo())
        elif self.services.read_only:
            self.send(Undo())
        else:
            self._ask_undo(units[-1] if units else None)

    @work(exclusive=True, group="undo")
    async def _ask_undo(self, unit: AppliedUnit | None) -> None:
        from agentui.tui.screens.question import QuestionScreen

        question = "Undo the last apply in your project?"
        detail = "This session applied nothing: it would be the last apply of an earlier one."
        if unit is not None:
            question = f"Undo the last apply of {plural(len(unit.changes), 'file')} in your project?"
            detail = "\n".join(undo_lines(unit))
        if conflicts := await self.services.undo_conflicts():
            self.say(undo_conflict_text(conflicts), is_error=True)
            return
        if await self.app.push_screen_wait(QuestionScreen(question, detail)):
            self.send(Undo())

    # --- looking

    def open_help(self) -> None:
        """Keys and commands, with the keys as they are bound now."""
        from agentui.tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(dict(getattr(self.app, "rebound_keys", {}))))

    action_help = open_help

    def open_speed(self) -> None:
        """Speed over the depth of the context."""
        from agentui.tui.screens.speed import SpeedScreen

        self.app.push_screen(SpeedScreen(self.bridge.view.gauges))

    def open_gauges(self) -> None:
        """Every gauge with how sure it is and how old."""
        from agentui.tui.present_sources import gauge_report
        from agentui.tui.screens.output import OutputScreen

        self.app.push_screen(OutputScreen("Gauges", gauge_report(self.bridge.view.gauges)))

    def open_models(self) -> None:
        """Choose a model."""
        from agentui.tui.screens.picking import pick_model

        pick_model(self)

    def open_contexts(self) -> None:
        """Choose a context length."""
        from agentui.tui.screens.picking import pick_context

        pick_context(self)

    def open_output(self, number: str) -> None:
        """Full output of the last command, or of the one with that number."""
        entries = self.bridge.view.tools.entries
        commands = [index for index, entry in enumerate(entries) if not entry.is_connection]
        index = max(commands, default=-1)
        if number:
            index = int(number) - 1 if NUMBER.fullmatch(number) else -1
        if not 0 <= index < len(entries):
            self.say("no such command", is_error=True)
            return
        entry = entries[index]
        text = "\n".join(entry.tail.shown())
        if entry.output_path is not None:
            try:
                text = clean(self.services.output_text(entry.output_path))
            except AgentuiError as error:
                self.say(error.message, is_error=True)
        aside = human_bytes(entry.output_bytes)
        from agentui.tui.screens.output import OutputScreen

        self.app.push_screen(OutputScreen(f"$ {clean_line(entry.command)}", text, aside))

    def open_question(self, question: str) -> None:
        """All of a question that does not fit below the transcript, to be scrolled."""
        from agentui.tui.screens.output import OutputScreen

        self.app.push_screen(OutputScreen("asked", clean(question)))

    def action_output(self) -> None:
        """Full output of the command chosen in the tool log."""
        row = self.parts.tools.cursor_item
        keys = [entry.call_id for entry in self.bridge.view.tools.entries]
        if row is not None:
            self.open_output(str(keys.index(next(key for key in keys if key == row.key)) + 1))

    def action_fold(self) -> None:
        """Fold or unfold everything."""
        self.fold_all()

    def fold_all(self) -> None:
        """Fold or unfold thinking, calls and outputs."""
        self._is_all_folded = not self._is_all_folded
        target = self.parts.tools if self.parts.tools.has_focus else self.parts.transcript
        target.set_all_folded(self._is_all_folded)

    def action_page(self, step: int) -> None:
        """Scroll the transcript by a page; Textual binds these keys to the prompt otherwise."""
        focused = self.focused
        view = focused if focused in (self.parts.tools, self.parts.changes) else self.parts.transcript
        assert view is not None
        view.scroll_relative(y=step * max(1, view.size.height - 2), animate=False)

    def action_focus_next_pane(self) -> None:
        """Prompt, tools, changes, transcript: those that are shown."""
        ring = [self.prompt.area, self.parts.tools, self.parts.changes, self.parts.transcript]
        shown = [widget for widget in ring if widget.is_on_screen]
        place = shown.index(self.focused) if self.focused in shown else -1
        shown[(place + 1) % len(shown)].focus()

    def use_theme(self, name: str) -> None:
        """Change colours; without a name choose them."""
        if name in self.app.available_themes:
            self.app.theme = name
        elif name:
            self.say(f"no theme {name}; /theme lists them", is_error=True)
        else:
            self._pick_theme()

    def _pick_theme(self) -> None:
        from agentui.tui.choices import theme_choices
        from agentui.tui.screens.pick import Choice, PickScreen

        async def load() -> Sequence[Choice]:
            return theme_choices(self.app.available_themes, self.app.theme)

        def chosen(name: str | None) -> None:
            if name is not None:
                self.use_theme(name)

        self.app.push_screen(PickScreen("Themes", load), chosen)

    def go_to(self, text: str) -> None:
        """Only a replay can be sought."""
        self.say("only a replay can go to another time: agentui replay", is_error=True)

    def use_layout(self, name: str) -> None:
        """Force a layout, or follow the size again."""
        kinds: dict[str, LayoutKind | None] = {"auto": None, "": None, **{kind: kind for kind in LAYOUTS}}
        if name not in kinds:
            self.say(f"layouts: {', '.join(k for k in kinds if k)}", is_error=True)
            return
        self.forced_layout = kinds[name]
        self.lay_out_again()

    def copy(self, what: str) -> None:
        """The last answer, or everything that was said."""
        said = [
            b for b in self.bridge.view.transcript.blocks if isinstance(b, MessageBlock) and b.role != "system"
        ]
        if what == "all":
            text = "\n\n".join(f"{block.role}: {block.body.text}" for block in said)
        else:
            text = next((b.body.text for b in reversed(said) if b.role == "agent"), "")
        if not text:
            self.say("nothing to copy")
            return
        self.app.copy_to_clipboard(text)
        self.say("copied")

    def action_editor(self) -> None:
        """Write the prompt in $VISUAL or $EDITOR."""
        try:
            self.prompt.text = clean(edited(self.app, self.prompt.text)).rstrip("\n")
        except EditorError as error:
            self.say(str(error), is_error=True)
