"""Keeps the machine awake while a run works; on battery it may sleep."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

log = logging.getLogger(__name__)

END_S = 2.0
"""How long the program that keeps awake may take to end before it is killed."""


def awake_command(
    platform: str = sys.platform, which: Callable[[str], str | None] = shutil.which
) -> tuple[str, ...] | None:
    """The program that keeps this system awake until its standard input ends; ``None`` where there is none."""
    if platform == "darwin" and (caffeinate := which("caffeinate")):
        return (caffeinate, "-i", "cat")
    if platform == "linux" and (inhibit := which("systemd-inhibit")):
        why = "--why=an agent works"
        return (inhibit, "--what=idle:sleep", "--who=agentui", why, "--mode=block", "cat")
    return None


def is_on_mains() -> bool | None:
    """Whether the machine is plugged in; ``None`` where that is not known. True without a battery."""
    import psutil

    if not hasattr(psutil, "sensors_battery"):
        return None
    try:
        battery = psutil.sensors_battery()
    except (OSError, RuntimeError) as error:
        log.info("the battery cannot be read: %s", error)
        return None
    if battery is None:
        return True
    plugged: bool | None = battery.power_plugged
    return plugged


@asynccontextmanager
async def kept_awake(
    command: tuple[str, ...] | None = None, on_mains: Callable[[], bool | None] = is_on_mains
) -> AsyncIterator[None]:
    """Keep the machine awake inside this context, where that can be done and it is not on battery.

    The program ends with the context, and by the end of its input if we die. One that does not start is logged.
    """
    program = command or awake_command()
    if program is None or await asyncio.to_thread(on_mains) is False:
        yield
        return
    process = await _started(program)
    try:
        yield
    finally:
        if process is not None:
            await _ended(process)


async def _started(program: tuple[str, ...]) -> asyncio.subprocess.Process | None:
    try:
        return await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        log.warning("the machine may fall asleep: %s does not start: %s", program[0], error)
        return None


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End the program and its children: they are a group of their own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
