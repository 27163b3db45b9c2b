"""`agentui -p` as a script sees it: real processes, the simulated model, real commands on real files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentui.simulator.config import SimulatorConfig
from agentui.simulator.server import RunningSimulator, start_simulator

AGENTUI = [sys.executable, "-P", "-m", "agentui"]
NO_ENGINE = "unix:///nonexistent/docker.sock"


def environment() -> dict[str, str]:
    """The test's own environment, without a container engine: the scripted sandbox answers."""
    return {**os.environ, "DOCKER_HOST": NO_ENGINE}


async def agentui(*arguments: str, cwd: Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run the program to its end; returns exit code, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        *AGENTUI,
        *arguments,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def of_type(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == name]


@pytest.fixture
async def server() -> AsyncIterator[RunningSimulator]:
    running = await start_simulator(SimulatorConfig(unpaced=True))
    yield running
    await running.stop()


async def test_the_demo_prints_one_object_per_line_and_leaves_a_project_whose_tests_pass(
    tmp_path: Path,
) -> None:
    task = "split report.py into modules"
    code, out, err = await agentui("-p", "--demo", "--demo-speed", "50", "--mode", "json", task, cwd=tmp_path)
    assert code == 0, err
    records = objects(out)
    assert [r["seq"] for r in records] == sorted(r["seq"] for r in records)
    assert records[-1]["type"] == "RunEnded"
    assert records[-1]["reason"] == "done"
    started = of_type(records, "ToolStarted")
    assert len(started) >= 8
    assert [r["call_id"] for r in started] == [r["call_id"] for r in of_type(records, "ToolEnded")]
    assert of_type(records, "WorkspaceApplied")
    assert of_type(records, "RunStarted")[0]["model"]["is_simulated"] is True
    assert not of_type(records, "MemorySample")
    project = Path(of_type(records, "RunStarted")[0]["workdir"])
    modules = sorted(p.name for p in (project / "report").glob("*.py"))
    assert len(modules) >= 5
    assert not (project / "report.py").exists()
    tests = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd=project, capture_output=True, text=True, check=False
    )
    assert tests.returncode == 0, tests.stderr


async def test_changes_wait_in_the_workspace_and_apply_auto_brings_them(
    server: RunningSimulator, project: Path
) -> None:
    before = sorted(p.name for p in (project / "tests").iterdir())
    flags = ("-p", "--url", server.url, "--sandbox", "none")
    task = "write unit tests for report.py"
    code, _, err = await agentui(*flags, task, cwd=project)
    assert code == 0, err
    assert sorted(p.name for p in (project / "tests").iterdir()) == before
    assert "not applied" in err
    code, out, err = await agentui(*flags, "--apply", "auto", "--mode", "json", task, cwd=project)
    assert code == 0, err
    assert of_type(objects(out), "WorkspaceApplied")
    assert len(list((project / "tests").iterdir())) > len(before)


async def test_the_url_works_with_and_without_v1(server: RunningSimulator, project: Path) -> None:
    for url in (server.url, server.url + "/v1", server.url.removeprefix("http://")):
        code, out, err = await agentui("-p", "--url", url, "--sandbox", "none", "say hello", cwd=project)
        assert code == 0, err
        assert "simulated" in out


async def test_standard_input_joins_the_task(server: RunningSimulator, project: Path) -> None:
    flags = ("-p", "--url", server.url, "--sandbox", "none", "--mode", "json")
    code, out, err = await agentui(*flags, "say hello to", cwd=project, stdin=b"the whole world\n")
    assert code == 0, err
    assert of_type(objects(out), "RunStarted")[0]["task"] == "say hello to\n\nthe whole world"


async def test_exit_codes_say_how_it_ended(server: RunningSimulator, project: Path) -> None:
    none = ("--sandbox", "none")
    code, out, _ = await agentui(
        "-p", "--url", server.url, *none, "--max-turns", "2", "--mode", "json", "split report.py", cwd=project
    )
    assert (code, objects(out)[-1]["reason"]) == (3, "limit")
    code, out, _ = await agentui("-p", "--url", "http://127.0.0.1:9", *none, "--mode", "json", "x", cwd=project)
    assert (code, objects(out)[-1]["reason"]) == (75, "unavailable")
    code, _, err = await agentui("-p", "--url", server.url, "--approve", "ask", "x", cwd=project)
    assert code == 2
    assert "-p" in err


@pytest.mark.case("engine-absent")
async def test_without_an_engine_nothing_runs_unless_none_is_typed(
    server: RunningSimulator, project: Path
) -> None:
    code, out, _ = await agentui("-p", "--url", server.url, "--mode", "json", "split report.py", cwd=project)
    records = objects(out)
    assert (code, records[-1]["reason"]) == (75, "unavailable")
    assert not of_type(records, "ToolStarted")


async def test_an_interrupt_by_signal_saves_and_exits_130(project: Path) -> None:
    paced = await start_simulator(SimulatorConfig(speed=2))
    process = await asyncio.create_subprocess_exec(
        *AGENTUI,
        *("-p", "--url", paced.url, "--sandbox", "none", "--mode", "json", "split report.py"),
        cwd=project,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        while b'"ToolEnded"' not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        assert await process.wait() == 130
        assert objects(rest)[-1]["reason"] == "interrupted"
        assert paced.truth.open_count == 0
    finally:
        await paced.stop()


async def test_a_reader_of_both_outputs_that_goes_away_interrupts_with_130(project: Path) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *AGENTUI,
        *("-p", "--demo", "--demo-speed", "50", "split report.py"),
        cwd=project,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    await asyncio.to_thread(os.read, reading, 1)
    os.close(reading)
    assert await process.wait() == 130
