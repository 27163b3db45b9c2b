"""Checks as a user meets them: real processes, the simulated model, a real engine, real tests."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentui.paths import project_key
from agentui.sandbox.docker_volume import WorkspaceVolume, remove_volume
from agentui.sandbox.engine import Engine
from agentui.sandbox.image import ToolsImage
from agentui.simulator.config import GEMMA_12B_MLX, GEMMA_26B
from agentui.simulator.server import RunningSimulator

pytestmark = pytest.mark.docker

AGENTUI = [sys.executable, "-P", "-m", "agentui"]
TASK = "write unit tests for report.py"


async def agentui(*arguments: str, cwd: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *AGENTUI,
        *arguments,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def of_type(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == name]


@pytest.fixture
async def environment(
    tools_image: ToolsImage, engine: Engine, tmp_path: Path, project: Path
) -> AsyncIterator[dict[str, str]]:
    """The test's own environment, with folders of its own and the image built; the copy goes at the end."""
    if not await tools_image.is_built():
        await tools_image.build(lambda _: None)
    home = tmp_path / "agentui"
    yield {**os.environ, "AGENTUI_HOME": str(home), "AGENTUI_BASE_IMAGE": tools_image.base}
    name = f"agentui-{project_key(project)}"
    names = (name, f"{name}-exec", f"{name}-data")
    await asyncio.to_thread(remove_volume, engine, WorkspaceVolume(name, True, names))


async def test_the_agents_unit_tests_run_in_the_check_and_no_interpreter_starts_in_the_shell(
    simulator: RunningSimulator,
    project: Path,
    environment: dict[str, str],
    python_image: str,
) -> None:
    added = await agentui(
        *("checks", "add", "--image", python_image, "test", "python3 -m unittest {args}"),
        cwd=project,
        environment=environment,
    )
    assert added[0] == 0, added
    flags = ("-p", "--url", simulator.url, "--sandbox", "docker", "--mode", "json")
    code, out, err = await agentui(*flags, TASK, cwd=project, environment=environment)
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    (system,) = [r["message"] for r in of_type(records, "HistoryAppended") if r["message"]["role"] == "system"]
    assert "`check test [ARGUMENTS]` runs python3 -m unittest {args}" in system["content"]
    started = of_type(records, "ToolStarted")
    (checked,) = [r for r in started if r["check"] == "test"]
    assert (checked["command"], checked["label"]) == ("check test", "check")
    assert not [r for r in started if "python" in r["command"].split("\n")[0]]
    (ended,) = [r for r in of_type(records, "ToolEnded") if r["call_id"] == checked["call_id"]]
    assert (ended["outcome"], ended["exit_code"]) == ("ok", 0)
    shown = "".join(r["text"] for r in of_type(records, "ToolOutput") if r["call_id"] == checked["call_id"])
    assert "Ran 25 tests" in shown
    assert "checking" in {r["phase"] for r in of_type(records, "StateChanged")}
    (result,) = [
        r["message"]["content"]
        for r in of_type(records, "HistoryAppended")
        if r["message"].get("tool_call_id") == checked["call_id"]
    ]
    assert result.endswith("[exit 0, check test in a throwaway copy]")
    # What the tests wrote (bytecode and the like) stayed in the throwaway copy.
    paths = {change["path"] for r in of_type(records, "WorkspaceChanged") for change in r["changes"]}
    assert paths == {"tests/test_totals.py", "tests/test_render.py"}
    # And the same by hand, on the copy with the agent's new tests, then on the folder as it is.
    code, out, err = await agentui("checks", "run", "--json", "test", cwd=project, environment=environment)
    assert (code, "Ran 25 tests" in json.loads(out)["stderr"]) == (0, True), err
    assert "on the private copy" in err
    code, _, err = await agentui("checks", "run", "--fresh", "test", cwd=project, environment=environment)
    assert (code, "Ran 8 tests" in err) == (0, True), err


async def test_without_a_check_the_user_is_told_how_to_set_one_up(
    simulator: RunningSimulator, project: Path, environment: dict[str, str]
) -> None:
    flags = ("-p", "--url", simulator.url, "--sandbox", "docker", "--mode", "json")
    code, out, err = await agentui(*flags, TASK, cwd=project, environment=environment)
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    (warned,) = [r for r in of_type(records, "Warned") if r["code"] == "no_check"]
    assert "unittest" in warned["text"]
    assert "agentui checks add" in warned["hint"]


async def test_the_project_profile_needs_a_yes_and_then_has_the_projects_interpreter(
    simulator: RunningSimulator, project: Path, environment: dict[str, str], python_image: str
) -> None:
    (project / "Dockerfile").write_text(f"FROM {python_image}\n")
    flags = ("-p", "--url", simulator.url, "--profile", "project", "--mode", "json")
    code, out, _ = await agentui(*flags, TASK, cwd=project, environment=environment)
    ended = json.loads(out.splitlines()[-1])
    assert (code, ended["reason"]) == (75, "unavailable")
    assert "agentui checks build --profile project" in ended["hint"]
    build = ("checks", "build", "--profile", "project")
    code, _, err = await agentui(*build, cwd=project, environment=environment)
    assert code == 75
    assert "checks build --profile project --yes" in err
    code, _, err = await agentui(*build, "--yes", cwd=project, environment=environment)
    assert code == 0, err
    code, out, err = await agentui(*flags, TASK, cwd=project, environment=environment)
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    (sandbox,) = [r["sandbox"] for r in of_type(records, "SandboxStarted")]
    assert (sandbox["label"], sandbox["network"]) == ("project image, no network", "none")
    (tests,) = [r for r in of_type(records, "ToolStarted") if r["command"] == "python3 -m unittest"]
    (ended,) = [r for r in of_type(records, "ToolEnded") if r["call_id"] == tests["call_id"]]
    assert (tests["label"], ended["exit_code"]) == ("command", 0)
    assert sorted(path.name for path in (project / "tests").iterdir()) == ["__init__.py", "test_report.py"]


async def test_a_build_with_a_network_is_asked_for_once_and_refused_where_nobody_can_answer(
    project: Path, environment: dict[str, str], python_image: str
) -> None:
    (project / "deps.lock").write_text(f"{uuid.uuid4()}\n")
    config = Path(environment["AGENTUI_HOME"]) / "config/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f'[checks."{project}"]\nimage = "{python_image}"\nlock = "deps.lock"\ninstall = "cp deps.lock /deps"\n'
        'deps = "cat /deps"\n'
    )
    code, _, err = await agentui("checks", "build", cwd=project, environment=environment)
    assert code == 75
    assert "agentui checks build --yes" in err
    code, _, err = await agentui("checks", "run", "--fresh", "deps", cwd=project, environment=environment)
    assert code == 75
    assert "cp deps.lock /deps" in err
    code, out, err = await agentui("checks", "build", "--yes", cwd=project, environment=environment)
    assert code == 0, err
    code, out, err = await agentui("checks", "run", "--fresh", "deps", cwd=project, environment=environment)
    assert (code, out) == (0, (project / "deps.lock").read_text()), err
    # Another lock file is another image; the yes was given.
    (project / "deps.lock").write_text(f"{uuid.uuid4()}\n")
    code, out, err = await agentui("checks", "build", cwd=project, environment=environment)
    assert (code, "is built, from" in out) == (0, True), err


async def test_a_comparison_says_which_model_passed_the_check(
    simulator: RunningSimulator, project: Path, environment: dict[str, str], python_image: str
) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    written = "test -e tests/test_totals.py"
    added = await agentui(
        *("checks", "add", "--image", python_image, "written", written), cwd=project, environment=environment
    )
    assert added[0] == 0, added
    sides = (
        "--with",
        f"model={GEMMA_26B}",
        "--with",
        f"model={GEMMA_12B_MLX},max_turns=2",
        "--check",
        "written",
    )
    flags = ("--url", simulator.url, "--sandbox", "docker", "--json")
    code, out, err = await agentui("compare", TASK, *sides, *flags, cwd=project, environment=environment)
    assert code == 0, err
    told = [(c["check"], c["passed"], c["checked"], c["done"]) for c in json.loads(out)["columns"]]
    assert told == [("written", 1, 1, 1), ("written", 0, 1, 0)]
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
