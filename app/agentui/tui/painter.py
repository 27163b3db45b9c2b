"""Brings changed parts of the view onto the widgets, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentui.events import CallId
from agentui.frozen import frozen
from agentui.tui import present_bars as bars
from agentui.tui import present_gauges as figures
from agentui.tui.present_transcript import entry_of, tool_row
from agentui.view.blocks import BlockId
from agentui.view.changes import CHANGES
from agentui.view.fold import View
from agentui.view.gauges import CONTEXT, KV, MEMORY, PROCESS, SPEED
from agentui.view.status import HEADER, QUESTION, QUEUE, STATE
from agentui_widgets.changes import ChangeList
from agentui_widgets.footer import FooterBar
from agentui_widgets.gauges import GaugePanel
from agentui_widgets.header import HeaderBar
from agentui_widgets.line_bar import Fact, FactRows, TitleBar
from agentui_widgets.statusline import GaugeLine
from agentui_widgets.tool_log import ToolLog
from agentui_widgets.transcript import Transcript

_GAUGES = frozenset((MEMORY, KV, CONTEXT, SPEED))
_BARS = frozenset((HEADER, STATE, QUESTION))
_PROMPT = frozenset((STATE, QUEUE, QUESTION, HEADER))
FIGURES_S = 1.0
"""How often figures change on the screen: eyes cannot follow them faster, and they repaint half of it."""
CURVE_MOVING_S = 2.0
CURVE_STILL_S = 10.0
"""How long a curve that does not move is left alone: drawing it is the dearest thing on an idle screen."""

OWN_COST_S = 5.0
"""How often our own cost is brought up to date: gauges and footer painted at once repaint the whole screen."""


@frozen
class Parts:
    """The widgets of the dashboard."""

    header: HeaderBar
    footer: FooterBar
    gauge_line: GaugeLine
    transcript: Transcript
    tools: ToolLog
    gauges: GaugePanel
    changes: ChangeList
    question: FactRows
    queue: FactRows
    titles: dict[str, TitleBar]
    rebound: Mapping[str, str]


class Painter:
    """Knows which widget shows which part of the view."""

    def __init__(self, view: View, parts: Parts, *, read_only: bool, follows: bool = False) -> None:
        self._view = view
        self._parts = parts
        self._read_only = read_only
        self._follows = follows
        self._curve_drawn_s = self._bars_s = self._figures_s = float("-inf")
        self._late: set[BlockId] = set()
        self._curve_end: tuple[int | None, int | None] | None = None
        self.is_apply_offered = False

    def paint(self, changed: Iterable[BlockId]) -> None:
        """Draw what changed; costs as much as that is."""
        areas = {block_id for block_id in changed if block_id.startswith("@")}
        self._paint_blocks(block_id for block_id in changed if not block_id.startswith("@"))
        self._paint_tools(areas)
        if areas & _PROMPT or CHANGES in areas:
            self._paint_prompt()
        if CHANGES in areas or STATE in areas:
            self._paint_changes()
        if areas & _BARS or (PROCESS in areas and self._view.last_t_s - self._bars_s >= OWN_COST_S):
            self._paint_bars()
        self._late |= areas & _GAUGES
        if self._late and self._view.last_t_s - self._figures_s >= FIGURES_S:
            self.paint_late()

    @property
    def is_late(self) -> bool:
        """Whether figures wait to be drawn; `paint_late` must be called within `FIGURES_S`."""
        return bool(self._late)

    def paint_late(self) -> None:
        """Draw the figures that waited."""
        late, self._late = self._late, set()
        if not late:
            return
        self._figures_s = self._view.last_t_s
        self._paint_gauges(is_kv=KV in late)
        if SPEED in late:
            self._paint_bars()

    def paint_all(self) -> None:
        """Draw everything, as at the start or after a change of layout."""
        view = self._view
        for name in ("transcript", "tools"):
            self._parts.titles[name].show([Fact(name.capitalize())])
        everything = [block.block_id for block in view.transcript.blocks]
        everything += [BlockId(f"@tool-{entry.call_id}") for entry in view.tools.entries]
        self._figures_s = float("-inf")
        self.paint([*everything, *_GAUGES, *_BARS, *_PROMPT, CHANGES])

    def repaint_offer(self) -> None:
        """Say what is offered, after an offer came or went."""
        self._paint_prompt()

    def _paint_blocks(self, changed: Iterable[BlockId]) -> None:
        transcript = self._view.transcript
        for index in sorted(transcript.index_of[block_id] for block_id in changed):
            self._parts.transcript.put(index, entry_of(transcript.blocks[index], self._view))
        self._parts.transcript.commit()

    def _paint_tools(self, areas: set[BlockId]) -> None:
        log, view = self._view.tools, self._view
        prefix = "@tool-"
        indexes = {log.index_of[_call(area)] for area in areas if area.startswith(prefix)}
        if PROCESS in areas:
            # running commands show for how long; the sample is the clock
            indexes |= log.running()
        if not indexes:
            return
        for index in sorted(indexes):
            self._parts.tools.put(index, tool_row(log.entries[index], view.last_t_s))
        self._parts.tools.commit()
        running = len(log.running())
        commands = sum(not entry.is_connection for entry in log.entries)
        words = f"{commands} run" if not running else f"{commands} run, {running} running"
        self._parts.titles["tools"].show([Fact("Tools")], [Fact(words, "dim", 2)])

    def _paint_bars(self) -> None:
        parts, view = self._parts, self._view
        self._bars_s = view.last_t_s
        parts.header.show(*bars.header(view, read_only=self._read_only, follows=self._follows))
        parts.footer.show(
            *bars.footer(view, read_only=self._read_only, follows=self._follows, rebound=parts.rebound)
        )

    def _paint_gauges(self, *, is_kv: bool) -> None:
        gauges, parts = self._view.gauges, self._parts
        parts.gauges.show(figures.rows_above(gauges), figures.rows_below(gauges))
        parts.gauge_line.show(*figures.gauge_line(gauges))
        parts.titles["gauges"].show([Fact("Memory")], figures.forecast_facts(gauges))
        if not is_kv or not gauges.kv_history:
            return
        newest = gauges.kv_history[-1]
        end = (newest.filled_bytes, newest.allocated_bytes)
        age_s = newest.t_s - self._curve_drawn_s
        if age_s >= CURVE_STILL_S or (end != self._curve_end and age_s >= CURVE_MOVING_S):
            self._curve_drawn_s, self._curve_end = newest.t_s, end
            parts.gauges.show_curve(figures.kv_curve(gauges))

    def _paint_prompt(self) -> None:
        parts, status = self._parts, self._view.status
        title = bars.prompt_title(
            self._view, read_only=self._read_only, is_offered=self.is_apply_offered, follows=self._follows
        )
        parts.titles["prompt"].show(*title)
        is_live = not (self._read_only or self._follows)
        parts.transcript.show_hints(bars.first_steps(status, parts.rebound) if is_live else ())
        parts.queue.show(bars.queue_rows(status))
        parts.question.show(bars.question_rows(status, *self._room_of_question()))

    def _room_of_question(self) -> tuple[int, int]:
        """Cells across, and rows that may be taken from what is above."""
        question = self._parts.question
        return question.size.width or question.app.size.width, max(3, question.app.size.height // 4)

    def _paint_changes(self) -> None:
        parts, changes = self._parts, self._view.changes
        can_undo = not (self._read_only or self._follows)
        parts.titles["changes"].show(*bars.changes_title(changes, can_undo=can_undo))
        parts.changes.show(bars.change_rows(changes))


def _call(area: BlockId) -> CallId:
    return CallId(area.removeprefix("@tool-"))
