"""One row of facts: some from the left, some at the right, the least important give way first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from agentui_widgets.toned import Toned
from agentui_widgets.transcript import Tone
from agentui_widgets.wrapping import Span, cells, make_strip, truncate

GAP = 2
LEAST_CELLS = 9
"""What a state is never cut below."""
LEAST_DETAIL_CELLS = 8
"""Fewer cells of a detail tell nothing: it is left out."""


class Fact(NamedTuple):
    """A piece of a row; of all that do not fit, the highest `rank` goes first. Rank 0 is cut, never dropped.

    `detail` follows the text while there is room: it is cut before any fact goes. A fact with a `short` wording
    becomes that when its turn comes, with `short_rank` from then on; if it `yields`, before a detail is cut.
    """

    text: str
    tone: Tone = "text"
    rank: int = 1
    short: str = ""
    short_rank: int = 0
    detail: str = ""
    yields: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether a word of the text goes on in the detail."""
        return self.detail[:1].isalnum()


class LineBar(Toned):
    """A row that is redrawn only when what it says changes."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "LineBar { height: 1; }"
    FILL: ClassVar[str] = " "

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: tuple[Fact, ...] = ()
        self._right: tuple[Fact, ...] = ()

    def show(self, left: Sequence[Fact], right: Sequence[Fact] = ()) -> None:
        """Say something else; free when it is the same."""
        if (tuple(left), tuple(right)) == (self._left, self._right):
            return
        self._left, self._right = tuple(left), tuple(right)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The row."""
        width = self.size.width
        base = self.get_component_rich_style("rows--text")
        if y:
            return Strip.blank(width, base)
        return make_strip(self._spans(width, base), width, base)

    def _spans(self, width: int, base: Style) -> list[Span]:
        style = self.get_component_rich_style
        line = style("rows--dim")
        edge, fill = (f"{self.FILL} ", self.FILL) if self.FILL != " " else (" ", " ")
        left, right = fit(self._left, self._right, width - 2 * len(edge))
        right = _cut(right, width - 2 * len(edge) - _width(left) - GAP)
        right_width = _width(right)
        spans: list[Span] = [(edge, line)]
        used = len(edge)
        room = width - 2 * len(edge) - right_width - (GAP if right else 0)
        for number, fact in enumerate(left):
            gap = " " * GAP if number else ""
            text = truncate(fact.text, max(0, room - (used - len(edge)) - len(gap)))
            spans += [(gap, base), (text, style(f"rows--{fact.tone}"))]
            used += cells(text) + len(gap)
        if not right and self.FILL != " ":
            return [*spans, (" " + fill * max(0, width - used - 1), line)]
        middle = width - used - right_width - len(edge)
        pad = 1 if self.FILL != " " else 0
        spans.append((" " * pad + fill * max(0, middle - 2 * pad) + " " * pad, line))
        for number, fact in enumerate(right):
            gap = " " * GAP if number else ""
            spans += [(gap, base), (fact.text, style(f"rows--{fact.tone}"))]
        spans.append((edge[::-1], line))
        return spans


class TitleBar(LineBar):
    """The rule above a pane, with its name at the left and its summary at the right."""

    FILL: ClassVar[str] = "─"


class FactRows(Toned):
    """A few rows of facts, as high as there are rows."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "FactRows { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[tuple[Fact, ...], ...] = ()

    @property
    def rows(self) -> int:
        """How many rows are shown."""
        return len(self._rows)

    def show(self, rows: Sequence[Sequence[Fact]]) -> None:
        """Say something else; free when it is the same."""
        new = tuple(tuple(row) for row in rows)
        if new == self._rows:
            return
        is_as_high = len(new) == len(self._rows)
        self._rows = new
        self.refresh(layout=not is_as_high)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One row each."""
        return len(self._rows)

    def render_line(self, y: int) -> Strip:
        """One row."""
        width = self.size.width
        style = self.get_component_rich_style
        base = style("rows--text")
        if y >= len(self._rows):
            return Strip.blank(width, base)
        spans: list[Span] = [(" ", base)]
        facts, _ = fit(self._rows[y], (), width - 2)
        for number, fact in enumerate(facts):
            spans += [(" " * GAP if number else "", base), (fact.text, style(f"rows--{fact.tone}"))]
        return make_strip(spans, width, base)


def fit(left: Sequence[Fact], right: Sequence[Fact], width: int) -> tuple[list[Fact], list[Fact]]:
    """The facts that fit into `width` cells: what yields is shortened, then details are cut, then facts go.

    The fact of highest rank goes first. What that leaves free is given to the texts that go on in their detail.
    """
    facts = [(fact, False) for fact in left if fact.text] + [(fact, True) for fact in right if fact.text]
    facts = _yielded(facts, width)
    facts = [
        (fact if fact.goes_on else _with_detail(fact, _room(facts, fact, width)), side) for fact, side in facts
    ]
    while _needed(facts) > width:
        worst = max(range(len(facts)), key=lambda i: (facts[i][0].rank, -i), default=None)
        if worst is None or facts[worst][0].rank == 0:
            break
        fact, side = facts.pop(worst)
        if fact.short:
            facts.insert(worst, (_shortened(fact), side))
    return _sides([(_with_detail(fact, _room(facts, fact, width)), side) for fact, side in facts])


def _yielded(facts: Sequence[tuple[Fact, bool]], width: int) -> list[tuple[Fact, bool]]:
    """The facts, with those short that yield where a detail wants their room."""
    given = list(facts)
    details = sum(cells(fact.detail) for fact, _ in given)
    for place, (fact, side) in enumerate(given):
        if details and fact.yields and fact.short and _needed(given) + details > width:
            given[place] = (_shortened(fact), side)
    return given


def _shortened(fact: Fact) -> Fact:
    return fact._replace(text=fact.short, short="", rank=fact.short_rank)


def _sides(facts: Sequence[tuple[Fact, bool]]) -> tuple[list[Fact], list[Fact]]:
    return [fact for fact, is_right in facts if not is_right], [fact for fact, is_right in facts if is_right]


def _needed(facts: Sequence[tuple[Fact, bool]]) -> int:
    """Cells of all facts without their details, with the gaps between them."""
    return _width([fact for fact, _ in facts])


def _room(facts: Sequence[tuple[Fact, bool]], fact: Fact, width: int) -> int:
    """Cells that are left for the detail of `fact`."""
    others = sum(cells(other.detail) for other, _ in facts if other is not fact)
    return width - _needed(facts) - others


def _with_detail(fact: Fact, room: int) -> Fact:
    """The fact with as much of its detail as there is room for."""
    if not fact.detail:
        return fact
    text = fact.text
    if room >= min(LEAST_DETAIL_CELLS, cells(fact.detail)):
        text += truncate(fact.detail, room)
    elif fact.goes_on:
        text = truncate(text + fact.detail, cells(text))  # a word goes on there
    return fact._replace(text=text, detail="")


def _cut(facts: Sequence[Fact], width: int) -> list[Fact]:
    """The facts with the last one shortened where all of them could not be dropped; a few cells always stay."""
    over = _width(facts) - width
    if over <= 0 or not facts:
        return list(facts)
    last = facts[-1]
    return [*facts[:-1], last._replace(text=truncate(last.text, max(LEAST_CELLS, cells(last.text) - over)))]


def _width(facts: Sequence[Fact]) -> int:
    return sum(cells(fact.text) for fact in facts) + GAP * max(0, len(facts) - 1)
