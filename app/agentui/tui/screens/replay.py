"""The dashboard over a recorded session: played, held, sought by time and by turn."""

from __future__ import annotations

from typing import ClassVar, Protocol

from textual import on
from textual.binding import Binding, BindingType

from agentui.control import Pause, Resume
from agentui.text import UNKNOWN, clock_time, human_bytes, human_rate, human_tokens, read_clock_time
from agentui.tui.painter import Painter
from agentui.tui.present_gauges import kv_curve, mark
from agentui.tui.screens.dashboard import DashboardScreen
from agentui.tui.services import Services
from agentui.view.timeline import Moment, Timeline
from agentui_widgets.block_item import BlockChosen
from agentui_widgets.block_view import BlockView
from agentui_widgets.line_bar import Fact

SPEEDS: tuple[float | None, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, None)
"""What + and - step through; ``None`` waits for nothing."""
KEYS_WORDS = "space plays and holds · + - speed · ←→ turns · home end · g to a time · . step"


class Player(Services, Protocol):
    """A recorded session that plays; a *place* is a number of records."""

    @property
    def is_held(self) -> bool:
        """Whether it stands still."""
        ...

    @property
    def place(self) -> int:
        """How many records were played."""
        ...

    @property
    def now_s(self) -> float:
        """The time of the session that is shown."""
        ...

    @property
    def speed(self) -> float | None:
        """Times the recorded pace, ``None`` for no waiting."""
        ...

    def set_speed(self, speed: float | None) -> None:
        """Play at another speed."""
        ...

    def seek(self, place: int, t_s: float | None = None) -> None:
        """Go on from another place; nothing is told of the way."""
        ...


def _key(name: str, action: str, words: str) -> Binding:
    # Priority, or the prompt would take arrows; `check_action` gives them back while something is typed.
    return Binding(name, action, words, priority=True, show=False)


class ReplayScreen(DashboardScreen):
    """The dashboard of a replay.

    Args:
        player: The session.
        timeline: The same session, as views.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        _key("plus,equals_sign", "speed(1)", "faster"),
        _key("minus", "speed(-1)", "slower"),
        _key("left", "turn(-1)", "the turn before"),
        _key("right", "turn(1)", "the next turn"),
        _key("home", "seek_start", "the beginning"),
        _key("end", "seek_end", "the end"),
        _key("g", "ask_time", "go to a time"),
    ]
    _OWN = frozenset(("speed", "turn", "seek_start", "seek_end", "ask_time"))

    def __init__(self, player: Player, timeline: Timeline) -> None:
        super().__init__(player, apply_asks=False)
        self.player = player
        self.timeline = timeline

    def on_mount(self) -> None:
        """Show where the player stands."""
        super().on_mount()
        self.prompt.set_placeholder("a replay: space holds it, g goes to a time, / commands, ? help")
        self.show_place()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the replay act only on an empty prompt."""
        if action in self._OWN:
            return hasattr(self, "prompt") and not self.prompt.text and not self.prompt.is_popup_open
        return super().check_action(action, parameters)

    # --- playing

    def action_pause(self) -> None:
        """Hold the replay, or let it go; what the session of then was doing does not count."""
        self.send(Resume() if self.player.is_held else Pause())
        self.show_place()

    def action_speed(self, step: int) -> None:
        """The next speed up or down."""
        now = self.player.speed
        index = SPEEDS.index(now) if now in SPEEDS else self._nearest(now or 1.0)
        self.player.set_speed(SPEEDS[max(0, min(index + step, len(SPEEDS) - 1))])
        self.show_place()

    @staticmethod
    def _nearest(speed: float) -> int:
        return min(range(len(SPEEDS) - 1), key=lambda index: abs((SPEEDS[index] or 0.0) - speed))

    # --- seeking

    def action_turn(self, step: int) -> None:
        """The beginning of the next turn, or of this one and then of the one before."""
        find = self.timeline.turn_after if step > 0 else self.timeline.turn_before
        self.seek(find(self.player.place))

    def action_seek_start(self) -> None:
        """The beginning of the session."""
        self.seek(0)

    def action_seek_end(self) -> None:
        """The end of the session."""
        self.seek(len(self.timeline.records))

    def action_ask_time(self) -> None:
        """Let a time be typed."""
        self.prompt.text = "/at "
        self.prompt.area.focus()

    def go_to(self, text: str) -> None:
        """Seek a time of the session, as typed."""
        try:
            t_s = read_clock_time(text)
        except ValueError:
            self.say("a time of the session is written 1:02:30, 12:30, 90 or 5m", is_error=True)
            return
        t_s = min(t_s, self.timeline.duration_s)
        self.seek(self.timeline.place_at(t_s), t_s)

    def seek(self, place: int, t_s: float | None = None) -> None:
        """Show the session at a place and go on from there. Costs a refold from the last checkpoint."""
        view = self.timeline.view_at(place)
        self.player.seek(place, t_s)
        self.bridge.show(view)
        self.painter = Painter(view, self.parts, read_only=True)
        with self.app.batch_update():
            for widget in (self.parts.transcript, self.parts.tools):
                widget.clear()
            self._react(())
            self.painter.paint_all()
            self.parts.gauges.show_curve(kv_curve(view.gauges))
            self.lay_out_now()
            self.show_place()

    # --- telling where it stands

    def painted(self) -> None:
        """Keep the place up to date."""
        self.show_place()

    def show_place(self) -> None:
        """Time, speed and state in the prompt's title."""
        player = self.player
        is_over = player.place >= len(self.timeline.records)
        now_s = self.timeline.duration_s if is_over else min(player.now_s, self.timeline.duration_s)
        state = "at the end" if is_over else "held" if player.is_held else "playing"
        speed = "as fast as it goes" if player.speed is None else f"× {player.speed:g}"
        words = f"replay {clock_time(now_s)} of {clock_time(self.timeline.duration_s)}  {speed}  {state}"
        self.parts.titles["prompt"].show([Fact(words, "accent", 0)], [Fact(KEYS_WORDS, "dim", 1)])

    @on(BlockChosen)
    @on(BlockView.Activated)
    def _chosen(self, message: BlockChosen | BlockView.Activated) -> None:
        """A tool call was chosen, or clicked: memory and speed as they were when it began."""
        if message.view is not self.parts.tools:
            return
        entry = next((e for e in self.bridge.view.tools.entries if e.call_id == message.key), None)
        if entry is not None:
            moment = self.timeline.moment(self.timeline.place_at(entry.started_t_s))
            facts = [Fact("Tools"), Fact(f"at {clock_time(entry.started_t_s)}", "dim", 1)]
            self.parts.titles["tools"].show(facts, [Fact(moment_words(moment), "accent", 0)])


def moment_words(moment: Moment) -> str:
    """What the gauges showed, on one line; ``?`` for unknown."""
    memory = human_bytes(moment.memory.used_bytes) if moment.memory is not None else UNKNOWN
    kv = UNKNOWN
    if moment.kv is not None and moment.kv.filled_bytes is not None:
        kv = f"{mark(moment.kv.source)}{human_bytes(moment.kv.filled_bytes)}"
    context = human_tokens(moment.context.used_tokens) if moment.context is not None else UNKNOWN
    return f"memory {memory} · KV {kv} · context {context} · decode {human_rate(moment.decode_tok_per_s)} tok/s"
