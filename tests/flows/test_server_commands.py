"""`models`, `load`, `unload`, `doctor` and `-p` as a script meets them, on servers of every kind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentui.simulator.config import SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import RunningSimulator, start_simulator
from tests.flows.test_headless import agentui, objects, of_type
from tests.unit.backends.replay import ReplayServer, chunk, events

SMALL = "google/gemma-4-12b-qat"
ANSWER = events(chunk({"role": "assistant", "content": "hello there"}), chunk({}, "stop"))


@pytest.fixture
def simulator_config() -> SimulatorConfig:
    return SimulatorConfig(unpaced=True, load_s=0.0)


@pytest.fixture
async def unlisted() -> AsyncIterator[ReplayServer]:
    """A server that chats, but has no listing of models."""
    async with ReplayServer({"POST /v1/chat/completions": ANSWER}) as server:
        yield server


async def test_models_are_listed_loaded_and_unloaded_as_json(
    simulator: RunningSimulator, project: Path
) -> None:
    to = ("--json", "--url", simulator.url)

    async def listed() -> dict[str, bool]:
        code, out, err = await agentui("models", *to, cwd=project)
        assert code == 0, err
        held = json.loads(out)
        assert held["server"]["kind"] == "lmstudio"
        return {model["key"]: model["is_loaded"] for model in held["models"]}

    assert (await listed())[SMALL] is False
    code, out, err = await agentui("load", SMALL, "--context", "8k", *to, cwd=project)
    assert code == 0, err
    assert json.loads(out)["loaded_context_tokens"] == 8192
    assert (await listed())[SMALL] is True
    code, out, _ = await agentui("unload", SMALL, *to, cwd=project)
    assert (code, json.loads(out)) == (0, {"unloaded": [SMALL]})
    assert (await listed())[SMALL] is False
    code, out, err = await agentui("unload", SMALL, *to, cwd=project)
    assert code == 1
    assert "no loaded model" in json.loads(out)["error"]
    assert "no loaded model" in err


async def test_the_cache_of_a_loaded_model_is_told_beside_the_weights_that_the_server_names(
    simulator: RunningSimulator, project: Path
) -> None:
    code, out, err = await agentui("kv", "google/gemma-4-26b-a4b", "--url", simulator.url, cwd=project)
    assert code == 0, err
    assert "beside 16.8 GiB of weights" in out


async def test_a_model_that_is_not_loaded_is_loaded_for_a_run(
    simulator: RunningSimulator, project: Path
) -> None:
    flags = ("-p", "--url", simulator.url, "--sandbox", "none", "--mode", "json")
    code, out, err = await agentui(*flags, "--model", SMALL, "--context", "16k", "say hello", cwd=project)
    assert code == 0, err
    records = objects(out)
    assert of_type(records, "ModelLoadEnded")[0]["model"] == SMALL
    model = of_type(records, "RunStarted")[0]["model"]
    assert (model["model"], model["loaded_context_tokens"]) == (SMALL, 16384)
    code, out, _ = await agentui(*flags, "--model", "nobody/knows-this", "say hello", cwd=project)
    assert code == 75
    assert "nobody/knows-this" in objects(out)[-1]["error"]


async def test_a_server_that_wants_a_token_gets_only_the_right_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_simulator(SimulatorConfig(unpaced=True, api_token="sk-right"))
    try:
        for token, expected in ((None, 75), ("sk-wrong", 75), ("sk-right", 0)):
            if token:
                monkeypatch.setenv("AGENTUI_API_KEY", token)
            code, out, err = await agentui("models", "--url", server.url, cwd=project)
            assert code == expected, err
            assert "token" in err or not expected
            code, out, err = await agentui(
                "-p", "--url", server.url, "--sandbox", "none", "say hello", cwd=project
            )
            assert code == expected, err
            assert "sk-" not in out + err
    finally:
        await server.stop()


async def test_a_public_host_from_the_environment_is_not_asked_unasked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTUI_URL", "https://api.example.com/v1")
    for words in (("models",), ("-p", "--sandbox", "none", "say hello")):
        code, out, err = await agentui(*words, cwd=project)
        assert (code, out) == (2, "")
        assert "nothing was sent" in err
        assert "--url" in err
    code, out, _ = await agentui("doctor", "--json", "--sandbox", "none", cwd=project)
    assert code == 75
    found = {finding["area"]: finding for finding in json.loads(out)["findings"]}
    assert "was not asked" in found["model server"]["text"]


async def test_a_server_without_a_listing_is_described_and_works_by_name(
    unlisted: ReplayServer, project: Path
) -> None:
    to = ("--url", unlisted.url)
    code, out, err = await agentui("doctor", "--json", "--sandbox", "none", *to, cwd=project)
    assert code == 0, err
    found = {finding["area"]: finding for finding in json.loads(out)["findings"]}
    assert found["model server"]["status"] == "ok"
    assert "--model NAME" in found["models"]["todo"]
    code, out, _ = await agentui("models", *to, cwd=project)
    assert code == 0
    assert "--model NAME" in out
    code, out, _ = await agentui("models", "--json", *to, cwd=project)
    assert json.loads(out)["server"]["lists_models"] is False
    code, _, err = await agentui("-p", *to, "--sandbox", "none", "hi", cwd=project)
    assert code == 75
    assert "--model" in err
    code, out, err = await agentui("-p", *to, "--sandbox", "none", "--model", "phi", "hi", cwd=project)
    assert (code, out) == (0, "hello there\n"), err


async def test_a_task_too_long_for_the_context_is_refused_before_anything_is_asked(
    simulator: RunningSimulator, project: Path
) -> None:
    task = b"read this, the conversation of so far: keep " * 9000
    code, _, err = await agentui("-p", "--url", simulator.url, "--sandbox", "none", cwd=project, stdin=task)
    assert code == 3
    assert "the task alone needs about" in err
    assert "65,536" in err
    assert "put it into a file" in err
    assert not simulator.truth.requests


async def test_a_server_that_goes_away_for_good_is_told_of_once(project: Path) -> None:
    server = await start_simulator(SimulatorConfig(unpaced=True, fault_every=Fault.RESET))
    try:
        code, out, err = await agentui("-p", "--url", server.url, "--sandbox", "none", "say hello", cwd=project)
    finally:
        await server.stop()
    assert (code, out) == (75, "") or code == 1, err
    said = [line for line in err.splitlines() if "asking again" not in line]
    assert len(said) == len(set(said)), err
    assert sum("broke off" in line for line in said) == 1, err


async def test_changes_of_an_earlier_run_are_told_of_before_the_next_one(
    simulator: RunningSimulator, project: Path
) -> None:
    flags = ("-p", "--url", simulator.url, "--sandbox", "none")
    code, out, err = await agentui(*flags, "--mode", "json", "write unit tests for report.py", cwd=project)
    assert code == 0, err
    ended = objects(out)[-1]
    assert "agentui sandbox apply --workspace" in ended["hint"]
    assert "of an earlier run" not in err
    for mode in ("text", "json"):
        code, _, err = await agentui(*flags, "--mode", mode, "say hello", cwd=project)
        assert code == 0, err
        assert "of an earlier run wait" in err
        for name in ("diff", "apply", "discard"):
            assert f"agentui sandbox {name} --workspace shop-" in err
