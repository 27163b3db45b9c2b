from __future__ import annotations

import asyncio
from pathlib import Path

from agentui.control import Pause
from agentui.events import Recorded, RunId, Warned
from agentui.session.follow import FollowServices, JournalTail
from agentui.session.writer import JournalWriter


def record(seq: int) -> Recorded:
    return Recorded(seq, seq / 10, "", RunId("r"), Warned("x", "text " * 10))


def test_a_tail_reads_on_across_parts_that_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path, 1000)
    for seq in range(1, 6):
        writer.append(record(seq))
    tail = JournalTail(path)
    seen = [r.seq for r in tail.past()]
    for seq in range(6, 60):
        writer.append(record(seq))
        if seq % 4 == 0:
            seen += [r.seq for r in tail.more()]
    writer.close()
    seen += [r.seq for r in tail.more()]
    tail.close()
    tail.close()
    assert seen == list(range(1, 60))


async def test_a_follower_tells_what_the_writer_adds_and_sends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    writer.append(record(1))
    services = FollowServices(path, poll_s=0.01)
    assert services.read_only
    assert [r.seq for r in services.past()] == [1]
    heard: asyncio.Queue[Recorded] = asyncio.Queue()
    services.subscribe(heard.put_nowait)
    await services.start()
    size = path.stat().st_size
    services.send(Pause())
    assert path.stat().st_size == size
    writer.append(record(2))
    assert (await asyncio.wait_for(heard.get(), 20)).seq == 2
    await services.stop()
    writer.close()


def test_a_tail_that_slept_over_several_parts_misses_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path, 1000)
    for seq in range(1, 30):
        writer.append(record(seq))
    tail = JournalTail(path)
    seen = [r.seq for r in tail.past()]
    for seq in range(30, 200):
        writer.append(record(seq))
    seen += [r.seq for r in tail.more()]
    writer.close()
    writer = JournalWriter(path, 1000)  # every closed part is compressed now
    for seq in range(200, 400):
        writer.append(record(seq))
    writer.close()
    seen += [r.seq for r in tail.more()]
    tail.close()
    assert seen == list(range(1, 400))
