from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from agentui.backends.base import LoadedInstance, ServerFacts, ServerModel
from agentui.cli import main
from agentui.cli.load import LoadLine, fit_lines
from agentui.cli.models import model_lines, models_object
from agentui.cli.unload import chosen_instances
from agentui.errors import ModelNotFound
from agentui.telemetry.fit import ContextFit, ModelFit
from tests.unit.backends.replay import ReplayServer, as_json

GEMMA = ServerModel(
    "google/gemma",
    "Gemma",
    "llm",
    "gemma3",
    "Q4_K_M",
    "gguf",
    16 << 30,
    131072,
    instances=(LoadedInstance("google/gemma", 65536), LoadedInstance("google/gemma:2", 8192)),
)
QWEN = ServerModel("qwen", kind="llm")
NOMIC = ServerModel("nomic", kind="embedding", instances=(LoadedInstance("nomic"),))


def test_loaded_models_come_first_and_unknown_is_said() -> None:
    lines = model_lines([NOMIC, QWEN, GEMMA])
    assert [line.split()[1] for line in lines[1:3]] == ["google/gemma", "nomic"]
    assert "loaded with 64k, with 8k as google/gemma:2" in lines[1]
    assert "16.0 GiB" in lines[1]
    assert lines[3].split()[0] == "qwen"
    assert "?" in lines[3]
    assert model_lines([]) == []


def test_a_load_says_before_what_fits_and_what_it_asks_for() -> None:
    fits = (ContextFit(65_536, 20 << 30), ContextFit(131_072, 22 << 30, "GPU wall", 2254857830))
    fit = ModelFit(fits, 70_144, 65_536, 17 << 30, is_exact=True)
    assert fit_lines("google/gemma", fit, 65_536) == [
        "google/gemma: 64k fits, 128k passes the GPU wall by ~2.1 GiB",
        "asking for 64k: it leaves 8 GiB to spare (--context N for another)",
    ]
    assert fit_lines("google/gemma", fit, 131_072)[1] == "128k does not fit; up to ~70.1k does"
    assert fit_lines("google/gemma", None, 65_536) == []


def test_names_of_models_cannot_touch_the_terminal() -> None:
    hostile = ServerModel("\x1b]0;x\x07evil\nname", quantization="\x9b31m")
    assert not set("".join(model_lines([hostile]))) & {"\x1b", "\x9b", "\x07", "\n"}


async def test_the_version_that_a_server_tells_cannot_touch_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTUI_HOME", str(tmp_path))
    told = {
        "GET /api/version": as_json({"version": "1.2\x1b]0;x\x07\n3"}),
        "GET /api/tags": as_json({"models": []}),
    }
    async with ReplayServer(told) as server:
        assert await asyncio.to_thread(main, ["models", "--url", server.url]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"ollama 1.2 3 at {server.url}"


def test_the_json_form_holds_every_field() -> None:
    held = json.loads(json.dumps(models_object(ServerFacts("lmstudio", "http://h"), [GEMMA])))
    assert held["server"]["kind"] == "lmstudio"
    model = held["models"][0]
    assert set(ServerModel.__dataclass_fields__) | {"is_loaded"} == set(model)
    assert model["instances"][0] == {
        "id": "google/gemma",
        "context_tokens": 65536,
        "parallel": None,
        "settings": {},
    }


@pytest.mark.parametrize("words", [["models"], ["load", "m"], ["unload", "m"]])
def test_an_error_is_one_json_object_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main([*words, "--json", "--url", url]) == 75
    held = json.loads(capsys.readouterr().out)
    assert url in held["error"]
    assert held["hint"]


def test_unload_takes_one_instance_or_all_of_a_model() -> None:
    models = [GEMMA, QWEN, NOMIC]
    assert [i.id for i in chosen_instances(models, "google/gemma:2")] == ["google/gemma:2"]
    assert [i.id for i in chosen_instances(models, "Gemma")] == ["google/gemma", "google/gemma:2"]
    assert len(chosen_instances(models, None)) == 3
    assert chosen_instances([QWEN], None) == []
    with pytest.raises(ModelNotFound, match="no loaded model is called 'qwen'"):
        chosen_instances(models, "qwen")


def test_progress_off_a_terminal_is_a_line_per_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    line = LoadLine(is_live=False)
    for step in range(101):
        line.show("m", step / 100)
    line.end()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 11


def test_progress_on_a_terminal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = LoadLine(is_live=True)
    line.show("m", None)
    line.show("m", 0.5)
    line.end()
    line.end()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "50 %" in err
