"""Attempts to get out of the command sandbox or to break it, played for real, with what must hold after each.

tests/data/sandbox-cases.json says in its `about` how a case reads. The cases of the research profile, and those
about faults of the engine itself, belong to other tests; so does what a case says about applying changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from agentui.sandbox.base import Command, Sandbox
from agentui.sandbox.bubblewrap import NOT_GIVEN
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.docker_labels import WORKSPACE_ID
from agentui.sandbox.folder_copy import FolderCopy
from tests.contracts.sandboxes import Collector, docker_sandbox, host_sandbox, play, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data/sandbox-cases.json").read_bytes())[
    "cases"
]
PLAYED = [case for case in CASES if "command" in case and case["profile"] == "default"]
NOT_ON_BUBBLEWRAP = {
    "binary-workspace": "noexec",
    "ld-so": "noexec",
    "proc-root": "pid1",
    "ifaces": "sysfs",
    "chown-root": "owner",
}
"""Cases that bubblewrap does not hold, with the name in its own list of what it does not give."""
LONGEST_S = 60.0
NO_PROCESS = r"""
for status in /proc/[0-9]*/status; do
    while read -r key value _; do
        [[ $key == Uid: && $value == "$UID" && $status != "/proc/$$/status" ]] && echo "left: $status"
    done <"$status"
done 2>/dev/null
"""


@dataclass(frozen=True, slots=True)
class Project:
    root: Path
    paths: tuple[bytes, ...]


def tree_digest(root: Path) -> str:
    """Names, modes, links and contents of a whole tree."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(os.fsencode(root)):
        folders.sort()
        for name in sorted(folders + files):
            full = os.path.join(folder, name)
            status = os.lstat(full)
            digest.update(b"\0".join((full, b"%o %d" % (status.st_mode, status.st_mtime_ns))))
            if os.path.islink(full):
                digest.update(os.readlink(full))
            elif os.path.isfile(full):
                with open(full, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("project")
    (root / "src/a").mkdir(parents=True)
    for number in range(1, 41):
        (root / f"src/a/f{number}").write_text(f"{number}\n")
    (root / "README.md").write_text("a project\n")
    (root / ".gitignore").write_text(".env\n")
    (root / "ls").symlink_to("src")
    (root / "empty").mkdir()
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@t"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    (root / "untracked").write_text("u\n")
    (root / ".env").write_text("x=1\n")
    base = os.fsencode(root)
    paths = tuple(
        os.path.relpath(os.path.join(folder, name), base)
        for folder, folders, files in os.walk(base)
        for name in folders + files
    )
    return Project(root, paths)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param("docker", marks=pytest.mark.docker), "bubblewrap"],
)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sandbox]:
    sandbox: Sandbox
    if request.param == "docker":
        sandbox = docker_sandbox(request.getfixturevalue("tools_image"))
    else:
        sandbox = host_sandbox(request.param, tmp_path_factory.mktemp("sandbox") / "copy")
    await started(sandbox)
    yield sandbox
    await sandbox.aclose()


async def act(sandbox: Sandbox, action: str, begun: asyncio.Event) -> None:
    """What a case does to the sandbox once its command has begun."""
    await begun.wait()
    if action == "pause":
        assert await sandbox.freeze()
        await asyncio.sleep(1)
        await sandbox.thaw()
    elif isinstance(sandbox, DockerSandbox):
        api = sandbox.image.engine.api
        wanted = [f"{WORKSPACE_ID}={sandbox.workspace_id}", "agentui.role=commands"]
        (record,) = api.containers(filters={"label": wanted})
        await asyncio.to_thread(api.kill, record["Id"])
    else:
        # Bubblewrap itself; the first process in the jail is its child.
        psutil.Process(min(jails_of(sandbox))).kill()


async def play_case(sandbox: Sandbox, case: dict[str, Any]) -> tuple[Any, Collector]:
    begun = asyncio.Event()
    output = Collector(begun.set)
    check = case["check"]
    acting = asyncio.create_task(act(sandbox, check["action"], begun)) if "action" in check else None
    command = Command(case["command"], timeout_s=float(check.get("timeout", LONGEST_S)))
    result = await sandbox.run(command, output)
    if acting is not None:
        await acting
    return result, output


@pytest.mark.parametrize("case", PLAYED, ids=[case["id"] for case in PLAYED])
async def test_the_case_holds(running: Sandbox, project: Project, case: dict[str, Any]) -> None:
    if running.facts.kind == "bubblewrap" and case["id"] in NOT_ON_BUBBLEWRAP:
        pytest.skip(f"bubblewrap: {NOT_GIVEN[NOT_ON_BUBBLEWRAP[case['id']]]}")
    await running.copy.clear()
    await running.copy.seed(project.root, project.paths, lambda *_: None)
    before = tree_digest(project.root)
    result, output = await play_case(running, case)
    check = case["check"]
    stdout, stderr = output.stdout.decode("utf-8", "replace"), output.stderr.decode("utf-8", "replace")
    match check.get("exit"):
        case int(code):
            assert result.exit_code == code, (result, stdout, stderr)
        case "nonzero":
            assert result.exit_code != 0, (result, stdout, stderr)
        case "gone":
            assert (result.outcome, result.exit_code) == ("lost", None)
    assert re.search(check.get("stdout", ""), stdout), (stdout, stderr)
    assert re.search(check.get("stderr", ""), stderr), (stdout, stderr)
    assert not ("stdout_not" in check and re.search(check["stdout_not"], stdout)), stdout
    await check_after(running, project, before)


def jails_of(sandbox: Sandbox) -> list[int]:
    """First processes of its jails that still run; the kernel ends all others with them."""
    copy = sandbox.copy
    assert isinstance(copy, FolderCopy)
    found: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(copy.folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


async def check_after(sandbox: Sandbox, project: Project, before: str) -> None:
    if isinstance(sandbox, DockerSandbox):
        assert (await play(sandbox, NO_PROCESS)).stdout == b""
    else:
        assert jails_of(sandbox) == []
    following = await play(sandbox, "echo next")
    assert (following.stdout, following.result.outcome) == (b"next\n", "ok")
    assert tree_digest(project.root) == before
