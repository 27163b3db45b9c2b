"""Pi in its container on a real engine: it works, and nothing but the model's gateway answers it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from agentui.control import Submit
from agentui.errors import HarnessUnavailable, SandboxUnavailable
from agentui.events import HarnessStarted, MessageStarted, RunEnded, ToolStarted
from agentui.harness.pi.container import ContainerPlace
from agentui.harness.pi.install import PiInstallation, packed_for_image
from agentui.harness.pi.launch import PiFolders
from agentui.paths import PI_EXTENSION
from agentui.sandbox.docker_labels import OWNER, ROLE, owner_label, remove_leftovers
from agentui.sandbox.docker_stream import open_exec
from agentui.sandbox.engine import Engine
from agentui.sandbox.image import ToolsImage
from agentui.sandbox.pi_container import PI_VERSION, PiImage
from agentui.simulator.config import SimulatorConfig
from tests.contracts import pi_rig
from tests.contracts.reach import service_everywhere

TASK = "split report.py into modules with PEP 585 type hints"


@pytest.fixture(scope="module")
def pi_image(tools_image: ToolsImage) -> PiImage:
    image = PiImage(tools_image.engine, tools_image.base, PI_EXTENSION)
    try:
        if not asyncio.run(image.is_built()):
            asyncio.run(built(image))
    except (SandboxUnavailable, HarnessUnavailable) as error:
        pytest.skip(f"Pi's image cannot be built without a Debian mirror and npm: {error.message[-300:]}")
    return image


async def built(image: PiImage) -> None:
    """As `agentui pi build` does it: npm fetches here, which is some minutes faster than in the build."""
    pi_rig.has_npm()
    await image.build(lambda _: None, await packed_for_image(image.engine.facts.architecture, lambda _: None))


def folders_in(folder: Path) -> PiFolders:
    return PiFolders(folder / "private", folder / "sessions", folder / "workdir", PI_EXTENSION)


def owned(engine: Engine, owner: str) -> list[str]:
    found = engine.api.containers(all=True, filters={"label": f"{OWNER}={owner}"})
    return [record["Names"][0] for record in found if record["Labels"].get(ROLE) in ("pi", "relay")]


def in_container(engine: Engine, container_id: str, script: str) -> str:
    """What a script prints that runs beside Pi, as Pi."""
    _, stream = open_exec(engine, container_id, ("/bin/bash", "-c", script), user="1000:1000", workdir="/")
    said = b"".join(data for _, data in stream.frames())
    stream.close()
    return said.decode()


async def test_task_is_worked_on_to_its_end_and_nothing_is_left(
    pi_image: PiImage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = folders_in(tmp_path)
    monkeypatch.setattr(pi_rig, "HostPlace", lambda folder: ContainerPlace(lambda: pi_image, folders))
    fast = SimulatorConfig(unpaced=True)
    async with pi_rig.rig("pi", cast(PiInstallation, object()), tmp_path, config=fast) as found:
        assert len(owned(engine, owner_label())) == 2
        found.supervisor.send(Submit(TASK))
        async with asyncio.timeout(90):
            end = await found.log.wait_for(RunEnded)
        assert (end.reason, end.error) == ("done", None)
        assert [e.version for e in found.log.of(HarnessStarted)] == [PI_VERSION]
        commands = [e.command for e in found.log.of(ToolStarted)]
        assert commands == found.sandbox.ran
        assert len(commands) > 3
    assert owned(engine, owner_label()) == []
    assert list(folders.sessions.glob("*.jsonl")), "Pi's own file stays, so that it can go on"


async def test_a_relay_that_somebody_ends_ends_the_run_and_is_made_again_for_the_next_task(
    pi_image: PiImage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = folders_in(tmp_path)
    monkeypatch.setattr(pi_rig, "HostPlace", lambda folder: ContainerPlace(lambda: pi_image, folders))
    swift = SimulatorConfig(speed=10)
    async with pi_rig.rig("pi", cast(PiInstallation, object()), tmp_path, config=swift) as found:
        found.supervisor.send(Submit(TASK))
        await found.log.wait_for(MessageStarted, lambda e: e.role == "assistant")
        [relay] = [name for name in owned(engine, owner_label()) if "relay" in name]
        engine.api.remove_container(relay.lstrip("/"), force=True)
        async with asyncio.timeout(90):
            end = await found.log.wait_for(RunEnded)
        assert (end.reason, end.error) == ("unavailable", "Pi's way to the model was ended from outside")
        found.supervisor.send(Submit("say hello"))
        async with asyncio.timeout(90):
            end = await found.log.wait_for(RunEnded, lambda e: e is not end)
        assert (end.reason, end.error) == ("done", None)
        assert len(owned(engine, owner_label())) == 2
    assert owned(engine, owner_label()) == []


async def test_nothing_of_the_host_answers_but_the_model(
    pi_image: PiImage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = folders_in(tmp_path)
    monkeypatch.setattr(pi_rig, "HostPlace", lambda folder: ContainerPlace(lambda: pi_image, folders))
    async with service_everywhere() as service:
        script = f"""
{service.script()}
awk '$4 == "0A" {{print $2}}' /proc/net/tcp /proc/net/tcp6
for place in / /etc /opt/agentui/extension /relay {folders.workdir} /private; do
    touch "$place/x" 2>/dev/null && echo "wrote $place"
done
ls /var/run/docker.sock /run/docker.sock 2>/dev/null
echo done
"""
        simulator = SimulatorConfig(unpaced=True)
        async with pi_rig.rig("pi", cast(PiInstallation, object()), tmp_path, config=simulator):
            own = {"label": [f"{OWNER}={owner_label()}", f"{ROLE}=pi"]}
            [record] = engine.api.containers(filters=own)
            said = await asyncio.to_thread(in_container, engine, record["Id"], script)
    # Sending a datagram into the container's own loopback is no way out of it.
    lines = [line for line in said.splitlines() if line not in ("sent 127.0.0.1", "sent ::1")]
    assert lines == ["0100007F:04D2", "done"]
    assert service.visitors == []


_ABANDONED = """
import sys, time
from pathlib import Path
from agentui.sandbox.docker_labels import OWNER, owner_label
from agentui.sandbox.engine import find_engine
from agentui.sandbox.pi_container import PiMounts, open_pi
from agentui.sandbox.relay import RelayPlan, open_relay

engine, labels = find_engine(), {OWNER: owner_label()}
relay = open_relay(engine, RelayPlan(sys.argv[1], 9, labels))
pi = open_pi(engine, sys.argv[1], ["--mode", "rpc"], PiMounts(()), relay.volume, labels=labels, environment={},
    workdir="/workspace")
print(labels[OWNER], relay.volume, flush=True)
time.sleep(600)
"""


def test_what_a_killed_agentui_leaves_is_gone_after_the_next_start(pi_image: PiImage, engine: Engine) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _ABANDONED, pi_image.tag], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    owner, _, volume = child.stdout.readline().strip().rpartition(" ")
    assert len(owned(engine, owner)) == 2
    child.kill()
    child.wait()
    remove_leftovers(engine)
    assert owned(engine, owner) == []
    assert volume not in {found["Name"] for found in engine.api.volumes()["Volumes"] or []}
