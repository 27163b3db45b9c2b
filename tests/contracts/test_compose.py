"""compose.yaml describes the very container that agentui makes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentui.sandbox.docker_container import ContainerPlan, host_config
from agentui.sandbox.engine import Engine, EngineAddress, EngineFacts
from agentui.sandbox.limits import SandboxLimits

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def service() -> dict[str, object]:
    """The `sandbox` service: one entry per key at its first level; a list, a table of scalars, or a scalar.

    Reads only what compose.yaml uses of YAML, so that no parser is needed for this one test.
    """
    found: dict[str, object] = {}
    key = ""
    for line in (ROOT / "compose.yaml").read_text().splitlines():
        if line.lstrip().startswith("#") or not line.startswith("    "):
            continue
        if entry := re.fullmatch(r" {4}(\w+):(?: (.*))?", line):
            key = entry[1]
            found[key] = scalar(entry[2]) if entry[2] else None
        elif entry := re.fullmatch(r" {6}- (.*)", line):
            held = found[key]
            found[key] = [*held, entry[1]] if isinstance(held, list) else [entry[1]]
        elif entry := re.fullmatch(r" {6}(\w+): (.*)", line):
            held = found[key]
            found[key] = (
                {**held, entry[1]: scalar(entry[2])} if isinstance(held, dict) else {entry[1]: scalar(entry[2])}
            )
    return found


def scalar(text: str) -> object:
    if text.startswith("[") and '"' not in text:
        return re.findall(r"[\w:-]+", text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def size(text: object) -> int:
    match = re.fullmatch(r"(\d+)([kmg])", str(text))
    assert match is not None, text
    return int(match[1]) * UNITS[match[2]]


@pytest.fixture(scope="module")
def made() -> dict[str, object]:
    """What agentui itself hands to the engine for a container that runs commands; no engine is asked."""
    address = EngineAddress("unix:///nonexistent.sock", "the test", {})
    facts = EngineFacts("test", "20.10", "1.41", "linux", "amd64", None, 8, "2")
    plan = ContainerPlan("image", "volume", "commands", 1000, SandboxLimits(), {})
    config: dict[str, object] = host_config(Engine(address, facts), plan)
    return config


def test_nothing_is_open_in_one_that_is_shut_in_the_other(made: dict[str, object]) -> None:
    described = service()
    assert described["network_mode"] == made["NetworkMode"] == "none"
    assert described["read_only"] is made["ReadonlyRootfs"] is True
    assert described["cap_drop"] == made["CapDrop"] == ["ALL"]
    assert described["security_opt"] == made["SecurityOpt"]
    assert described["ipc"] == made["IpcMode"] == "private"
    assert described["init"] is made["Init"] is True
    assert "privileged" not in described
    assert not made.get("Privileged")


def test_limits_are_the_same(made: dict[str, object]) -> None:
    described = service()
    assert described["pids_limit"] == made["PidsLimit"]
    assert size(described["mem_limit"]) == made["Memory"]
    assert size(described["memswap_limit"]) == made["MemorySwap"]
    assert size(described["shm_size"]) == made["ShmSize"]
    assert described["cpus"] == pytest.approx(made["NanoCpus"] / 1e9)  # type: ignore[operator]
    ulimits = {limit["Name"]: limit["Hard"] for limit in made["Ulimits"]}  # type: ignore[attr-defined]
    assert described["ulimits"] == ulimits


def test_writable_places_are_the_same_and_hold_no_programs(made: dict[str, object]) -> None:
    described = service()["tmpfs"]
    assert isinstance(described, list)
    assert {place.partition(":")[0]: options(place.partition(":")[2]) for place in described} == {
        place: options(text)
        for place, text in made["Tmpfs"].items()  # type: ignore[attr-defined]
    }
    assert all("noexec" in place for place in described)


def options(text: str) -> set[str]:
    """Mount options with all sizes in bytes."""
    return {
        re.sub(r"(?<=size=)\d+[kmg]", lambda found: str(size(found[0])), option) for option in text.split(",")
    }


def test_image_is_the_one_that_agentui_builds() -> None:
    build = service()["build"]
    assert isinstance(build, dict)
    assert (ROOT / str(build["context"]) / "Dockerfile").is_file()


def test_file_has_no_top_level_name_which_old_compose_refuses() -> None:
    assert not re.search(r"^name:", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
