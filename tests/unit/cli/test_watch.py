from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from agentui.cli import main
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.server import start_simulator
from tests.unit.backends.replay import ReplayServer
from tests.unit.backends.test_ollama import ollama
from tests.unit.wire.llama_stand_in import stand_in


@contextmanager
def served(server: ReplayServer | None = None) -> Iterator[str]:
    """A server on a loop of its own, so that the command may have one too; the simulator if none is given."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    url, stop = [""], asyncio.Event()

    async def serve() -> None:
        if server is None:
            simulator = await start_simulator(SimulatorConfig(unpaced=True))
            url[0] = simulator.url
            started.set()
            await stop.wait()
            await simulator.stop()
            return
        async with server:
            url[0] = server.url
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def test_once_prints_one_object_or_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    with served() as url:
        assert main(["watch", "--once", "--json", "--url", url]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main(["watch", "--once", "--plain", "--url", url]) == 0
        plain = capsys.readouterr().out
        assert main(["watch", "--once", "--url", url]) == 0
        assert capsys.readouterr().out.splitlines()[0] == plain.splitlines()[0]
    assert found["server"]["kind"] == "lmstudio"
    assert found["model"]["model"] == GEMMA_26B
    assert found["memory"]["total_bytes"] > 0
    assert "state: ready" in plain.splitlines()


def test_no_server_at_all_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--once", "--url", "http://127.0.0.1:9"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("server: none; only this machine's memory can be read\n")
    assert "\nmemory: " in out


@pytest.mark.parametrize(
    "flags",
    [
        ["--once", "--interval", "1"],
        ["--json"],
        ["--plain"],
        ["--interval", "0"],
        ["--interval", "nan", "--json"],
        ["--once", "--gateway", "0"],
        ["--interval", "1", "--gateway", "70000"],
        ["--once", "--json", "--plain"],
        [],
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *flags]) == 2
    assert capsys.readouterr().err


def test_models_lists_what_llama_server_and_ollama_have(capsys: pytest.CaptureFixture[str]) -> None:
    with served(stand_in("idle")) as url:
        assert main(["models", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"llama.cpp b0-3f545becc at {url}"
    assert lines[2].split() == ["●", "tiny-gemma4", "F16", "205", "KiB", "8k", "loaded", "with", "8k,", "gguf"]
    with served(ollama()) as url:
        assert main(["models", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ollama 0.12.3 at {url}"
    assert "loaded with 8k" in lines[2]
    assert lines[3].split()[0] == "qwen:8b"


async def test_a_stream_of_readings_goes_on_and_measures_the_gateways_clients(own_place: Path) -> None:
    simulator = await start_simulator(SimulatorConfig(unpaced=True))
    program = [sys.executable, "-P", "-m", "agentui", "watch", "--url", simulator.url]
    process = await asyncio.create_subprocess_exec(
        *program, "--interval", "0.2", "--json", "--gateway", "0", stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        url = said.split()[4]
        assert url.startswith("http://127.0.0.1:")
        async with httpx.AsyncClient(trust_env=False) as client:
            body = {"model": GEMMA_26B, "stream": True, "messages": [{"role": "user", "content": "go"}]}
            answer = await client.post(f"{url}/chat/completions", json=body)
            assert answer.status_code == 200
        while True:
            reading = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
            if reading["context"] is not None:
                break
        record = simulator.truth.requests[-1]
        assert reading["speed"]["ttft_s"] is not None
        assert reading["context"]["used_tokens"] >= record.prompt_tokens
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await simulator.stop()
