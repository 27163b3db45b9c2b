from __future__ import annotations

import asyncio

from agentui.events import MessageId, StateChanged, TextDelta
from agentui.tui.bridge import FLUSH_S, Bridge
from agentui.view.fold import View
from tests.unit.view.scenes import whole_run
from tests.widgets.fakes import FakeServices


async def test_the_first_event_after_a_silence_wakes_at_once_and_the_rest_at_the_pace() -> None:
    loop = asyncio.get_running_loop()
    services, woken = FakeServices(), asyncio.Queue[float]()
    bridge = Bridge(services, lambda: woken.put_nowait(loop.time()))
    bridge.open()
    services.emit(StateChanged("generating", "none"))
    first = await woken.get()
    bridge.take()
    for number in range(50):
        services.emit(TextDelta(MessageId("m"), f"{number} "))
    second = await woken.get()
    changed, batch = bridge.take()
    assert len(batch) == 50
    assert changed == {"text-m"}
    assert second - first >= FLUSH_S * 0.9
    assert woken.empty()
    bridge.close()


async def test_past_and_live_give_one_view_and_closing_ends_it() -> None:
    records = whole_run()
    services = FakeServices(records[:40])
    bridge = Bridge(services, lambda: None)
    bridge.open()
    for recorded in records[40:]:
        services.emit(recorded.event, after_s=recorded.t_s - services.tape.t_s)
    bridge.take()
    view = View()
    view.apply_all(services.tape.records)
    assert bridge.view == view
    bridge.close()
    assert services.listeners == 0
    services.emit(StateChanged("idle", "none"))
    assert bridge.take()[1] == []
