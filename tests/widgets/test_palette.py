"""The palette takes what was typed, however fast."""

from __future__ import annotations

import asyncio
from functools import partial

from textual import on
from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.widgets import Input

from agentui.tui.palette import Palette


async def test_enter_waits_for_the_search_it_was_typed_after() -> None:
    asked, entered = asyncio.Event(), asyncio.Event()
    ran: list[str] = []

    class Slow(Provider):
        async def discover(self) -> Hits:
            yield DiscoveryHit("first of all", partial(ran.append, "highlighted before"))

        async def search(self, query: str) -> Hits:
            asked.set()
            await entered.wait()
            yield Hit(1.0, query, partial(ran.append, query))

    class Watched(Palette):
        @on(Input.Submitted)
        def tell(self) -> None:
            entered.set()

    class PaletteApp(App[None]):
        def on_mount(self) -> None:
            self.push_screen(Watched([Slow]))

    app = PaletteApp()
    async with app.run_test() as pilot:
        await app.workers.wait_for_complete()
        await pilot.press("w")
        await asked.wait()
        await pilot.press("enter")
        await pilot.pause()
        assert ran == ["w"]
