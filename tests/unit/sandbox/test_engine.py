from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentui.errors import EngineUnavailable, SandboxUnavailable
from agentui.sandbox import engine as engine_module
from agentui.sandbox.engine import find_engine


@contextmanager
def engine_speaking(api_version: str) -> Iterator[str]:
    """A server that answers what is asked while an engine is searched."""
    answers = {
        "/version": {"Version": "9.9", "ApiVersion": api_version, "MinAPIVersion": "1.12", "Os": "linux"},
        "/info": {
            "OperatingSystem": "Test OS",
            "Architecture": "aarch64",
            "MemTotal": 8 << 30,
            "NCPU": 6,
            "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"],
        },
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers["/" + self.path.rsplit("/", 1)[1]]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_context(home: Path, name: str, host: str) -> None:
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))
    folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_docker_host_is_used_and_its_facts_are_read(home: Path) -> None:
    with engine_speaking("1.41") as url:
        facts = find_engine({"DOCKER_HOST": url}, home).facts
    assert (facts.name, facts.version, facts.os, facts.architecture) == ("Docker", "9.9", "Test OS", "aarch64")
    assert (facts.memory_bytes, facts.cpus, facts.is_rootless) == (8 << 30, 6, True)


def test_the_current_context_is_used(home: Path) -> None:
    with engine_speaking("1.43") as url:
        make_context(home, "colima", url)
        engine = find_engine({}, home)
    assert (engine.address.origin, engine.facts.version) == ("docker context colima", "9.9")


def test_a_context_named_by_the_environment_is_the_only_one_tried(home: Path) -> None:
    make_context(home, "colima", "unix:///nowhere/docker.sock")
    with pytest.raises(SandboxUnavailable) as caught:
        find_engine({"DOCKER_CONTEXT": "colima"}, home)
    assert "docker context colima (unix:///nowhere/docker.sock)" in caught.value.message
    assert ";" not in caught.value.message


def test_an_engine_that_is_too_old_is_refused_with_both_versions(home: Path) -> None:
    with (
        engine_speaking("1.40") as url,
        pytest.raises(SandboxUnavailable, match=r"API 1\.40, at least 1\.41") as caught,
    ):
        find_engine({"DOCKER_HOST": url}, home)
    assert "20.10" in caught.value.hint


@pytest.mark.case("engine-absent")
def test_no_engine_names_what_was_tried_and_what_to_do(home: Path) -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        find_engine({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, home)
    assert caught.value.message == (
        "No container engine answers: DOCKER_HOST (unix:///nowhere/docker.sock): No such file or directory"
    )
    assert "Start Docker" in caught.value.hint


def test_an_engine_over_ssh_is_refused_in_words(home: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="over ssh are not supported"):
        find_engine({"DOCKER_HOST": "ssh://me@there"}, home)


def test_known_sockets_are_tried_when_nothing_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = home / ".colima/default/docker.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    found = [path for path, _ in engine_module._sockets({}, home) if path == socket]
    assert found == [socket]
    monkeypatch.setattr(engine_module, "_sockets", lambda *_: [(socket, "Colima"), (home / "absent", "x")])
    with pytest.raises(SandboxUnavailable) as caught:
        find_engine({}, home)
    assert f"Colima (unix://{socket})" in caught.value.message
    assert "absent" not in caught.value.message


def test_an_engine_that_stays_away_is_logged_once_for_each_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", engine_module.__name__)
    environment = {"DOCKER_HOST": f"unix://{tmp_path}/away.sock"}
    for _ in range(3):
        with pytest.raises(EngineUnavailable):
            find_engine(environment, tmp_path)
    assert [record.levelname for record in caplog.records] == ["INFO"]
