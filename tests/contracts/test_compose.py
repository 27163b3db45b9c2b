"""compose.yaml describes the very containers that agentui makes.

What it cannot say, or says otherwise on purpose, is here and nowhere else: the read-only /proc and the overlay
volume of a copy (no words for them in Compose; its volume `work` takes its owner from the image); the relay's
main process, which ends with agentui's input, and its network, which a person chooses; the egress proxy, which
is a part of agentui itself; `way-out`, whose program agentui starts inside of the research container; Pi's
terminal, the user's files in its agent folder (whose name for LM Studio leads to the relay), and its commands,
which without agentui run on the volume beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from agentui.sandbox.docker_container import ContainerPlan, host_config
from agentui.sandbox.engine import Engine, EngineAddress, EngineFacts
from agentui.sandbox.limits import SandboxLimits
from agentui.sandbox.pi_container import PiMounts, pi_config
from agentui.sandbox.relay import RELAY_UID, relay_config
from agentui.sandbox.research import PROXY_ENVIRONMENT
from tests.contracts.compose_file import compose_file

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
COMPOSE = compose_file((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
Config: TypeAlias = dict[str, Any]


def size(text: object) -> int:
    match = re.fullmatch(r"(\d+)([kmg])", str(text))
    assert match is not None, text
    return int(match[1]) * UNITS[match[2]]


def options(text: str) -> set[str]:
    """Mount options with all sizes in bytes."""
    return {
        re.sub(r"(?<=size=)\d+[kmg]", lambda found: str(size(found[0])), option) for option in text.split(",")
    }


def made() -> dict[str, Config]:
    """What agentui itself hands to the engine, by the name of the service; no engine is asked."""
    address = EngineAddress("unix:///nonexistent.sock", "the test", {})
    engine = Engine(address, EngineFacts("test", "20.10", "1.41", "linux", "amd64", None, 8))
    plan = ContainerPlan("image", "work", "commands", 1000, SandboxLimits(), {})
    research = ContainerPlan("image", "work", "commands", 1000, SandboxLimits(), {}, relay_volume="egress")
    return {
        "sandbox": host_config(engine, plan),
        "research": host_config(engine, research),
        "relay": relay_config(engine, "relay", "bridge"),
        "pi": pi_config(engine, PiMounts(()), "relay"),
    }


MADE = made()


@pytest.mark.parametrize("name", MADE)
def test_nothing_is_open_in_one_that_is_shut_in_the_other(name: str) -> None:
    described, config = SERVICES[name], MADE[name]
    assert described["read_only"] is config["ReadonlyRootfs"] is True
    assert described["cap_drop"] == config["CapDrop"] == ["ALL"]
    assert described["security_opt"] == config["SecurityOpt"]
    assert described["ipc"] == config["IpcMode"] == "private"
    assert described["init"] is config["Init"] is True
    assert described["logging"]["driver"] == config["LogConfig"]["Type"] == "none"
    for key in ("privileged", "cap_add", "devices", "ports", "pid", "userns_mode"):
        assert key not in described
    assert not config.get("Privileged")
    assert not config.get("CapAdd")


@pytest.mark.parametrize("name", ["sandbox", "research", "pi"])
def test_what_runs_commands_or_a_model_has_no_network(name: str) -> None:
    assert SERVICES[name]["network_mode"] == MADE[name]["NetworkMode"] == "none"


@pytest.mark.parametrize("name", MADE)
def test_limits_are_the_same(name: str) -> None:
    described, config = SERVICES[name], MADE[name]
    assert described["pids_limit"] == config["PidsLimit"]
    assert size(described["mem_limit"]) == config["Memory"]
    assert size(described["memswap_limit"]) == config["MemorySwap"]
    assert size(described["shm_size"]) == config["ShmSize"]
    assert described.get("cpus", 0) == pytest.approx(config.get("NanoCpus", 0) / 1e9)
    assert described["ulimits"] == {limit["Name"]: limit["Hard"] for limit in config["Ulimits"]}


@pytest.mark.parametrize("name", MADE)
def test_writable_places_are_the_same_and_hold_no_programs(name: str) -> None:
    described = SERVICES[name].get("tmpfs", [])
    places = {place.partition(":")[0]: options(place.partition(":")[2]) for place in described}
    assert places == {place: options(text) for place, text in (MADE[name].get("Tmpfs") or {}).items()}
    assert all("noexec" in found for found in places.values())


@pytest.mark.parametrize("name", ["sandbox", "research", "relay"])
def test_mounts_are_the_same(name: str) -> None:
    described = {
        (mount["source"], mount["target"], mount.get("read_only", False), "nocopy" in mount.get("volume", {}))
        for mount in SERVICES[name]["volumes"]
    }
    assert described == {
        (
            mount["Source"],
            mount["Target"],
            bool(mount.get("ReadOnly")),
            bool(mount.get("VolumeOptions", {}).get("NoCopy")) and mount["Source"] != "work",
        )
        for mount in MADE[name]["Mounts"]
    }


def test_pi_may_write_its_sessions_and_the_work_and_nothing_else_of_what_is_mounted() -> None:
    writable = {mount["source"] for mount in SERVICES["pi"]["volumes"] if not mount.get("read_only")}
    assert writable == {"sessions", "work"}
    assert not any("docker.sock" in str(service) for service in SERVICES.values())


def test_research_shell_finds_the_proxy_the_same_way() -> None:
    assert SERVICES["research"]["environment"] == PROXY_ENVIRONMENT


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(MADE)))
def test_what_only_compose_needs_is_shut_as_well(name: str) -> None:
    described = SERVICES[name]
    assert (described["read_only"], described["cap_drop"], described["init"]) == (True, ["ALL"], True)
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert {"pids_limit", "mem_limit", "memswap_limit", "ulimits"} <= set(described)
    assert described["user"] == f"{RELAY_UID}:{RELAY_UID}"


def test_who_runs_what() -> None:
    assert SERVICES["relay"]["user"] == f"{RELAY_UID}:{RELAY_UID}"
    assert SERVICES["pi"]["user"] == "1000:1000"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_the_ones_that_agentui_builds_from_the_base_that_is_asked_for(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["context"] / build.get("dockerfile", "Dockerfile")).is_file()
    assert build["args"]["BASE_IMAGE"] == "${AGENTUI_BASE_IMAGE:-debian:bookworm-slim}"


@pytest.mark.parametrize("name", ["sandbox", "research", "pi"])
def test_volume_for_the_work_takes_its_owner_from_the_image(name: str) -> None:
    [work] = [mount for mount in SERVICES[name]["volumes"] if mount["source"] == "work"]
    assert "volume" not in work, "nocopy leaves it to root, and the agent could not write"


def test_a_models_file_for_containers_leads_pi_to_the_relay() -> None:
    assert SERVICES["pi"]["extra_hosts"] == ["host.docker.internal:127.0.0.1"]


@pytest.mark.parametrize("program", [("docker", "compose"), ("docker-compose",)])
def test_compose_old_and_new_takes_the_file(program: Sequence[str], tmp_path: Path) -> None:
    environment = {**os.environ, "AGENTUI_BASE_IMAGE": "some-base:1"}
    try:
        subprocess.run([*program, "version"], check=True, capture_output=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no {' '.join(program)} on this machine")
    command = [*program, "-f", str(ROOT / "compose.yaml"), "-p", "test", "config"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert set(compose_file(done.stdout)["services"]) == set(SERVICES)
    assert done.stdout.count("BASE_IMAGE: some-base:1") == len(SERVICES)


def test_users_files_come_with_the_checkout_and_lead_to_the_relay() -> None:
    for mount in SERVICES["pi"]["volumes"]:
        if mount["type"] == "bind":
            default = re.fullmatch(r"\$\{\w+:-(.*)\}", mount["source"])
            assert default is not None
            assert (ROOT / default[1]).is_file()
    assert '"http://127.0.0.1:1234/v1"' in (ROOT / "docs/pi/models.json").read_text()


def test_file_has_no_top_level_name_which_old_compose_refuses() -> None:
    assert set(COMPOSE) == {"services", "volumes"}
