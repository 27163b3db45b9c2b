"""The demo: a fresh scratch project, and the simulated model server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agentui.errors import BackendUnavailable
from agentui.paths import Places, private_folder

DEMO_TASK = "split report.py into modules with PEP 585 type hints"


@dataclass(slots=True)
class Demo:
    """A scratch project and the simulator in a process of its own."""

    folder: Path
    url: str
    process: asyncio.subprocess.Process

    async def aclose(self) -> None:
        """End the simulator; the scratch project stays, so that its tests can be run."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 3)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def demo_project(where: Places) -> Path:
    """A fresh scratch project in a folder of its own."""
    from agentui.simulator.scratch import make_scratch_project

    root = private_folder(where.demo)
    folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=root)) / "shop"
    make_scratch_project(folder)
    return folder


async def start_demo(project: Path, speed: float) -> Demo:
    """Start the simulator as a child that ends with us.

    Raises:
        BackendUnavailable: If it does not start.
    """
    # -P: a folder called `agentui` where the user stands must not be imported instead of us.
    program = [sys.executable, "-P", "-m", "agentui"]
    command = [*program, "simulate", "--port", "0", "--json", "--exit-with-parent", "--speed", str(speed)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        url = json.loads(line)["url"]
    except (TimeoutError, ValueError, KeyError) as error:
        process.kill()
        await process.wait()
        raise BackendUnavailable("the simulated model server did not start") from error
    return Demo(project, url, process)
