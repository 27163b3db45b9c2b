from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from agentui.wire.awake import awake_command, kept_awake


def test_each_system_has_its_program() -> None:
    def which(name: str) -> str:
        return f"/bin/{name}"

    assert awake_command("darwin", which) == ("/bin/caffeinate", "-i", "cat")
    linux = awake_command("linux", which)
    assert linux is not None
    assert (linux[0], linux[-1]) == ("/bin/systemd-inhibit", "cat")
    assert awake_command("freebsd14", which) is None


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_a_system_without_the_program_is_left_alone(platform: str) -> None:
    assert awake_command(platform, lambda name: None) is None


def holder(folder: Path) -> tuple[tuple[str, ...], Path]:
    """A program as they are: it runs `cat` as a child until its input ends. It tells its id through a pipe."""
    note = folder / "told"
    os.mkfifo(note)
    return ("/bin/sh", "-c", f"echo $$ > {note}; cat; :"), note


async def told(note: Path) -> int:
    return int(await asyncio.wait_for(asyncio.to_thread(note.read_text), 10))


def is_alive(group: int) -> bool:
    """Whether a process of the group runs; one that is over and was not waited for by its parent does not."""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                return True
    return False


async def test_the_program_lives_as_long_as_the_work_in_a_group_of_its_own(tmp_path: Path) -> None:
    command, note = holder(tmp_path)
    async with kept_awake(command, lambda: True):
        group = await told(note)
        assert group != os.getpgrp()
        assert is_alive(group)
    assert not is_alive(group)


async def test_the_program_ends_when_the_work_fails(tmp_path: Path) -> None:
    command, note = holder(tmp_path)
    groups: list[int] = []

    async def work() -> None:
        async with kept_awake(command, lambda: None):
            groups.append(await told(note))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await work()
    assert not is_alive(groups[0])


async def test_on_battery_nothing_is_started(tmp_path: Path) -> None:
    note = tmp_path / "started"
    async with kept_awake(("/bin/sh", "-c", f": > {note}"), lambda: False):
        pass
    assert not note.exists()


async def test_a_program_that_does_not_start_keeps_no_work_from_being_done(tmp_path: Path) -> None:
    done = False
    async with kept_awake((str(tmp_path / "missing"),), lambda: True):
        done = True
    assert done
