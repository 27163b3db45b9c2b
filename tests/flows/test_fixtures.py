"""The ground the flows stand on: a server that answers and a project whose own tests pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from agentui.simulator.server import RunningSimulator


async def test_simulated_server_answers_a_plain_client(simulator: RunningSimulator) -> None:
    async with httpx.AsyncClient(base_url=simulator.url) as client:
        greeting = await client.get("/lmstudio-greeting")
        models = await client.get("/v1/models")
    assert greeting.json() == {"lmstudio": True}
    assert models.json()["data"]


def test_scratch_projects_own_tests_pass(project: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=project, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
