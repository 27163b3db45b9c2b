from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agentui.backends.discover import find_server, lmstudio_addresses
from agentui.backends.lmstudio.backend import LmStudioBackend
from agentui.backends.openai_compatible import OpenAiCompatibleBackend
from agentui.errors import BackendUnavailable, UsageError
from tests.unit.backends.replay import ReplayServer, as_json, llama_server

LMSTUDIO = {
    "GET /lmstudio-greeting": as_json({"lmstudio": True}),
    "GET /lms-status": as_json({"package": "lm-studio", "version": "0.4.24+1"}),
}


def lmstudio() -> ReplayServer:
    return ReplayServer(dict(LMSTUDIO), otherwise=as_json({"error": "Unexpected endpoint or method. (GET /x)"}))


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_greeting_tells_lm_studio_with_or_without_v1(suffix: str) -> None:
    async with lmstudio() as server:
        backend = await find_server(server.url + suffix)
        assert isinstance(backend, LmStudioBackend)
        assert (backend.facts.kind, backend.facts.version) == ("lmstudio", "0.4.24+1")
        assert backend.facts.base_url == server.url
        assert not backend.facts.is_remote
        assert not backend.facts.is_simulated
        await backend.aclose()


async def test_a_server_that_says_it_is_a_simulator_counts_as_simulated() -> None:
    async with lmstudio() as server:
        server.routes["GET /lms-status"] = as_json({"package": "agentui-simulator", "version": "0.4.24+1"})
        backend = await find_server(server.url)
        assert backend.facts.is_simulated
        await backend.aclose()


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_llama_server_is_found_with_or_without_v1(suffix: str) -> None:
    async with llama_server() as server:
        backend = await find_server(server.url + suffix)
        assert isinstance(backend, OpenAiCompatibleBackend)
        assert backend.facts.kind == "llama.cpp"
        await backend.aclose()


async def test_the_key_goes_to_nobody_before_it_is_known_who_answers() -> None:
    async with lmstudio() as server:
        backend = await find_server(server.url, "the-key")
        await backend.aclose()
        assert "authorization" not in server.seen[0].headers


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with lmstudio() as server:
        await (await find_server(server.url)).aclose()


async def test_nothing_there_names_the_address_and_the_next_step() -> None:
    async with lmstudio() as server:
        url = server.url
    with pytest.raises(BackendUnavailable) as caught:
        await find_server(f"{url}/v1")
    assert url in caught.value.message
    assert "refused" in caught.value.message
    assert "lms server start" in caught.value.hint


async def test_something_that_speaks_no_http_is_no_server() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BackendUnavailable, match="does not answer like one"):
            await find_server(f"127.0.0.1:{port}")


async def test_what_is_no_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        await find_server("ftp://somewhere")


def configure(home: Path, settings: object, folder: str = ".lmstudio") -> None:
    path = home / folder / ".internal" / "http-server-config.json"
    path.parent.mkdir(parents=True)
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings), encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "roots"),
    [
        ({"port": 4321}, ["http://127.0.0.1:4321", "http://127.0.0.1:1234"]),
        ({"port": 1234, "networkInterface": "0.0.0.0"}, ["http://127.0.0.1:1234"]),
        (
            {"port": 1234, "networkInterface": "192.168.1.9"},
            ["http://192.168.1.9:1234", "http://127.0.0.1:1234"],
        ),
        ({"port": 99999}, ["http://127.0.0.1:1234"]),
        ({"port": None}, ["http://127.0.0.1:1234"]),
        ("not json", ["http://127.0.0.1:1234"]),
        ("[]", ["http://127.0.0.1:1234"]),
    ],
)
def test_lm_studios_own_settings_say_where_its_server_is(
    tmp_path: Path, settings: object, roots: list[str]
) -> None:
    configure(tmp_path, settings)
    assert [address.root for address in lmstudio_addresses(tmp_path)] == roots


def test_a_pointer_leads_to_lm_studios_home(tmp_path: Path) -> None:
    configure(tmp_path, {"port": 4321}, "elsewhere")
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "elsewhere"), encoding="utf-8")
    assert lmstudio_addresses(tmp_path)[0].port == 4321


async def test_without_an_address_lm_studio_is_looked_for_where_it_says(tmp_path: Path) -> None:
    async with lmstudio() as server:
        configure(tmp_path, {"port": int(server.url.rpartition(":")[2])})
        backend = await find_server(home=tmp_path)
        assert backend.facts.base_url == server.url
        await backend.aclose()
