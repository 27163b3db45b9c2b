"""The one screen: panes placed by size, keys routed, changes painted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.geometry import Region, Size
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget

from agentui.control import Answer, RunCommand, SendNow, Submit, TakeBack
from agentui.events import ApprovalAsked, Recorded, RunEnded, SessionResumed, SteerWithdrawn
from agentui.text import clean
from agentui.tui.arrange import EDGE_ROWS, PANES, Body, LayoutKind, Pane, Wants, arrange, layout_for
from agentui.tui.bridge import Bridge
from agentui.tui.commands import Completer, is_command, run_command
from agentui.tui.keys import EMPTY_PROMPT_ACTIONS, bindings, empty_prompt_actions
from agentui.tui.painter import FIGURES_S, Painter, Parts
from agentui.tui.present_bars import WHOLE_QUESTION_KEY, is_long_question, question_keys, queue_waits_for
from agentui.tui.screens.deck import DeckScreen
from agentui.tui.services import Services
from agentui.view.blocks import MessageBlock
from agentui.view.changes import CHANGES
from agentui_widgets.block_view import BlockView
from agentui_widgets.changes import ChangeList
from agentui_widgets.footer import FooterBar
from agentui_widgets.gauges import GaugePanel
from agentui_widgets.header import HeaderBar
from agentui_widgets.line_bar import FactRows, TitleBar
from agentui_widgets.prompt import Prompt
from agentui_widgets.statusline import GaugeLine
from agentui_widgets.tool_log import ToolLog
from agentui_widgets.transcript import Transcript

LETTER_ALONE_S = 0.4
"""A letter that answers acts when it stands alone for so long, or with Enter: many texts begin with it."""
REVIEW_ALONE_S = 1.0
"""The same for the review while it is not offered, when a text is likelier."""
OFFER_QUIET_S = 1.0
"""Letters that act are taken only so long after they were offered: before that somebody was still typing."""
OFFERS = frozenset({"apply_offer", "review_offer", "always_offer"})


class DashboardScreen(DeckScreen):
    """Composes and routes; what it shows is in the bridge's view.

    Args:
        services: The session.
        apply_asks: Whether changes are offered at the end of a run (``--apply ask``).
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    AUTO_FOCUS = "#prompt-area"

    class Due(Message):
        """The bridge has events to take."""

    def __init__(self, services: Services, *, apply_asks: bool = True) -> None:
        super().__init__(services, Bridge(services, self._wake))
        self.zoom: Pane | None = None
        self._kind: LayoutKind = "wide"
        self._apply_asks = apply_asks
        self._offered_s = float("inf")
        self._asked_s = float("inf")
        self._asked_id = ""
        self._was_waiting = False
        self._remembered_blocks = 0
        self._late_timer: Timer | None = None
        self._letter_timer: Timer | None = None
        self._empty_actions: dict[str, str] = {}

    def _wake(self) -> None:
        self.post_message(self.Due())

    def compose(self) -> ComposeResult:
        """Header, the panes, gauge line, footer."""
        yield HeaderBar(id="header")
        with Body(self._regions, id="body"):
            yield from self._pane("transcript", Transcript(id="transcript-view"))
            yield from self._pane("gauges", GaugePanel(id="gauges-view"))
            yield from self._pane("tools", ToolLog(id="tools-view"))
            yield from self._pane("changes", ChangeList(id="changes-view"))
            with Vertical(id="prompt"):
                yield TitleBar(id="prompt-title")
                yield FactRows(id="question")
                yield FactRows(id="queue")
                completer = Completer(
                    self.services.complete_paths,
                    lambda: sorted(self.app.available_themes),
                    lambda: self.bridge.view.status.harness_commands,
                    lambda: [change.path for change in self.bridge.view.changes.pending],
                )
                yield Prompt(completer, clean, self._takes_empty, id="prompt-box")
        yield GaugeLine(id="gauge-line")
        yield FooterBar(id="footer")

    def _pane(self, name: str, content: Widget) -> ComposeResult:
        with Vertical(id=name, classes="pane"):
            yield TitleBar(id=f"{name}-title")
            yield content

    def on_mount(self) -> None:
        """Lay out, fold the past, listen."""
        self.prompt = self.query_one(Prompt)
        rebound: dict[str, str] = getattr(self.app, "rebound_keys", {})
        self._empty_actions = empty_prompt_actions(rebound)
        self.parts = Parts(
            self.query_one(HeaderBar),
            self.query_one("#footer", FooterBar),
            self.query_one(GaugeLine),
            self.query_one(Transcript),
            self.query_one(ToolLog),
            self.query_one(GaugePanel),
            self.query_one(ChangeList),
            self.query_one("#question", FactRows),
            self.query_one("#queue", FactRows),
            {name: self.query_one(f"#{name}-title", TitleBar) for name in (*PANES, "prompt")},
            rebound,
        )
        follows = bool(self._app().read_only_words)
        self.painter = Painter(self.bridge.view, self.parts, read_only=self.services.read_only, follows=follows)
        self.bridge.open()
        self._lay_out(self.app.size)
        if self.services.read_only:
            self.prompt.set_placeholder("a replay: space holds it, . one step on, / commands, ? help")
        self._react(())
        self.painter.paint_all()

    def on_unmount(self) -> None:
        """Listen no more."""
        self.bridge.close()

    # --- layout

    def _regions(self, size: Size) -> dict[str, Region]:
        if not hasattr(self, "painter"):
            return {}
        return arrange(self._kind, size.width, size.height, self._wants())

    def _wants(self) -> Wants:
        rows = 1 + self.parts.question.rows + self.parts.queue.rows + self.prompt.rows
        changes = self.bridge.view.changes
        files = len(changes.pending) or changes.applied_files
        return Wants(rows, files, len(self.bridge.view.tools.entries), self.zoom)

    def _lay_out(self, size: Size) -> None:
        self._kind = self.forced_layout or layout_for(size.width, size.height)
        if self._kind == "one" and self.zoom is None:
            self.zoom = "transcript"
        shown = arrange(self._kind, size.width, size.height - EDGE_ROWS, self._wants())
        for name in PANES:
            self.query_one(f"#{name}").display = name in shown
        has_gauges = "gauges" in shown
        self.query_one(GaugeLine).display = not has_gauges
        self.set_class(self._kind == "one" or self.zoom is not None, "-one")
        self.query_one(Body).place_again()

    def on_resize(self, event: events.Resize) -> None:
        """Follow the terminal's size."""
        if event.size != self.app.size:
            # One of before. A screen tells itself each size that it takes: two would take turns for ever.
            event.prevent_default()
            return
        if not hasattr(self, "painter"):
            return
        before = self._kind
        if before == "one" and (self.forced_layout or layout_for(*event.size)) != "one":
            self.zoom = None
        self._lay_out(event.size)
        self.call_after_refresh(self._fit_question)

    def _fit_question(self) -> None:
        """A question takes as many rows as it needs at the new width."""
        self.painter.repaint_offer()
        self.relayout_prompt()

    def set_zoom(self, pane: Pane | None) -> None:
        """Show one pane alone, or all that fit; one with a cursor is focused, so that keys move in it."""
        self.zoom = pane
        self._lay_out(self.app.size)
        lists: dict[Pane | None, Widget] = {"tools": self.parts.tools, "changes": self.parts.changes}
        lists.get(pane, self.prompt.area).focus()

    def action_cycle(self) -> None:
        """The next pane alone; after the last one all of them, where they fit."""
        order: list[Pane | None] = list(PANES)
        if self._kind != "one":
            order = [None, *PANES]
        self.set_zoom(order[(order.index(self.zoom) + 1) % len(order)])

    def lay_out_again(self) -> None:
        """Place the panes anew, after a change of the forced layout."""
        self.zoom = None
        self._lay_out(self.app.size)

    def relayout_prompt(self) -> None:
        """The prompt wants another height."""
        self.query_one(Body).place_again()

    # --- events

    @on(Due)
    def _take(self) -> None:
        """Fold and paint what the bridge collected."""
        rows = self._wants()
        queued = {waiting.steer_id: waiting.text for waiting in self.bridge.view.status.queue}
        changed, batch = self.bridge.take()
        with self.app.batch_update():
            self._react(batch)
            for recorded in batch:
                if isinstance(recorded.event, SteerWithdrawn) and recorded.event.why == "taken back":
                    self._take_back(queued.get(recorded.event.steer_id, ""))
            self.painter.paint(changed)
            if self.review is not None and CHANGES in changed:
                self.review.show_changes(self.bridge.view.changes.pending)
            if self._wants() != rows:
                self.relayout_prompt()
            self.painted()
        if self.painter.is_late and self._late_timer is None:
            self._late_timer = self.set_timer(FIGURES_S, self._paint_late)

    def painted(self) -> None:
        """What was collected is on the screen; a place for subclasses."""

    def lay_out_now(self) -> None:
        """Place the panes for what is shown now."""
        self._lay_out(self.app.size)

    def _paint_late(self) -> None:
        self._late_timer = None
        self.painter.paint_late()

    def _react(self, batch: Sequence[Recorded]) -> None:
        """What events mean for keys, offers and attention."""
        status, changes = self.bridge.view.status, self.bridge.view.changes
        now = asyncio.get_running_loop().time()
        is_offered = (
            self._apply_asks
            and not status.is_running
            and bool(changes.applicable)
            and not self.services.read_only
        )
        if is_offered != self.painter.is_apply_offered:
            self.painter.is_apply_offered = is_offered
            self._offered_s = now if is_offered else float("inf")
            self.painter.repaint_offer()
        asked = [r.event for r in batch if isinstance(r.event, ApprovalAsked)]
        if asked and asked[-1].kind == "editor" and not self.prompt.text:
            self.prompt.text = clean(asked[-1].text)
        asked_id = status.questions[0].ask_id if status.questions else ""
        if asked_id != self._asked_id:
            self._asked_id, self._asked_s = asked_id, now
        if any(isinstance(r.event, SessionResumed) for r in batch):
            self._remember_past()
        ended = any(isinstance(r.event, RunEnded) for r in batch)
        if (ended or (status.needs_user and not self._was_waiting)) and not self.app.app_focus:
            self.announce(status.end.reason if ended and status.end else "it waits for you")
        self._was_waiting = status.needs_user

    def _remember_past(self) -> None:
        """What was said before the session went on can be said again; what comes later is sent from here."""
        said = self.bridge.view.transcript.blocks[self._remembered_blocks :]
        self._remembered_blocks += len(said)
        self.prompt.remember(b.body.text for b in said if isinstance(b, MessageBlock) and b.role == "user")

    def _take_back(self, text: str) -> None:
        if text:
            self.prompt.text = f"{text}\n{self.prompt.text}" if self.prompt.text else text

    # --- prompt

    @on(Prompt.Submitted)
    def _submitted(self, message: Prompt.Submitted) -> None:
        text = message.text
        status = self.bridge.view.status
        if self._letter_waits_s(text) is not None:
            self._act(text)
        elif status.wants_text:
            self.send(Answer(status.questions[0].ask_id, text))
        elif is_command(text, status.harness_commands):
            run_command(self, text)
        elif text.startswith("!") and text[1:].strip():
            self.send(RunCommand(text[1:].strip()))
        else:
            self.send(Submit(text, queue=message.queue))

    @on(Prompt.Empty)
    def _empty(self, message: Prompt.Empty) -> None:
        status = self.bridge.view.status
        queue = status.queue
        if message.key == "enter":
            has_turn = not status.is_running or any(waiting.mode == "steer" for waiting in queue)
            if queue and has_turn and (words := queue_waits_for(status)):
                self.say(words)
            elif queue and has_turn:
                self.send(SendNow())
        elif queue:
            self.send(TakeBack())
        else:
            self.prompt.recall(-1)

    @on(Prompt.Changed)
    def _prompt_changed(self) -> None:
        self.relayout_prompt()
        if self._letter_timer is not None:
            self._letter_timer.stop()
            self._letter_timer = None
        text = self.prompt.text
        if (alone_s := self._letter_waits_s(text)) is not None:
            self._letter_timer = self.set_timer(alone_s, lambda: self._take_letter(text))

    def _letter_waits_s(self, text: str) -> float | None:
        """How long a text must stand alone to be an answer; ``None`` where it is one in no case."""
        status = self.bridge.view.status
        if len(text) != 1 or status.wants_text:
            return None
        if text in self._question_letters() and not self._is_too_soon(self._asked_s):
            return LETTER_ALONE_S
        action = self._empty_actions.get(text)
        if action in OFFERS and self.painter.is_apply_offered and not self._is_too_soon(self._offered_s):
            return LETTER_ALONE_S
        return REVIEW_ALONE_S if action == "review_offer" and status.runs else None

    def _question_letters(self) -> dict[str, str]:
        """What each letter answers to the open question; to none of its choices where it shows all of it."""
        status = self.bridge.view.status
        if not status.questions:
            return {}
        more = {WHOLE_QUESTION_KEY: ""} if is_long_question(status) else {}
        return more | question_keys(status.questions[0].choices)

    def _take_letter(self, letter: str) -> None:
        if self.prompt.text == letter:
            self.prompt.text = ""
            self._act(letter)

    def _act(self, letter: str) -> None:
        """Do what a letter that stood alone means."""
        word = self._question_letters().get(letter)
        if word is None:
            getattr(self, f"action_{self._empty_actions[letter]}")()
            return
        question = self.bridge.view.status.questions[0]
        if word:
            self.send(Answer(question.ask_id, word))
        else:
            self.open_question(question.question)

    def _is_too_soon(self, since_s: float) -> bool:
        return asyncio.get_running_loop().time() - since_s < OFFER_QUIET_S

    def on_key(self, event: events.Key) -> None:
        """Typing anywhere goes to the prompt."""
        if event.key == "o" and self.parts.tools.has_focus:
            event.stop()
            self.action_output()
        elif event.is_printable and event.character and self.focused is not self.prompt.area:
            event.stop()
            self.prompt.area.focus()
            self.prompt.area.insert(event.character)

    def _takes_empty(self, key: str) -> bool:
        """Whether a key on the empty prompt is a command now, and not the beginning of a text."""
        action = self._empty_actions.get(key)
        if action in OFFERS and len(key) == 1:
            return False  # typed; it acts when it stays alone
        return action is not None and bool(self.check_action(action, ()))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters act only on an empty prompt, and the ones for changes only while those are offered."""
        if action in EMPTY_PROMPT_ACTIONS:
            if not hasattr(self, "prompt") or self.prompt.text or self.prompt.is_popup_open:
                return False
            if action in OFFERS:
                return self.painter.is_apply_offered and not self._is_too_soon(self._offered_s)
        return True

    # --- clicks

    @on(BlockView.Activated)
    def _activated(self, message: BlockView.Activated) -> None:
        if message.view is self.parts.changes:
            self.open_review(message.key)
        elif message.view is self.parts.tools:
            if message.is_click:
                self.parts.tools.toggle(message.key)
            else:
                self.action_output()
        else:
            self.parts.transcript.toggle(message.key)
