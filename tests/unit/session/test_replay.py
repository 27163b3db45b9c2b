from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentui.control import Interrupt, Pause, Resume, Step
from agentui.errors import SessionError
from agentui.events import CallId, Recorded, RunId, ToolStarted, TurnStarted
from agentui.session.replay import ReplayServices, paced, parse_speed
from agentui.tui.services import Services
from tests.unit.session.fakes import FakeTime


def records(*times_s: float) -> list[Recorded]:
    return [Recorded(n, t, "", RunId(""), TurnStarted(n)) for n, t in enumerate(times_s, start=1)]


async def told(items: list[Recorded], speed: float | None, late_s: float = 0.0) -> list[tuple[int, float]]:
    time = FakeTime(now_s=0.0)

    async def sleep(seconds: float) -> None:
        time.move(seconds)

    heard = []
    async for recorded in paced(items, speed, clock=time.clock, sleep=sleep):
        heard.append((recorded.seq, time.now_s))
        time.move(late_s)
    return heard


async def test_records_come_at_their_own_pace() -> None:
    assert await told(records(5.0, 6.0, 8.5), 1.0) == [(1, 0.0), (2, 1.0), (3, 3.5)]


async def test_speed_divides_the_waiting() -> None:
    assert await told(records(5.0, 6.0, 8.0), 4.0) == [(1, 0.0), (2, 0.25), (3, 0.75)]


async def test_delays_of_the_reader_do_not_add_up() -> None:
    heard = await told(records(0.0, 1.0, 2.0, 3.0), 1.0, late_s=0.9)
    assert [at for _, at in heard] == [0.0, 1.0, 2.0, 3.0]
    assert (await told(records(0.0, 1.0, 1.1, 5.0), 1.0, late_s=2.0))[-1] == (4, 6.0)


async def test_full_speed_waits_for_nothing_and_tells_everything() -> None:
    items = records(*[float(n) for n in range(1000)])
    heard = await told(items, None)
    assert [seq for seq, _ in heard] == [r.seq for r in items]
    assert heard[-1][1] == 0.0


async def test_an_empty_session_ends_at_once() -> None:
    assert await told([], 1.0) == []


def test_speeds_are_read_as_typed() -> None:
    assert parse_speed("max") is None
    assert parse_speed("2.5") == 2.5
    for wrong in ("0", "-1", "fast", "nan", "inf"):
        with pytest.raises(ValueError, match=r".+"):
            parse_speed(wrong)


# --- in the place of a live session --------------------------------------------------------------


class Stage:
    """A replay whose every wait is granted by hand."""

    def __init__(self, items: list[Recorded], speed: float | None = 1.0) -> None:
        self.time = FakeTime(now_s=0.0)
        self.waits: asyncio.Queue[float] = asyncio.Queue()
        self.grants: asyncio.Queue[None] = asyncio.Queue()
        self.services = ReplayServices(items, speed, clock=self.time.clock, sleep=self._sleep)
        self.heard: list[tuple[int, float]] = []
        self.services.subscribe(lambda recorded: self.heard.append((recorded.seq, self.time.now_s)))

    async def _sleep(self, seconds: float) -> None:
        self.waits.put_nowait(seconds)
        await self.grants.get()

    async def grant(self) -> float:
        """Let the replay sleep to the end of its wait."""
        seconds = await self.waits.get()
        self.time.move(seconds)
        self.grants.put_nowait(None)
        return seconds


def test_a_replay_is_a_session_to_the_screen() -> None:
    services: Services = ReplayServices(records(0.0))
    assert services.read_only
    assert list(services.past()) == []
    assert services.complete_paths("a") == ()


async def test_a_replay_tells_everything_in_order() -> None:
    services = ReplayServices(records(*[float(n) for n in range(300)]), None)
    heard: list[int] = []
    services.subscribe(lambda recorded: heard.append(recorded.seq))
    await services.start()
    await services.start()
    await services.played()
    assert heard == list(range(1, 301))
    assert [recorded.seq for recorded in services.past()] == heard
    await services.stop()


async def test_who_comes_late_finds_what_was_played_in_the_past() -> None:
    services = ReplayServices(records(*[0.0] * 200), None)
    met: list[int] = []

    def hear_late(recorded: Recorded) -> None:
        if recorded.seq == 50:
            met.extend(r.seq for r in services.past())
            services.subscribe(lambda later: met.append(later.seq))

    services.subscribe(hear_late)
    await services.start()
    await services.played()
    assert met == list(range(1, 201))


async def test_a_failing_listener_does_not_stop_the_replay() -> None:
    services = ReplayServices(records(0.0, 0.0), None)

    def fails(recorded: Recorded) -> None:
        raise RuntimeError("broken")

    heard: list[int] = []
    services.subscribe(fails)
    services.subscribe(lambda recorded: heard.append(recorded.seq))
    await services.start()
    await services.played()
    assert heard == [1, 2]


async def test_held_time_does_not_count() -> None:
    stage = Stage(records(0.0, 1.0, 2.0, 3.0))
    await stage.services.start()
    assert await stage.grant() == 1.0
    assert await stage.waits.get() == 1.0
    stage.services.send(Pause())
    stage.services.send(Pause())
    assert stage.services.is_held
    stage.time.move(60.0)
    stage.services.send(Resume())
    assert not stage.services.is_held
    assert await stage.grant() == 1.0
    assert await stage.grant() == 1.0
    await stage.services.played()
    assert stage.heard == [(1, 0.0), (2, 1.0), (3, 62.0), (4, 63.0)]


async def test_a_seek_goes_on_from_there_and_tells_nothing_of_the_way() -> None:
    services = ReplayServices(records(*[float(n) for n in range(100)]), None)
    heard: list[int] = []
    services.subscribe(lambda recorded: heard.append(recorded.seq))
    services.send(Pause())
    await services.start()
    services.seek(90)
    assert (services.place, services.now_s) == (90, 89.0)
    assert heard == []
    services.send(Resume())
    await services.played()
    assert heard == list(range(91, 101))
    heard.clear()
    services.seek(98)
    await services.played()
    assert heard == [99, 100]
    await services.stop()


async def test_a_seek_between_two_records_waits_for_the_rest_of_the_gap() -> None:
    stage = Stage(records(0.0, 10.0, 20.0))
    stage.services.seek(2, 14.0)
    await stage.services.start()
    assert await stage.waits.get() == 6.0
    await stage.services.stop()


async def test_speed_can_be_changed_while_it_plays() -> None:
    stage = Stage(records(0.0, 10.0))
    await stage.services.start()
    assert await stage.waits.get() == 10.0
    stage.time.move(2.0)
    stage.services.set_speed(4.0)
    assert await stage.grant() == 2.0
    await stage.services.played()
    assert stage.heard == [(1, 0.0), (2, 4.0)]


async def test_a_seek_by_a_listener_ends_what_was_being_told() -> None:
    services = ReplayServices(records(*[0.0] * 10), None)
    heard: list[int] = []

    def hear(recorded: Recorded) -> None:
        heard.append(recorded.seq)
        if heard == [1, 2, 3]:
            services.seek(8)

    services.subscribe(hear)
    await services.start()
    await services.played()
    assert heard == [1, 2, 3, 9, 10]


async def test_a_step_goes_to_the_next_command() -> None:
    items = records(*[0.0] * 5)
    items[2] = Recorded(3, 0.0, "", RunId(""), ToolStarted(CallId("c"), "bash", "ls", ""))
    services = ReplayServices(items, None)
    heard: list[int] = []
    at_command = asyncio.Event()

    def hear(recorded: Recorded) -> None:
        heard.append(recorded.seq)
        if recorded.seq == 3:
            at_command.set()

    services.subscribe(hear)
    services.send(Pause())
    await services.start()
    services.send(Interrupt())
    services.send(Step())
    await at_command.wait()
    assert services.is_held
    assert heard == [1, 2, 3]
    services.send(Resume())
    await services.played()
    assert heard == [1, 2, 3, 4, 5]


async def test_stopping_a_held_replay_ends_it() -> None:
    services = ReplayServices(records(0.0, 1.0))
    services.send(Pause())
    await services.start()
    await services.stop()
    await services.stop()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "replay"] == []


def test_outputs_are_read_from_the_sessions_folder_only(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "1.txt").write_bytes(b"caf\xc3\xa9 \xff")
    (tmp_path / "secret").write_text("no")
    (tmp_path / "outputs" / "link").symlink_to(tmp_path / "secret")
    services = ReplayServices(records(0.0), folder=tmp_path)
    assert services.output_text("outputs/1.txt") == "café \ufffd"
    for path in ("secret", "outputs/../secret", "outputs/link", "/etc/passwd", "outputs/none"):
        with pytest.raises(SessionError):
            services.output_text(path)
    with pytest.raises(SessionError, match="no folder"):
        ReplayServices(records(0.0)).output_text("outputs/1.txt")
