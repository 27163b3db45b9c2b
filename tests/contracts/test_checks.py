"""Checks and the project profile on a real engine: what runs where, and what is left of it."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from agentui.config.checks import CheckDefinition, CheckLimits, ImageRecipe, ProjectChecks
from agentui.config.settings import Settings
from agentui.config.trust import TrustStore
from agentui.errors import SandboxUnavailable
from agentui.paths import Places
from agentui.sandbox import docker_volume
from agentui.sandbox.docker import DockerSandbox, Shell
from agentui.sandbox.docker_labels import PROJECT
from agentui.sandbox.engine import Engine
from agentui.sandbox.image import ToolsImage
from agentui.sandbox.project_image import ProjectImage
from agentui.sandbox.project_recipe import ImageSource, read_source
from agentui.wire.checks import open_checks, shell_image
from agentui.workspace.checks import Checks
from tests.contracts.sandboxes import Collector, Ran, docker_sandbox, play

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

MIB = 1024 * 1024


def check(name: str, run: str, image: str, **more: object) -> CheckDefinition:
    return CheckDefinition(name, run, ImageRecipe("image", image), **more)  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tools_image: ToolsImage) -> AsyncIterator[DockerSandbox]:
    """The agent's shell, whose copy the checks begin with."""
    sandbox = docker_sandbox(tools_image)
    await sandbox.start(lambda _: None)
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "home", tmp_path / "config", tmp_path / "state", tmp_path / "cache")


@pytest.fixture
def project() -> str:
    return f"checks-{uuid.uuid4().hex[:8]}"


Configure = Callable[..., Checks]


@pytest.fixture
def configure(
    tools_image: ToolsImage, shell: DockerSandbox, places: Places, tmp_path: Path, project: str
) -> Configure:
    """Checks over the shell's copy; `over` empty copies it file by file instead."""
    folder = tmp_path / project
    folder.mkdir()

    def made(*checks: CheckDefinition, over: str | None = None) -> Checks:
        settings = Settings(base_image=tools_image.base, checks=ProjectChecks(checks))
        above = shell.workspace_id if over is None else over
        return open_checks(settings, places, folder, "contract", shell.copy, above)

    return made


async def run(checks: Checks, command: str) -> Ran:
    call = checks.called(command)
    assert call is not None
    output = Collector()
    result = await checks.run(call, output)
    return Ran(result, bytes(output.stdout), bytes(output.stderr))


def left_of(engine: Engine, project: str) -> list[str]:
    """Containers and volumes that checks of a project left."""
    wanted = {"label": f"{PROJECT}={project}"}
    containers = [record["Id"] for record in engine.api.containers(all=True, filters=wanted)]
    volumes = engine.api.volumes(filters=wanted).get("Volumes") or []
    return [*containers, *(record["Name"] for record in volumes)]


PROBE = r"""
python3 - <<'E'
import os, socket, sys
print("python", sys.version_info.major)
print(open("made").read().strip(), os.readlink("link"), oct(os.stat("closed").st_mode & 0o777))
try:
    socket.create_connection(("1.1.1.1", 53), 2)
except OSError as error:
    print("net", error.errno)
try:
    open("/etc/x", "w")
except OSError as error:
    print("root", error.errno)
open("made", "w").write("changed")
os.rename("folder", "moved")
E
printf '#!/bin/bash\necho ran\n' > script && chmod +x script && ./script
"""


@pytest.mark.parametrize("over", [None, ""], ids=["over the copy", "file by file"])
async def test_a_check_has_interpreters_and_a_copy_of_the_files_and_leaves_nothing(
    configure: Configure,
    shell: DockerSandbox,
    engine: Engine,
    python_image: str,
    project: str,
    over: str | None,
) -> None:
    await play(
        shell,
        "rm -rf ./* && mkdir -p folder closed && echo agents > made && ln -s made link && chmod 700 closed",
    )
    before = sorted((e.path, e.mode, e.fingerprint) for e in await shell.copy.manifest())
    checks = configure(check("probe", PROBE, python_image), over=over)
    ran = await run(checks, "check probe")
    assert ran.stderr == b""
    assert ran.stdout.decode().splitlines() == ["python 3", "agents made 0o700", "net 101", "root 30", "ran"]
    assert (ran.result.outcome, ran.result.exit_code) == ("ok", 0)
    assert sorted((e.path, e.mode, e.fingerprint) for e in await shell.copy.manifest()) == before
    assert left_of(engine, project) == []


async def test_two_checks_know_nothing_of_each_other(configure: Configure, python_image: str) -> None:
    checks = configure(check("leave", "ls -A . /tmp; touch left /tmp/left", python_image))
    first, second = await run(checks, "check leave"), await run(checks, "check leave")
    assert first.stdout == second.stdout != b""


async def test_what_the_writes_name_comes_back_and_nothing_else(
    configure: Configure, shell: DockerSandbox, python_image: str
) -> None:
    await play(
        shell,
        "rm -rf ./* .git && mkdir -p docs src .git && echo a > docs/a && echo b > docs/b && echo s > src/s",
    )
    script = (
        "echo new > docs/a; rm docs/b; mkdir docs/deep; echo c > docs/deep/c; chmod 755 docs/deep/c;"
        "ln -s a docs/l; echo changed > src/s; echo hook > .git/hook; mkdir -p docs/.git;"
        "echo x > docs/.git/config; mkfifo docs/pipe"
    )
    checks = configure(check("docs", script, python_image, writes=("docs/**", ".git/**")))
    ran = await run(checks, "check docs")
    assert ran.result.outcome == "ok"
    assert ran.result.message == "wrote docs/a, docs/deep/c, docs/l; removed docs/b"
    seen = await play(
        shell, "cat docs/a docs/l docs/deep/c src/s; stat -c %a docs/deep/c; find . ! -type d | sort"
    )
    assert seen.stdout.decode().split() == [
        *("new", "new", "c", "s", "755"),
        *("./docs/a", "./docs/deep/c", "./docs/l", "./src/s"),
    ]


async def test_arguments_arrive_as_words(configure: Configure, python_image: str) -> None:
    checks = configure(check("say", "printf '[%s]' {args}", python_image))
    ran = await run(checks, """check say 'a b' '$(id)' "it's" ';touch x'""")
    assert ran.stdout == b"[a b][$(id)][it's][;touch x]"


async def test_a_check_ends_at_its_own_deadline(
    configure: Configure, python_image: str, engine: Engine, project: str
) -> None:
    checks = configure(check("slow", "echo begun; sleep 1000", python_image, limits=CheckLimits(timeout_s=1)))
    ran = await run(checks, "check slow")
    assert (ran.stdout, ran.result.outcome, ran.result.exit_code) == (b"begun\n", "timeout", None)
    assert left_of(engine, project) == []


async def test_a_check_out_of_memory_says_so(configure: Configure, python_image: str) -> None:
    limits = CheckLimits(memory_bytes=64 * MIB)
    checks = configure(check("eat", "python3 -c 'x = bytearray(10**9)'; true", python_image, limits=limits))
    assert (await run(checks, "check eat")).result.outcome == "oom"


async def test_a_cancelled_check_is_gone_with_its_container(
    configure: Configure, python_image: str, engine: Engine, project: str
) -> None:
    checks = configure(check("slow", "echo begun; sleep 1000", python_image))
    call = checks.called("check slow")
    assert call is not None
    begun = asyncio.Event()
    running = asyncio.create_task(checks.run(call, Collector(begun.set)))
    await asyncio.wait_for(begun.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left_of(engine, project) == []


async def test_a_check_cancelled_while_it_starts_leaves_nothing(
    configure: Configure, python_image: str, engine: Engine, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = configure(check("slow", "sleep 1000", python_image))
    call = checks.called("check slow")
    assert call is not None
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    real = docker_volume._try_mount

    def told(engine: Engine, image: str, name: str) -> None:
        loop.call_soon_threadsafe(reached.set)
        real(engine, image, name)

    monkeypatch.setattr(docker_volume, "_try_mount", told)
    running = asyncio.create_task(checks.run(call, Collector()))
    await asyncio.wait_for(reached.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left_of(engine, project) == []


async def test_a_frozen_check_stands_still_and_goes_on(configure: Configure, python_image: str) -> None:
    checks = configure(check("slow", "echo begun; sleep 1; echo ended", python_image))
    call = checks.called("check slow")
    assert call is not None
    begun = asyncio.Event()
    output = Collector(begun.set)
    running = asyncio.create_task(checks.run(call, output))
    await asyncio.wait_for(begun.wait(), 60)
    assert await checks.freeze()
    assert (await asyncio.wait({running}, timeout=1.5))[0] == set()
    await checks.thaw()
    assert (await running).outcome == "ok"
    assert output.stdout == b"begun\nended\n"


async def test_a_check_whose_image_needs_a_network_is_refused_with_the_command(configure: Configure) -> None:
    checks = configure(check("test", "pytest", "agentui-absent:nowhere"))
    ran = await run(checks, "check test")
    assert (ran.result.outcome, ran.result.exit_code) == ("refused", None)
    assert "agentui checks build" in ran.result.message
    assert "agentui-absent:nowhere is downloaded" in ran.result.message


async def test_dependencies_are_installed_from_the_lock_file_and_again_when_it_changes(
    engine: Engine, tools_image: ToolsImage, python_image: str, tmp_path: Path
) -> None:
    (tmp_path / "deps.lock").write_text("one\n")
    install = "cp deps.lock /opt/installed && id -u >> /opt/installed"
    recipe = ImageRecipe("image", python_image, ("deps.lock",), install)
    first = ProjectImage(engine, read_source(recipe, tmp_path))
    assert "cp deps.lock" in (first.network_reason() or "")
    tag = await first.build(lambda _: None)
    sandbox = throwaway(tools_image, lambda: tag)
    await sandbox.start(lambda _: None)
    try:
        assert (await play(sandbox, "cat /opt/installed")).stdout == b"one\n0\n"
    finally:
        await sandbox.aclose()
    assert first.is_built()
    (tmp_path / "deps.lock").write_text("two\n")
    second = ProjectImage(engine, read_source(recipe, tmp_path))
    assert not second.is_built()
    assert second.tag() != tag


async def test_an_image_without_bash_is_refused_by_name(engine: Engine) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    engine.api.import_image_from_data(buffer.getvalue(), repository="agentui-test-nobash", tag="1")
    image = ProjectImage(engine, ImageSource("image nobash", base="agentui-test-nobash:1"))
    try:
        with pytest.raises(SandboxUnavailable, match="has no /bin/bash"):
            await image.build(lambda _: None)
        assert not image.is_built()
    finally:
        engine.api.remove_image("agentui-test-nobash:1", force=True)


# --- the project profile -------------------------------------------------------------------------


def throwaway(tools_image: ToolsImage, find_tag: Callable[[], str]) -> DockerSandbox:
    name = f"test-{uuid.uuid4().hex[:8]}"
    return DockerSandbox(
        tools_image.engine, tools_image, name, is_throwaway=True, may_build=True, shell=Shell(find_tag)
    )


@pytest.fixture
def own_project(tmp_path: Path, python_image: str) -> Path:
    """A project with a Dockerfile of its own, behind a devcontainer."""
    folder = tmp_path / f"own-{uuid.uuid4().hex[:8]}"
    (folder / ".devcontainer").mkdir(parents=True)
    (folder / "Dockerfile").write_text(
        f"FROM {python_image}\nARG MARK\nRUN echo $MARK > /mark\nVOLUME /cache\n"
    )
    build = {"dockerfile": "../Dockerfile", "context": "..", "args": {"MARK": "own"}}
    config = json.dumps({"build": build, "features": {"x": 1}}, indent=1)
    text = "// as editors write it\n" + config.removesuffix("\n}") + ",\n}"
    (folder / ".devcontainer/devcontainer.json").write_text(text)
    return folder


async def test_the_projects_own_image_is_the_shell_after_a_yes_that_a_change_takes_back(
    tools_image: ToolsImage, own_project: Path, places: Places
) -> None:
    settings = Settings(base_image=tools_image.base, profile="project")
    image = await shell_image(settings, places, own_project)
    assert "features" in image.why
    assert not await image.is_built()
    with pytest.raises(SandboxUnavailable, match="you have not"):
        await throwaway(tools_image, image.agreed_tag).start(lambda _: None)
    await image.build(lambda _: None)
    assert await image.is_built()
    assert TrustStore(places.trust_file).trusts_image(own_project, image.image.digest())
    sandbox = throwaway(tools_image, image.agreed_tag)
    await sandbox.start(lambda _: None)
    try:
        facts = sandbox.facts
        assert (facts.label, facts.network, facts.has_interpreters) == (
            "project image, no network",
            "none",
            True,
        )
        command = "cat /mark; python3 -c 'print(6 * 7)'; mkdir sub; cd sub; touch /mark /etc/x; check x"
        ran = await play(sandbox, command)
        assert ran.stdout == b"own\n42\n"
        assert b"'/etc/x': Read-only file system" in ran.stderr
        assert b"checks run outside" in ran.stderr
        assert ran.result.cwd == "sub"
        assert (await play(sandbox, "exec 3<>/dev/tcp/1.1.1.1/53")).result.outcome == "error"
    finally:
        await sandbox.aclose()
    with (own_project / "Dockerfile").open("a") as file:
        file.write("RUN true\n")
    changed = await shell_image(settings, places, own_project)
    assert not await changed.is_built()
    with pytest.raises(SandboxUnavailable, match="you have not"):
        changed.agreed_tag()
    # Built is not agreed to.
    await changed.image.build(lambda _: None)
    assert changed.image.is_built()
    assert not await changed.is_built()


async def test_both_profiles_work_on_the_same_copy(
    tools_image: ToolsImage, engine: Engine, own_project: Path, places: Places
) -> None:
    settings = Settings(base_image=tools_image.base, profile="project")
    image = await shell_image(settings, places, own_project)
    await image.build(lambda _: None)
    workspace = f"test-{uuid.uuid4().hex[:8]}"
    plain = docker_sandbox(tools_image, workspace, is_throwaway=False)
    await plain.start(lambda _: None)
    await play(plain, "echo plain > file; printf '#!/bin/bash\necho ran\n' > s; chmod +x s")
    await plain.aclose()
    own = DockerSandbox(engine, tools_image, workspace, shell=Shell(image.agreed_tag))
    await own.start(lambda _: None)
    assert (await play(own, "cat file; ./s; echo own > file")).stdout == b"plain\nran\n"
    await own.aclose()
    again = docker_sandbox(tools_image, workspace)
    await again.start(lambda _: None)
    ran = await play(again, "cat file; ./s")
    assert (ran.stdout, ran.result.exit_code) == (b"own\n", 126)
    await again.aclose()
    assert not docker_volume.has_workspace(engine, workspace)
