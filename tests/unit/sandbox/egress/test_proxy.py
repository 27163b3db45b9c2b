"""The proxy over local sockets: limits, names that lead into private networks, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from agentui.sandbox.egress.proxy import Decision, EgressLimits, EgressProxy, Streams
from agentui.sandbox.egress.rules import parse_target
from tests.unit.sandbox.egress.test_hello import HELLO

CONNECT = b"CONNECT api.good.test:443 HTTP/1.1\r\nHost: api.good.test:443\r\n\r\n"


class Net:
    """A server that sends back what it gets, behind a proxy whose names lead to `addresses`."""

    def __init__(self, addresses: Sequence[str] = ("93.184.216.34",)) -> None:
        self.addresses = addresses
        self.connected: list[tuple[str, int]] = []
        self.decisions: list[Decision] = []
        self.port = 0
        self.proxy_port = 0
        self.breaks = False

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return self.addresses

    async def connect(self, address: str, port: int) -> Streams:
        self.connected.append((address, port))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *pieces: bytes) -> bytes:
        """Send all, then nothing more; returns everything that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy_port)
        for piece in pieces:
            writer.write(piece)
        writer.write_eof()
        async with asyncio.timeout(20):
            try:
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.breaks:
            await reader.read(1)
            writer.transport.abort()
            return
        await _echo(reader, writer)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def net(
    *addresses: str, limits: EgressLimits | None = None, target: str = "api.good.test:443"
) -> AsyncIterator[Net]:
    found = Net(addresses or ("93.184.216.34",))
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    proxy = EgressProxy(
        [parse_target(target)],
        found.decisions.append,
        limits=limits,
        resolve=found.resolve,
        connect=found.connect,
    )
    found.proxy_port = await proxy.listen_loopback()
    try:
        yield found
    finally:
        await proxy.aclose()
        server.close()


async def test_listed_host_is_reached_at_the_address_that_was_looked_at() -> None:
    async with net("10.0.0.1", "93.184.216.34") as found:
        answer = await found.ask(CONNECT, HELLO)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n" + HELLO
    assert found.connected == [("93.184.216.34", 443)]
    assert [(d.host, d.port, d.verdict) for d in found.decisions] == [("api.good.test", 443, "allowed")]


async def test_name_that_leads_only_into_a_private_network_is_refused() -> None:
    async with net("10.0.0.1", "::1", "169.254.169.254") as found:
        answer = await found.ask(CONNECT, HELLO)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert found.connected == []
    assert found.decisions[0].why == "the name leads to a private address"


async def test_private_address_that_the_list_names_is_used_and_the_name_not_looked_up() -> None:
    async with net("93.184.216.34", target="api.good.test:443=10.0.0.1") as found:
        await found.ask(CONNECT, HELLO)
    assert found.connected == [("10.0.0.1", 443)]


async def test_plain_text_through_the_tunnel_never_reaches_the_server() -> None:
    async with net() as found:
        answer = await found.ask(CONNECT, b"POST / HTTP/1.1\r\n\r\nsecret")
    assert b"secret" not in answer
    assert [d.verdict for d in found.decisions] == ["refused"]


async def test_more_than_one_connection_may_send_is_cut_and_told() -> None:
    limits = EgressLimits(sent_bytes=len(HELLO) + 1000)
    async with net(limits=limits) as found:
        await found.ask(CONNECT, HELLO, bytes(5000))
    assert [d.verdict for d in found.decisions] == ["allowed", "refused"]
    assert "more was sent" in found.decisions[1].why


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (EgressLimits(silence_s=0.05), "cut: both sides were silent for too long"),
        (EgressLimits(duration_s=0.05), "cut: it lasted longer than one connection may"),
    ],
)
async def test_connection_that_is_silent_or_lasts_too_long_is_cut_and_told(
    limits: EgressLimits, why: str
) -> None:
    async with net(limits=limits) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.proxy_port)
        writer.write(CONNECT + HELLO)
        async with asyncio.timeout(20):
            await reader.read()
        writer.close()
    assert [(d.host, d.verdict, d.why) for d in found.decisions] == [
        ("api.good.test", "allowed", "on the allow-list"),
        ("api.good.test", "refused", why),
    ]


async def test_server_that_breaks_the_connection_is_no_decision_of_ours() -> None:
    async with net() as found:
        found.breaks = True
        answer = await found.ask(CONNECT, HELLO)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert [d.verdict for d in found.decisions] == ["allowed"]


async def test_request_that_does_not_come_to_its_end_is_refused_and_told() -> None:
    async with net(limits=EgressLimits(greeting_s=0.05)) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.proxy_port)
        writer.write(CONNECT[:-2])
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert [(d.verdict, d.why) for d in found.decisions] == [("refused", "no whole request came in time")]


async def test_head_that_is_too_long_is_refused_and_told() -> None:
    async with net() as found:
        answer = await found.ask(CONNECT[:-2] + b"X-Filler: " + b"x" * 20_000)
    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""
    assert [(d.verdict, d.why) for d in found.decisions] == [("refused", "the request's head is too long")]
    assert found.connected == []


async def test_connections_that_only_wait_are_bounded_too() -> None:
    async with net(limits=EgressLimits(connections=1)) as found:
        waiting = [await asyncio.open_connection("127.0.0.1", found.proxy_port) for _ in range(3)]
        reads = [asyncio.create_task(reader.read()) for reader, _ in waiting]
        async with asyncio.timeout(20):
            await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        for _, writer in waiting:
            writer.close()
        await asyncio.gather(*reads, return_exceptions=True)
        assert [d.why for d in found.decisions] == ["too many connections at once"]


async def test_too_many_connections_at_once_are_refused() -> None:
    async with net(limits=EgressLimits(connections=1)) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.proxy_port)
        writer.write(CONNECT)
        await reader.readuntil(b"\r\n\r\n")
        answer = await found.ask(CONNECT, HELLO)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 502 ")


async def test_connection_that_asks_for_nothing_is_no_decision() -> None:
    async with net() as found:
        assert await found.ask() == b""
    assert found.decisions == []
