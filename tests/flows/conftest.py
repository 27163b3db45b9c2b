"""The whole program over the simulated server: a server per test, and a project its scripts can work on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentui.simulator.config import SimulatorConfig
from agentui.simulator.scratch import make_scratch_project
from agentui.simulator.server import RunningSimulator, start_simulator
from tests.contracts.conftest import engine, python_image, tools_image

__all__ = ["engine", "project", "python_image", "simulator", "simulator_config", "tools_image"]


@pytest.fixture
def simulator_config() -> SimulatorConfig:
    """Settings of the test's server; a test or module that wants others overrides this fixture."""
    return SimulatorConfig(unpaced=True)


@pytest.fixture
async def simulator(simulator_config: SimulatorConfig) -> AsyncIterator[RunningSimulator]:
    """A simulated LM Studio on a free loopback port, in the test's own event loop.

    `simulator.url` is its address, `simulator.truth` what really happened (open requests, prompts, tokens), and
    `simulator.faults` what goes wrong from now on.
    """
    running = await start_simulator(simulator_config)
    yield running
    await running.stop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh copy of the scratch project that the simulated model's scripts know."""
    folder = tmp_path / "shop"
    make_scratch_project(folder)
    return folder
