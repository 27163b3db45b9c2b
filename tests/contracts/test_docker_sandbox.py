"""What only the Docker sandbox promises: containment, and the truth about a container that goes away."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentui.errors import SandboxUnavailable
from agentui.sandbox import docker_volume
from agentui.sandbox.base import Command
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.docker_container import Container, ContainerPlan, open_container
from agentui.sandbox.docker_labels import OWNER, WORKSPACE_ID, remove_leftovers
from agentui.sandbox.engine import Engine
from agentui.sandbox.image import ToolsImage
from tests.contracts.sandboxes import Collector, docker_sandbox, play

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

OWNER_PROGRAM = """
import asyncio, sys
from agentui.sandbox.engine import find_engine
from agentui.sandbox.image import ToolsImage
from tests.contracts.sandboxes import docker_sandbox
from agentui.sandbox.base import Command

async def main():
    sandbox = docker_sandbox(ToolsImage(find_engine(), sys.argv[1]), sys.argv[2])
    await sandbox.start(lambda _: None)
    running = asyncio.create_task(sandbox.run(Command("sleep 1000"), print))
    if sys.argv[3] == "frozen":
        while not await sandbox.freeze():
            await asyncio.sleep(0)
    print("ready", flush=True)
    await running

asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tools_image: ToolsImage) -> AsyncIterator[DockerSandbox]:
    sandbox = docker_sandbox(tools_image)
    await sandbox.start(lambda _: None)
    yield sandbox
    await sandbox.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(running: DockerSandbox) -> DockerSandbox:
    await running.copy.clear()
    return running


async def test_containers_are_listed_under_the_name_of_their_workspace(
    engine: Engine, sandbox: DockerSandbox
) -> None:
    found = containers_of(engine, sandbox)
    assert found
    for record in found:
        assert record["Names"][0].startswith(f"/agentui-{sandbox.workspace_id}-")


def containers_of(engine: Engine, sandbox_or_id: DockerSandbox | str, role: str = "") -> list[dict[str, Any]]:
    workspace = sandbox_or_id if isinstance(sandbox_or_id, str) else sandbox_or_id.workspace_id
    wanted = [f"{WORKSPACE_ID}={workspace}"] + ([f"agentui.role={role}"] if role else [])
    found: list[dict[str, Any]] = engine.api.containers(all=True, filters={"label": wanted})
    return found


def command_container(engine: Engine, sandbox: DockerSandbox) -> str:
    (record,) = containers_of(engine, sandbox, "commands")
    return str(record["Id"])


async def started_sleep(sandbox: DockerSandbox) -> tuple[asyncio.Task[Any], Collector]:
    started = asyncio.Event()
    output = Collector(started.set)
    task = asyncio.create_task(sandbox.run(Command("echo go; sleep 30; echo done"), output))
    await started.wait()
    return task, output


async def test_the_self_test_held_everywhere(sandbox: DockerSandbox) -> None:
    assert {check.name: check.held for check in sandbox.checks} == dict.fromkeys(
        ("outside", "secret", "network", "python", "proc", "noexec", "processes"), True
    )
    assert sandbox.facts.notes == ()
    assert sandbox.facts.is_isolated


async def test_the_container_is_shut_as_planned(sandbox: DockerSandbox, engine: Engine) -> None:
    record = engine.api.inspect_container(command_container(engine, sandbox))
    host = record["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"]) == (
        "none",
        True,
        ["ALL"],
        None,
    )
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert (host["PidsLimit"], host["Memory"], host["MemorySwap"]) == (256, 256 * 2**20, 256 * 2**20)
    assert (host["Binds"], host["Devices"] or [], host["PortBindings"] or {}) == (None, [], {})
    assert [(mount["Type"], mount["Destination"]) for mount in record["Mounts"]] == [("volume", "/workspace")]
    assert (record["Config"]["StdinOnce"], record["Config"]["User"]) == (True, "0:0")


async def test_a_command_has_no_power_and_no_name_but_the_agents(sandbox: DockerSandbox) -> None:
    ran = await play(sandbox, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; id -u; id -un")
    assert ran.stdout.split() == (
        b"CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 1000 agent".split()
    )


async def test_native_code_cannot_be_put_into_a_process(sandbox: DockerSandbox) -> None:
    ran = await play(sandbox, "sleep 5 & : >/proc/$!/mem")
    assert ran.result.outcome == "error"
    assert b"Read-only file system" in ran.stderr


async def test_out_of_memory_is_told_by_the_counter_not_by_the_exit_code(sandbox: DockerSandbox) -> None:
    ran = await play(sandbox, "tail /dev/zero; echo rc=$?")
    assert (ran.result.outcome, ran.result.exit_code) == ("oom", 0)
    assert "0.25 GiB" in ran.result.message
    assert (await play(sandbox, "echo next")).result.outcome == "ok"


async def test_a_fork_bomb_is_ended_and_the_next_command_runs(sandbox: DockerSandbox) -> None:
    ran = await play(sandbox, ":(){ :|:& };: ; sleep 20", timeout_s=2)
    assert ran.result.outcome == "timeout"
    assert (await play(sandbox, "echo next")).stdout == b"next\n"


async def test_the_agent_cannot_end_the_container(sandbox: DockerSandbox) -> None:
    ran = await play(sandbox, "kill -9 1; kill -9 -1; echo survived")
    assert ran.stdout == b"survived\n"
    assert "new" not in ran.result.message


async def test_a_flood_of_reports_changes_no_directory(sandbox: DockerSandbox) -> None:
    await play(
        sandbox,
        "mkdir d; for i in {1..3000}; do printf 'x /workspace/d\\0'; done >/run/agentui/report 2>&1 &",
    )
    assert (await play(sandbox, "pwd")).result.cwd == ""


async def test_a_killed_container_is_lost_and_the_next_command_gets_another(
    sandbox: DockerSandbox, engine: Engine
) -> None:
    await play(sandbox, "echo kept >kept")
    task, output = await started_sleep(sandbox)
    engine.api.kill(command_container(engine, sandbox))
    result = await task
    assert (result.outcome, result.exit_code) == ("lost", None)
    assert bytes(output.stdout) == b"go\n"
    assert (await play(sandbox, "cat kept")).stdout == b"kept\n"


async def test_a_container_removed_under_a_command_is_lost(sandbox: DockerSandbox, engine: Engine) -> None:
    task, _ = await started_sleep(sandbox)
    engine.api.remove_container(command_container(engine, sandbox), force=True)
    result = await task
    assert (result.outcome, result.exit_code) == ("lost", None)
    assert (await play(sandbox, "echo next")).stdout == b"next\n"


@pytest.mark.case("container-removed")
async def test_a_container_removed_between_two_commands_is_replaced(
    sandbox: DockerSandbox, engine: Engine
) -> None:
    await play(sandbox, "echo kept >kept")
    engine.api.remove_container(command_container(engine, sandbox), force=True)
    assert (await play(sandbox, "cat kept")).stdout == b"kept\n"


async def test_the_helper_of_the_copy_is_replaced_too(sandbox: DockerSandbox, engine: Engine) -> None:
    await play(sandbox, "echo x >f")
    await sandbox.copy.manifest()
    (helper,) = containers_of(engine, sandbox, "copy")
    engine.api.remove_container(helper["Id"], force=True)
    assert [entry.path for entry in await sandbox.copy.manifest()] == [b"f"]


async def test_a_workspace_is_kept_for_the_next_session(tools_image: ToolsImage, engine: Engine) -> None:
    workspace_id = f"test-{uuid.uuid4().hex[:12]}"
    first = docker_sandbox(tools_image, workspace_id, is_throwaway=False)
    await first.start(lambda _: None)
    await play(first, "echo kept >f; chmod 600 f")
    before = await first.copy.manifest()
    await first.aclose()
    second = docker_sandbox(tools_image, workspace_id)
    await second.start(lambda _: None)
    try:
        assert await second.copy.manifest() == before
        assert (await play(second, "cat f")).stdout == b"kept\n"
    finally:
        await second.aclose()


async def test_a_throwaway_sandbox_leaves_nothing_behind(tools_image: ToolsImage, engine: Engine) -> None:
    sandbox = docker_sandbox(tools_image)
    await sandbox.start(lambda _: None)
    await play(sandbox, "echo x >f")
    await sandbox.copy.manifest()
    await sandbox.aclose()
    assert containers_of(engine, sandbox) == []
    assert not engine.api.volumes(filters={"label": f"{WORKSPACE_ID}={sandbox.workspace_id}"})["Volumes"]


@pytest.mark.parametrize("word", ["starting the container", "testing the sandbox"])
async def test_a_start_that_is_cancelled_leaves_nothing_behind(
    tools_image: ToolsImage, engine: Engine, word: str
) -> None:
    sandbox = docker_sandbox(tools_image)
    reached = asyncio.Event()
    starting = asyncio.create_task(sandbox.start(lambda text: reached.set() if text == word else None))
    await reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert containers_of(engine, sandbox) == []
    assert not engine.api.volumes(filters={"label": f"{WORKSPACE_ID}={sandbox.workspace_id}"})["Volumes"]


async def test_a_new_copy_that_commands_wrote_to_is_not_taken_for_empty(tools_image: ToolsImage) -> None:
    sandbox = docker_sandbox(tools_image)
    await sandbox.start(lambda _: None)
    try:
        await play(sandbox, "mkdir -p a/b; echo x >a/b/c")
        await sandbox.copy.clear()
        assert await sandbox.copy.manifest() == ()
    finally:
        await sandbox.aclose()


async def test_a_copy_is_new_at_its_first_start_only(tools_image: ToolsImage, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    workspace_id = f"test-{uuid.uuid4().hex[:12]}"
    sandbox = docker_sandbox(tools_image, workspace_id, is_throwaway=False)
    try:
        await sandbox.start(lambda _: None)
        await sandbox.copy.seed(tmp_path, [b"f"], lambda *_: None)
        await sandbox.aclose()
        await sandbox.start(lambda _: None)
        await sandbox.copy.clear()
        assert await sandbox.copy.manifest() == ()
    finally:
        await sandbox.remove_copy()


@pytest.mark.parametrize("state", ["running", "frozen"])
async def test_what_a_killed_session_leaves_is_removed_at_the_next_start(
    tools_image: ToolsImage, engine: Engine, state: str
) -> None:
    workspace_id = f"test-{uuid.uuid4().hex[:12]}"
    checkout = Path(__file__).parents[2]
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER_PROGRAM, tools_image.base, workspace_id, state),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{checkout}:{checkout}/app"},
    )
    try:
        assert owner.stdout is not None
        assert await owner.stdout.readline() == b"ready\n"
        remove_leftovers(engine)
        assert len(containers_of(engine, workspace_id, "commands")) == 1, (
            "a living session's container was removed"
        )
    finally:
        owner.send_signal(signal.SIGKILL)
        await owner.wait()
    # The engine may still be busy with what it began for the dead session.
    wanted = {"label": f"{WORKSPACE_ID}={workspace_id}"}
    async with asyncio.timeout(60):
        while containers_of(engine, workspace_id) or engine.api.volumes(filters=wanted)["Volumes"]:
            await asyncio.to_thread(remove_leftovers, engine)


async def test_somebody_elses_containers_are_left_alone(tools_image: ToolsImage, engine: Engine) -> None:
    created = engine.api.create_container(tools_image.tag, ["true"], labels={OWNER: "another-machine:1:1.0"})
    try:
        remove_leftovers(engine)
        assert engine.api.inspect_container(created["Id"])["Id"] == created["Id"]
    finally:
        engine.api.remove_container(created["Id"])


async def test_an_engine_without_noexec_volumes_is_used_with_a_note(
    tools_image: ToolsImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docker.errors import APIError

    def refuse(*_: object) -> None:
        raise APIError("no overlay here")

    monkeypatch.setattr(docker_volume, "_remake", refuse)
    sandbox = docker_sandbox(tools_image)
    await sandbox.start(lambda _: None)
    try:
        assert {check.name for check in sandbox.checks if not check.held} == {"noexec"}
        assert "files of the workspace can be executed" in sandbox.facts.notes[0]
        assert (await play(sandbox, "echo x >f; cat f")).stdout == b"x\n"
    finally:
        await sandbox.aclose()


async def test_a_sandbox_that_does_not_hold_does_not_start(
    tools_image: ToolsImage, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_writable_proc(engine: Engine, plan: ContainerPlan) -> Container:
        return open_container(engine, dataclasses.replace(plan, has_readonly_proc=False))

    monkeypatch.setattr("agentui.sandbox.docker.open_container", with_writable_proc)
    sandbox = docker_sandbox(tools_image)
    with pytest.raises(SandboxUnavailable, match="writing to /proc"):
        await sandbox.start(lambda _: None)
    assert containers_of(engine, sandbox) == []


@pytest.mark.case("image-missing")
async def test_a_missing_image_is_said_and_not_built_unasked(engine: Engine) -> None:
    sandbox = DockerSandbox(engine, ToolsImage(engine, "nowhere.invalid/base:1"), "test-missing")
    with pytest.raises(SandboxUnavailable, match="not built yet") as caught:
        await sandbox.start(lambda _: None)
    assert "agentui sandbox build" in caught.value.hint


async def test_a_base_that_cannot_be_pulled_is_named(engine: Engine) -> None:
    image = ToolsImage(engine, "nowhere.invalid/base:1")
    with pytest.raises(SandboxUnavailable, match=r"nowhere\.invalid/base:1 is not here") as caught:
        await image.build(lambda _: None)
    assert "make-base-image.sh" in caught.value.hint


async def test_the_image_holds_no_interpreter_no_setuid_file_and_no_client(sandbox: DockerSandbox) -> None:
    names = (
        "python perl ruby node lua php gcc cc ld as curl wget nc ssh openssl apt dpkg su sudo mount busybox vi"
    )
    ran = await play(
        sandbox, f"for n in {names}; do type -P $n; done; find / -xdev -perm /6000 -type f 2>/dev/null"
    )
    assert ran.stdout == b""
    scripts = (
        "find / -xdev -type f -perm /111 -not -path '/proc/*' 2>/dev/null |"
        ' while read -r f; do IFS= read -r l <"$f"; [[ $l == \'#!\'* ]] && echo "${l#??}"; done 2>/dev/null |'
        " awk '{print $1}' | sort -u"
    )
    ran = await play(sandbox, scripts)
    assert set(ran.stdout.split()) <= {b"/bin/sh", b"/bin/bash", b"/bin/dash", b"/usr/bin/sh", b"/usr/bin/bash"}


async def test_the_tools_it_promises_work(sandbox: DockerSandbox) -> None:
    ran = await play(
        sandbox,
        "set -e; git init -q r; cd r; echo a >f; git add f; git commit -qm one; echo b >>f; git diff | cat;"
        " git stash -q; git stash pop -q; rg -q b f; fd -q '^f$'; echo '{\"x\":[1]}' | jq -c .x; tree -L 1;"
        " file f; printf 'all:\\n\\techo made\\n' >Makefile; make -s; tar cf ../t.tar f; gzip -9 ../t.tar;"
        " xz -k ../t.tar.gz; awk '{print $1}' f; less f; ps aux >/dev/null; diff f f; patch -v >/dev/null",
    )
    assert (ran.result.outcome, ran.stderr) == ("ok", b"")
    assert b"[1]\n" in ran.stdout


async def test_a_volume_that_was_made_again_under_its_name_is_told_from_the_one_before(
    tools_image: ToolsImage,
) -> None:
    first = docker_sandbox(tools_image)
    await first.open_copy()
    identity = await first.copy.identity()
    second = DockerSandbox(tools_image.engine, tools_image, first.workspace_id, is_throwaway=True)
    await second.open_copy()
    assert identity
    assert await second.copy.identity() == identity
    await first.aclose()
    await second.aclose()
    third = DockerSandbox(tools_image.engine, tools_image, first.workspace_id, is_throwaway=True)
    await third.open_copy()
    try:
        assert await third.copy.identity() not in (None, identity)
    finally:
        await third.aclose()
