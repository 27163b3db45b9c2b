"""What every harness keeps, checked over the own loop and a real Pi, both on the simulated server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentui.control import Submit
from agentui.events import (
    HarnessStarted,
    RunEnded,
    TextDelta,
    ToolOutput,
    ToolStarted,
    TurnEnded,
)
from agentui.harness.pi.install import PiInstallation
from agentui.history import fold_history
from agentui.simulator.config import SimulatorConfig
from tests.contracts.pi_rig import HarnessName, Rig, installed_pi, rig
from tests.serving import assert_balanced

TASK = "split report.py into modules with PEP 585 type hints"
SLOW = SimulatorConfig(speed=2)
FAST = SimulatorConfig(unpaced=True)


@pytest.fixture(params=["loop", "pi"])
def name(request: pytest.FixtureRequest) -> HarnessName:
    found: HarnessName = request.param
    return found


@pytest.fixture(scope="session")
def pi_installation() -> PiInstallation | str:
    return installed_pi()


@pytest.fixture
def installation(name: HarnessName, pi_installation: PiInstallation | str) -> PiInstallation | None:
    if name == "loop":
        return None
    if isinstance(pi_installation, str):
        pytest.skip(f"no Pi: {pi_installation}")
    return pi_installation


async def ended(found: Rig, count: int = 1) -> RunEnded:
    async with asyncio.timeout(60):
        while len(found.log.of(RunEnded)) < count:
            await asyncio.sleep(0.02)
    assert_balanced(found.log)
    return found.log.of(RunEnded)[-1]


async def test_a_task_is_worked_on_to_its_end(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=FAST) as found:
        found.supervisor.send(Submit(TASK))
        end = await ended(found)
        log = found.log
        assert (end.reason, end.error) == ("done", None)
        assert end.commands == len(found.sandbox.ran) > 3
        assert end.turns == len(log.of(TurnEnded)) > 3
        assert [e.kind for e in log.of(HarnessStarted)] == [name]
        assert [e.command for e in log.of(ToolStarted)] == found.sandbox.ran
        assert log.of(ToolOutput)
        assert end.usage.prompt_tokens
        assert end.usage.completion_tokens
        assert all(e.decode_tok_per_s for e in log.of(TurnEnded))
        history = [m["role"] for m in fold_history(log.events) if m["role"] != "system"]
        assert history[:3] == ["user", "assistant", "tool"]
        assert history[-1] == "assistant"
        assert log.of(TextDelta)
