from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from agentui.backends.base import LoadedInstance, ServerFacts, ServerModel
from agentui.cli import main
from agentui.cli.doctor import is_ready
from agentui.cli.finding import Finding
from agentui.cli.findings import memory_finding, server_findings, terminal_finding
from agentui.cli.pi_findings import pi_findings
from agentui.cli.sandbox_findings import limits_finding
from agentui.config import Settings

LMS = ServerFacts("lmstudio", "http://127.0.0.1:1234", "0.4.24", can_load=True)
SIZE = os.terminal_size((120, 40))


def a_model(*contexts: int, kind: str = "llm") -> ServerModel:
    instances = tuple(LoadedInstance(f"m:{n}", tokens) for n, tokens in enumerate(contexts))
    return ServerModel("m", kind="embedding" if kind == "embedding" else "llm", instances=instances)


def test_a_good_server_with_a_loaded_model_is_ok() -> None:
    found = server_findings(LMS, [a_model(65536)], Settings())
    assert [f.status for f in found] == ["ok", "ok"]
    assert "lmstudio 0.4.24 at http://127.0.0.1:1234" in found[0].text
    assert "m:0 with 64k" in found[1].text


def test_what_is_missing_comes_with_what_to_do() -> None:
    none_loaded = server_findings(LMS, [a_model()], Settings())[1]
    assert (none_loaded.status, none_loaded.todo) == ("note", "agentui load m")
    named = server_findings(LMS, [a_model()], Settings(model="other"))[1]
    assert named.todo == "agentui load other"
    nothing = server_findings(LMS, [a_model(4096, kind="embedding")], Settings())[1]
    assert nothing.status == "missing"
    small = server_findings(LMS, [a_model(4096)], Settings())[1]
    assert "agentui load m:0 --context 32k" in small.todo


def test_a_server_that_lists_nothing_is_there_and_wants_a_name() -> None:
    server = ServerFacts("openai", "http://127.0.0.1:8000", lists_models=False)
    unnamed = server_findings(server, [], Settings())
    assert [f.status for f in unnamed] == ["ok", "note"]
    assert "--model NAME" in unnamed[1].todo
    named = server_findings(server, [], Settings(model="phi"))[1]
    assert "phi" in named.text
    assert named.todo == ""


async def test_pi_is_looked_for_where_the_settings_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTUI_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert await pi_findings(Settings()) == []
    [on_host] = await pi_findings(Settings(harness="pi", pi_place="host"))
    assert (on_host.status, on_host.needed) == ("missing", True)
    assert "agentui pi install" in on_host.todo
    [in_container] = await pi_findings(Settings(harness="pi"))
    assert (in_container.area, in_container.status) == ("Pi", "missing")


def test_a_remote_server_is_noted() -> None:
    remote = ServerFacts("lmstudio", "http://10.0.0.9:1234", is_remote=True)
    assert "not on this machine" in server_findings(remote, [a_model(65536)], Settings())[0].text


@pytest.mark.parametrize(
    ("environ", "size", "is_terminal", "status", "said"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, SIZE, True, "ok", "true colour"),
        ({"TERM": "xterm-256color", "TMUX": "x", "SSH_CONNECTION": "y"}, SIZE, True, "ok", "tmux and SSH"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, SIZE, True, "ok", "NO_COLOR"),
        ({"TERM": "dumb"}, SIZE, True, "missing", "dumb"),
        ({}, SIZE, True, "missing", "not set"),
        ({"TERM": "xterm"}, os.terminal_size((60, 40)), True, "note", "60x40"),
        ({"TERM": "xterm"}, SIZE, False, "note", "not a terminal"),
    ],
)
def test_the_terminal_is_judged_by_what_it_says(
    environ: dict[str, str], size: os.terminal_size, is_terminal: bool, status: str, said: str
) -> None:
    found = terminal_finding(environ, size, is_terminal)
    assert found.status == status
    assert said in found.text


def test_memory_is_read_from_this_machine() -> None:
    found = memory_finding()
    total = found.facts["total_bytes"]
    assert isinstance(total, int)
    assert total > 1 << 27
    assert 0 <= found.facts["available_bytes"] <= total


def test_only_what_is_needed_makes_it_unready() -> None:
    assert is_ready([Finding("a", "note", "x", needed=True), Finding("b", "missing", "y")])
    assert not is_ready([Finding("a", "missing", "x", needed=True)])


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_report_names_what_is_missing_and_where_settings_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_place: Path
) -> None:
    config = own_place / "agentui" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("max_turns = 9\n")
    monkeypatch.setenv("AGENTUI_API_KEY", "sk-secret")
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{a_free_port()}")
    url = f"http://127.0.0.1:{a_free_port()}"
    assert main(["doctor", "--json", "--url", url]) == 75
    captured = capsys.readouterr()
    held = json.loads(captured.out)
    assert not held["is_ready"]
    assert {"model server", "sandbox", "memory", "terminal"} <= {f["area"] for f in held["findings"]}
    server = next(f for f in held["findings"] if f["area"] == "model server")
    assert server["status"] == "missing"
    assert url.removeprefix("http://") in server["text"]
    assert held["settings"]["max_turns"] == {"value": 9, "origin": "user file", "where": str(config)}
    assert held["settings"]["url"]["origin"] == "flag"
    assert held["settings"]["api_key"] == {"value": "set", "origin": "environment", "where": "AGENTUI_API_KEY"}
    assert main(["doctor", "--url", url]) == 75
    text = capsys.readouterr().out
    assert "max_turns" in text
    assert "→" in text
    assert "sk-secret" not in captured.out + text


def test_without_a_sandbox_no_engine_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{a_free_port()}")
    main(["doctor", "--json", "--sandbox", "none", "--url", f"http://127.0.0.1:{a_free_port()}"])
    found = {f["area"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert found["sandbox"]["status"] == "note"
    assert "sandbox image" not in found


def test_the_limits_of_the_sandbox_are_shown() -> None:
    found = limits_finding(Settings(), 8 << 30, 4)
    assert (found.status, found.facts["pids"]) == ("ok", 256)
    assert "256 processes" in found.text
    small = limits_finding(Settings(), 1 << 30, 4)
    assert small.status == "note"
    assert "lower limits.memory" in small.todo
