"""`agentui compare` over the simulated server: two models, real runs, killed half way and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentui.simulator.config import GEMMA_12B_MLX, GEMMA_26B, SimulatorConfig
from agentui.simulator.server import RunningSimulator, start_simulator
from tests.flows.test_headless import AGENTUI, environment

TASK = "say what is in this folder"


@pytest.fixture
async def server() -> AsyncIterator[RunningSimulator]:
    """Fast enough for a test, slow enough for a difference: the small model decodes four times as fast."""
    config = SimulatorConfig(
        speed=10, load_s=0.1, pace_by_model={GEMMA_12B_MLX: 4.0}, jitter_ratio=0.0, join_ratio=0.0
    )
    running = await start_simulator(config)
    yield running
    await running.stop()


def command(server: RunningSimulator, *form: str) -> list[str]:
    sides = ["--with", f"model={GEMMA_26B},context=32k", "--with", f"model={GEMMA_12B_MLX},context=16k"]
    flags = ["--url", server.url, "--sandbox", "none", "--max-turns", "3", *form]
    return [*AGENTUI, "compare", TASK, *sides, *flags]


async def begin(server: RunningSimulator, project: Path, *form: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(server, *form),
        cwd=project,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


async def test_two_models_are_compared_also_when_it_is_killed_in_the_second_run(
    server: RunningSimulator, tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    project.mkdir()
    (project / "report.py").write_text("print('hello')\n")
    process = await begin(server, project, "--json")
    assert process.stderr is not None
    while line := await asyncio.wait_for(process.stderr.readline(), 60):
        if b"2 of 2" in line and b"running" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()
    assert process.returncode == -signal.SIGKILL

    process = await begin(server, project, "--json")
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    assert b"going on with" in err
    assert b"done before" in err
    big, small = columns(out)
    assert "26B" in big["model"]
    assert "12B" in small["model"]
    assert small["decode_tok_per_s"] > 2 * big["decode_tok_per_s"]
    # in short conversations the sliding layers decide, and the dense model has more of them
    assert small["peak_kv_bytes"] > big["peak_kv_bytes"] > 0
    assert (big["runs"], small["runs"]) == (1, 1)
    assert [path.name for path in project.iterdir()] == ["report.py"]
    assert (project / "report.py").read_text() == "print('hello')\n"

    await server.stop()
    process = await begin(server, project, "--format", "md")
    table, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert b"compared before" in err
    head, _, first, second = table.decode().splitlines()
    assert head.startswith("|  | MODEL | CHECK |")
    assert "26B" in first
    assert "12B" in second


def columns(out: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)["columns"]
    return found
