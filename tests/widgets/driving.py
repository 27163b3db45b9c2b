"""How the dashboard tests drive the screen."""

from __future__ import annotations

import asyncio

from textual.pilot import Pilot

from agentui.events import (
    StateChanged,
)
from agentui.tui.app import AgentuiApp
from tests.unit.view.scenes import Tape, begin
from tests.widgets.fakes import FakeServices

HOSTILE = "\x1b]0;owned\x07\x1b[31m[/x][@click=app.quit] \u202egnp\x9b2J"
FORBIDDEN = {"\x1b", "\x07", "\x9b", "\u202e"}


def running() -> FakeServices:
    tape = Tape()
    begin(tape)
    tape.add(StateChanged("generating", "none"))
    return FakeServices(tape.records)


def colours(app: AgentuiApp) -> set[str]:
    """Names of the colours that the terminal is sent, after all filters."""
    styles = [style for strip in app.screen._compositor.render_strips() for _, style, _ in strip if style]
    return {color.name for style in styles for color in (style.color, style.bgcolor) if color is not None}


def screen_text(app: AgentuiApp) -> str:
    """What the terminal would show, row by row."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips[:height])[
        : (width + 1) * height
    ]


async def settle(pilot: Pilot[None]) -> None:
    """Until the bridge has handed everything over and it was painted."""
    bridge = pilot.app.dashboard.bridge if isinstance(pilot.app, AgentuiApp) else None
    while bridge is not None and (bridge._handle is not None or bridge._pending):
        await asyncio.sleep(0.01)
        await pilot.pause()
    await pilot.pause()
