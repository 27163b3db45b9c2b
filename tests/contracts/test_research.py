"""The research profile on a real engine: curl reaches what is listed, through the proxy, and nothing else."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentui.errors import SandboxUnavailable
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.egress.proxy import Decision, EgressProxy, Streams
from agentui.sandbox.egress.rules import parse_target
from agentui.sandbox.engine import Engine
from agentui.sandbox.image import ToolsImage
from agentui.sandbox.limits import SandboxLimits
from agentui.sandbox.research import WayOut
from tests.contracts.reach import service_everywhere
from tests.contracts.sandboxes import play

DATA = Path(__file__).parents[1] / "data" / "sandbox-cases.json"
CASES = [case for case in json.loads(DATA.read_text())["cases"] if case.get("profile") == "research"]
GOOD_ADDRESS, EVIL_ADDRESS = "93.184.216.34", "93.184.216.35"


@pytest.fixture(scope="module")
def research_image(tools_image: ToolsImage) -> ToolsImage:
    image = ToolsImage(tools_image.engine, tools_image.base, "research")
    try:
        asyncio.run(image.build(lambda _: None))
    except SandboxUnavailable as error:
        pytest.skip(f"the research image cannot be built without a Debian mirror: {error.message[:300]}")
    return image


@dataclass
class StandIn:
    """Two servers in the place of the internet, and what was asked of them."""

    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    evil_was_reached: bool = False

    async def resolve(self, host: str, port: int) -> list[str]:
        return [GOOD_ADDRESS if host == "api.good.test" else EVIL_ADDRESS]

    async def connect(self, address: str, port: int) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.ports[address, port])

    async def serve_good(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"GET /redir" in head:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood")
        await writer.drain()
        writer.close()

    async def serve_evil(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.evil_was_reached = True
        writer.close()


@pytest.fixture
async def internet(tmp_path: Path) -> AsyncIterator[StandIn]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make the stand-in server's certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    making = (
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.good.test -keyout {key} -out {certificate}"
    )
    await asyncio.to_thread(subprocess.run, [openssl, *making.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    found = StandIn()
    good = await asyncio.start_server(found.serve_good, "127.0.0.1", 0, ssl=context)
    # On every address of the host, as services that a container must not reach often are.
    evil = await asyncio.start_server(found.serve_evil, "0.0.0.0", 0)
    evil_port = evil.sockets[0].getsockname()[1]
    found.ports = {(GOOD_ADDRESS, 443): good.sockets[0].getsockname()[1], (EVIL_ADDRESS, 443): evil_port}
    yield found
    good.close()
    evil.close()


@pytest.fixture
async def research(research_image: ToolsImage, internet: StandIn) -> AsyncIterator[DockerSandbox]:
    proxy = EgressProxy(
        [parse_target("api.good.test:443")],
        internet.decisions.append,
        resolve=internet.resolve,
        connect=internet.connect,
    )
    sandbox = DockerSandbox(
        research_image.engine,
        research_image,
        f"test-{uuid.uuid4().hex[:12]}",
        session="contract",
        limits=SandboxLimits(memory_bytes=256 << 20),
        is_throwaway=True,
        way_out=WayOut(proxy),
    )
    await sandbox.start(lambda _: None)
    yield sandbox
    await sandbox.aclose()


def command_of(case: dict[str, Any]) -> str:
    return str(case["command"]).replace("EVIL_IP", EVIL_ADDRESS)


async def test_every_egress_case_holds_and_each_connection_is_one_decision(
    research: DockerSandbox, internet: StandIn
) -> None:
    assert len(CASES) == 13
    for case in CASES:
        internet.decisions.clear()
        ran = await play(research, command_of(case))
        verdicts = [decision.verdict for decision in internet.decisions]
        if case["check"]["result"] == "ok":
            assert (ran.stdout, verdicts) == (b"good", ["allowed"]), case["id"]
        elif case["id"] == "eg-redirect":
            assert verdicts == ["allowed", "refused"], case["id"]
            assert internet.decisions[1].host == "evil.test"
        elif case["id"] in ("eg-no-proxy", "eg-dns-direct"):
            assert (ran.result.exit_code != 0, verdicts) == (True, []), case["id"]
        else:
            assert verdicts == ["refused"], case["id"]
            assert b"good" not in ran.stdout, case["id"]
    assert not internet.evil_was_reached


async def test_a_relay_that_was_ended_is_made_anew_and_that_is_said(
    research: DockerSandbox, research_image: ToolsImage
) -> None:
    api = research_image.engine.api
    of_ours = {"label": ["agentui.role=relay", f"agentui.workspace={research.workspace_id}"]}
    (old,) = api.containers(filters=of_ours)
    api.remove_container(old["Id"], force=True)
    ran = await play(research, "curl -sk -m 5 https://api.good.test/x")
    assert (ran.stdout, ran.result.message) == (b"good", "The way out was gone; this is from a new container.")
    (new,) = api.containers(filters=of_ours)
    assert new["Id"] != old["Id"]
    again = await play(research, "curl -sk -m 5 https://api.good.test/x")
    assert (again.stdout, again.result.message) == (b"good", "")


async def test_refusal_tells_the_command_why(research: DockerSandbox) -> None:
    ran = await play(research, "curl -s -m 5 http://api.good.test/; curl -sS -m 5 https://evil.test/")
    assert b"only https leaves the sandbox" in ran.stdout
    assert b"403" in ran.stderr


async def test_greeting_for_another_host_than_the_listed_one_is_cut(
    research: DockerSandbox, internet: StandIn
) -> None:
    text = "curl -sk -m 5 --connect-to evil.test:443:api.good.test:443 https://evil.test/"
    ran = await play(research, text)
    assert ran.result.exit_code != 0
    assert [decision.why for decision in internet.decisions] == [
        "the TLS greeting names another host: evil.test"
    ]


async def test_nothing_of_the_host_answers_but_the_proxy(research: DockerSandbox) -> None:
    async with service_everywhere() as service:
        script = service.script() + "awk '$4 == \"0A\" {print $2}' /proc/net/tcp /proc/net/tcp6\n"
        ran = await play(research, script, timeout_s=120)
    # Sending a datagram into the container's own loopback is no way out of it.
    lines = [line for line in ran.stdout.decode().splitlines() if line not in ("sent 127.0.0.1", "sent ::1")]
    assert lines == ["0100007F:0C38"], "listening: only our own port, on loopback"
    assert service.visitors == []


async def test_agent_can_neither_end_the_way_out_nor_use_its_program(research: DockerSandbox) -> None:
    ran = await play(
        research, "/usr/local/lib/agentui/socat -V; rm -f /relay/relay.sock; kill -9 -1; pkill -9 socat; true"
    )
    assert b"ermission denied" in ran.stderr or ran.result.exit_code == 137
    ran = await play(research, "curl -sk -m 5 https://api.good.test/x")
    assert ran.stdout == b"good"


async def test_no_process_of_a_command_is_left_beside_the_way_out(research: DockerSandbox) -> None:
    await play(research, "sleep 300 & curl -sk -m 5 https://api.good.test/x")
    ran = await play(research, "ps -eo user,args --no-headers")
    assert b"sleep" not in ran.stdout
    assert ran.stdout.count(b"socat") == 0 or b"TCP-LISTEN:3128" in ran.stdout


async def test_relay_and_its_volume_go_with_the_sandbox(research_image: ToolsImage, engine: Engine) -> None:
    way_out = WayOut(EgressProxy([parse_target("api.good.test:443")], lambda _: None))
    name = f"test-{uuid.uuid4().hex[:12]}"
    sandbox = DockerSandbox(engine, research_image, name, is_throwaway=True, way_out=way_out)
    await sandbox.start(lambda _: None)
    volume = way_out.volume
    assert volume is not None
    assert sandbox.facts.network == "research: api.good.test:443"
    await sandbox.aclose()
    assert not engine.api.containers(all=True, filters={"label": f"agentui.workspace={name}"})
    assert volume not in {found["Name"] for found in engine.api.volumes()["Volumes"] or []}
