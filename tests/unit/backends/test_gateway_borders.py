"""What may pass the gateway, who may use it, and where it listens."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import aiohttp
import httpx
import openai
import pytest

from agentui.backends.discover import find_server
from agentui.backends.gateway import Gateway, GatewaySettings
from agentui.errors import UsageError
from agentui.events import Event
from tests.unit.backends.gateways import CHAT, STREAMED, gateway_to, plain_client
from tests.unit.backends.replay import Canned, ReplayServer, as_json, llama_server


async def test_the_servers_key_is_added_and_the_clients_is_not_sent() -> None:
    settings = GatewaySettings("", api_key="the-servers")
    async with llama_server() as server, gateway_to(server.url, settings) as opened:
        async with plain_client(opened.url, "the-clients") as client:
            await client.models.list()
        (seen,) = server.seen
    assert seen.headers["authorization"] == "Bearer the-servers"
    assert "the-clients" not in str(seen.headers)


async def test_a_server_with_a_version_of_its_own_is_asked_below_that() -> None:
    listing = as_json({"data": [{"id": "glm"}]})
    async with ReplayServer({"GET /api/paas/v4/models": listing}) as server:
        backend = await find_server(f"{server.url}/api/paas/v4")
        facts = backend.facts
        await backend.aclose()
        assert facts.api_path == ""
        server.seen.clear()
        settings = GatewaySettings("", api_path=facts.api_path)
        async with gateway_to(facts.base_url, settings) as opened, plain_client(opened.url) as client:
            assert [model.id async for model in client.models.list()] == ["glm"]
        assert [seen.path for seen in server.seen] == ["/api/paas/v4/models"]


async def test_without_a_key_of_ours_the_clients_own_is_passed_on() -> None:
    async with llama_server() as server, gateway_to(server.url) as opened:
        async with plain_client(opened.url, "the-clients") as client:
            await client.models.list()
        assert server.seen[0].headers["authorization"] == "Bearer the-clients"


@pytest.mark.parametrize(
    "path", ["/api/v1/models/unload", "/v1/../api/v1/models/unload", "/v1/%2e%2e/api", "/", "/v1\\..\\x"]
)
async def test_paths_that_were_not_named_are_refused_and_never_reach_the_server(path: str) -> None:
    async with llama_server() as server, gateway_to(server.url) as opened:
        assert (await raw(opened.url, f"POST {path} HTTP/1.1", "Host: localhost"))[9:12] in ("404", "400")
        assert server.seen == []


async def test_another_address_cannot_be_reached_through_it() -> None:
    async with llama_server() as server, ReplayServer({}) as other, gateway_to(server.url) as opened:
        host = other.url.removeprefix("http://")
        assert (await raw(opened.url, f"GET {other.url}/v1/models HTTP/1.1", f"Host: {host}"))[9] == "4"
        assert (await raw(opened.url, f"CONNECT {host} HTTP/1.1", f"Host: {host}"))[9] == "4"
        await raw(opened.url, "GET /v1/models HTTP/1.1", "Host: localhost", f"X-Forwarded-Host: {host}")
        assert other.seen == []
        assert server.seen[0].headers["host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("route", [f"POST {CHAT}", "GET /v1/models"])
async def test_no_client_is_sent_elsewhere_by_a_server_that_redirects(route: str) -> None:
    method, path = route.split(" ")
    asked = STREAMED if method == "POST" else None
    moved = Canned(status=307, headers=(("Location", "http://127.0.0.2:9/v1/elsewhere"),))
    async with ReplayServer({route: moved}) as server, gateway_to(server.url) as opened:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.request(method, opened.url + path, json=asked, allow_redirects=False) as answer,
        ):
            said = await answer.json()
        assert (answer.status, "Location" in answer.headers) == (400, False)
        begins = f"The server at {server.url} redirects elsewhere: http://127.0.0.2:9"
        assert said["error"]["message"].startswith(begins)
        assert [event.outcome for event in opened.ended()] == ["failed"] * (method == "POST")


@pytest.mark.parametrize("line", ["Host: evil.example", "Host: localhost\r\nOrigin: https://evil.example"])
async def test_pages_of_other_sites_get_nothing(line: str) -> None:
    async with llama_server() as server, gateway_to(server.url) as opened:
        assert (await raw(opened.url, "GET /v1/models HTTP/1.1", line))[9:12] == "403"
        assert server.seen == []


async def test_one_request_cannot_hide_in_another() -> None:
    smuggled = "0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    both = f"Host: localhost\r\nContent-Length: {len(smuggled)}\r\nTransfer-Encoding: chunked"
    async with llama_server() as server, gateway_to(server.url) as opened:
        answer = await raw(opened.url, f"POST {CHAT} HTTP/1.1", both, body=smuggled)
        assert answer[9:12] == "400"
        assert server.seen == []


async def test_a_request_that_is_too_large_is_refused() -> None:
    settings = GatewaySettings("", most_body_bytes=1000)
    async with llama_server() as server, gateway_to(server.url, settings) as opened:
        async with plain_client(opened.url) as client:
            with pytest.raises(openai.APIStatusError, match="may have 1,000 bytes"):
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "x" * 2000}]
                )
        assert server.seen == []


async def test_headers_of_one_hop_do_not_pass() -> None:
    answer = as_json({"data": []})
    async with (
        ReplayServer({"GET /v1/models": answer}, server_header="theirs") as server,
        gateway_to(server.url) as opened,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        asked = {"Connection": "keep-alive, X-Hop", "X-Hop": "1", "X-End": "2", "TE": "trailers"}
        heard = await client.get(f"{opened.url}/v1/models", headers=asked)
    seen = server.seen[0].headers
    assert "x-hop" not in seen
    assert "te" not in seen
    assert seen["x-end"] == "2"
    assert seen["accept-encoding"] == "identity"
    assert heard.headers["server"] == "theirs"


async def raw(url: str, first: str, *lines: str, body: str = "") -> str:
    """Send a request as it is, and read the head of the answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(("\r\n".join([first, *lines, "Connection: close"]) + "\r\n\r\n" + body).encode("latin-1"))
    head = await asyncio.wait_for(reader.read(4096), 5)
    writer.close()
    return head.decode("latin-1")


# --- sockets -------------------------------------------------------------------------------------


async def test_it_serves_on_a_unix_socket_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    told: list[Event] = []
    async with llama_server() as server:
        gateway = Gateway(GatewaySettings(server.url), told.append)
        await gateway.listen_unix(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.post(f"http://gateway{CHAT}", json=STREAMED) as answer,
        ):
            assert await answer.read() == server.routes[f"POST {CHAT}"].body
        await gateway.aclose()
    assert len(told) > 2
    assert not path.exists()


async def test_a_port_that_is_taken_is_an_error_for_people() -> None:
    async with llama_server() as server, gateway_to(server.url) as opened:
        again = Gateway(GatewaySettings(server.url), lambda event: None)
        with pytest.raises(UsageError, match="it is taken"):
            await again.listen_loopback(int(opened.url.rpartition(":")[2]))
