"""The proxy itself: CONNECT to a listed ``host:port`` whose TLS greeting names the same host, and nothing else.

A name is looked up once for each connection, and the connection goes to an address that was looked at; what a
name leads to a moment later does not matter.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agentui.sandbox.egress.hello import HelloReader, NotAHello
from agentui.sandbox.egress.rules import AllowedTarget, Refusal, judged, normal_host, usable_addresses

MOST_HEAD_BYTES = 8 * 1024
_PIECE_BYTES = 64 * 1024
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
}
_TOO_MANY = "too many connections at once"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one connection. `host` is as the client wrote it where it is no host."""

    host: str
    port: int
    verdict: Literal["allowed", "refused"]
    why: str


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """Bounds of each connection, and how many there may be at once.

    `greeting_s` bounds each step until data flows; then `silence_s` how long both sides may say nothing, and
    `duration_s` the whole. Twice as many as `connections` are heard, so that a refusal can name its target.
    """

    connections: int = 32
    greeting_s: float = 15.0
    silence_s: float = 120.0
    duration_s: float = 1800.0
    sent_bytes: int = 64 << 20
    received_bytes: int = 1 << 30


Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
Connect: TypeAlias = Callable[[str, int], Awaitable[Streams]]


async def looked_up(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, by this machine's resolver.

    Raises:
        OSError: If it has none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class EgressProxy:
    """Serves on a Unix socket or a loopback port until `aclose`; everything happens on one event loop.

    Args:
        allowed: What may be reached. on_decision: Told of each connection once, and again if one is cut for
        going over a limit. resolve: Looks names up. connect: Makes the connection to an address.
    """

    def __init__(
        self,
        allowed: Sequence[AllowedTarget],
        on_decision: Callable[[Decision], None],
        *,
        limits: EgressLimits | None = None,
        resolve: Resolve = looked_up,
        connect: Connect = asyncio.open_connection,
    ) -> None:
        self.allowed = tuple(allowed)
        self._on_decision = on_decision
        self._limits = limits or EgressLimits()
        self._resolve = resolve
        self._connect_to = connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen_loopback(self) -> int:
        """Serve on a free port of this machine; returns it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=MOST_HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def listen_unix(self, path: Path) -> None:
        """Serve on a Unix socket that every user may connect to; one left from before is replaced."""
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, path, limit=MOST_HEAD_BYTES)
        os.chmod(path, 0o666)

    async def aclose(self) -> None:
        """Serve no more and cut what runs."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= 2 * self._limits.connections:
            self._on_decision(Decision("?", 0, "refused", _TOO_MANY))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="egress")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._connection(reader, writer)
        except (OSError, EOFError) as error:
            _log.info("a connection out of the sandbox broke: %s", error)
        finally:
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await self._request_line(reader)
        if line is None:
            return
        target = line if isinstance(line, Refusal) else judged(line, self.allowed)
        if isinstance(target, AllowedTarget) and len(self._tasks) > self._limits.connections:
            target = Refusal(502, _TOO_MANY, target.host, target.port)
        if isinstance(target, Refusal):
            await self._refuse(writer, target)
            return
        upstream = await self._connect(target)
        if isinstance(upstream, Refusal):
            await self._refuse(writer, upstream)
            return
        upstream_reader, upstream_writer = upstream
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            hello = await self._greeting(reader, target)
            if hello is None:
                return
            self._on_decision(Decision(target.host, target.port, "allowed", "on the allow-list"))
            await _Tunnel(self._limits, target, self._on_decision).run(
                (reader, writer), (upstream_reader, upstream_writer), hello
            )
        finally:
            upstream_writer.close()

    async def _request_line(self, reader: asyncio.StreamReader) -> bytes | Refusal | None:
        """The first line of a whole request; ``None`` for a connection that asks for nothing."""
        try:
            async with asyncio.timeout(self._limits.greeting_s):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            return cut.partial.split(b"\r\n")[0] if cut.partial.strip() else None
        except asyncio.LimitOverrunError:
            return Refusal(431, "the request's head is too long", "?")
        except TimeoutError:
            return Refusal(408, "no whole request came in time", "?")
        return head.split(b"\r\n")[0]

    async def _refuse(self, writer: asyncio.StreamWriter, refusal: Refusal) -> None:
        self._on_decision(Decision(refusal.host, refusal.port, "refused", refusal.why))
        text = f"agentui: connection refused: {refusal.why}\n".encode("utf-8", "replace")
        head = (
            f"HTTP/1.1 {refusal.status} {_REASONS[refusal.status]}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode("ascii") + text)
        await writer.drain()

    async def _connect(self, target: AllowedTarget) -> Streams | Refusal:
        try:
            async with asyncio.timeout(self._limits.greeting_s):
                if target.address is not None:
                    addresses: tuple[str, ...] = (str(target.address),)
                else:
                    addresses = usable_addresses(await self._resolve(target.host, target.port))
                if not addresses:
                    return Refusal(502, "the name leads to a private address", target.host, target.port)
                return await self._first_connection(addresses, target.port)
        except (OSError, TimeoutError) as error:
            return Refusal(502, f"no connection: {error or 'no answer in time'}", target.host, target.port)

    async def _first_connection(self, addresses: Sequence[str], port: int) -> Streams:
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                return await self._connect_to(address, port)
            except OSError as error:
                failure = error
        raise failure

    async def _greeting(self, reader: asyncio.StreamReader, target: AllowedTarget) -> bytes | None:
        """The client's whole TLS greeting, if it names the target; else the refusal is told."""
        hello, piece = HelloReader(), b""
        try:
            async with asyncio.timeout(self._limits.greeting_s):
                while (name := hello.feed(piece)) is None:
                    piece = await reader.read(_PIECE_BYTES)
                    if not piece:
                        raise NotAHello("the client left before its TLS greeting")
            if normal_host(name) == target.host:
                return bytes(hello.data)
            why = f"the TLS greeting names another host: {name[:200]}"
        except NotAHello as problem:
            why = str(problem)
        except TimeoutError:
            why = "no TLS greeting came"
        self._on_decision(Decision(target.host, target.port, "refused", why))
        return None


class _Cut(Exception):
    """A limit ends the connection; the text says which."""


class _Tunnel:
    """Two connections that became one, with counts."""

    def __init__(
        self, limits: EgressLimits, target: AllowedTarget, on_decision: Callable[[Decision], None]
    ) -> None:
        self._limits = limits
        self._target = target
        self._on_decision = on_decision
        self._passed = 0
        """Pieces in both directions: what one side does keeps the other from being silent."""

    async def run(
        self,
        client: Streams,
        server: Streams,
        first: bytes,
    ) -> None:
        """Pass `first` to the server, then bytes until both sides are done, or a limit is reached."""
        limits = self._limits
        lasting = asyncio.timeout(limits.duration_s)
        try:
            async with lasting, asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(client[0], server[1], limits.sent_bytes, "sent", first))
                pumps.create_task(self._pump(server[0], client[1], limits.received_bytes, "received"))
        except* _Cut as cut:
            self._tell_cut(str(cut.exceptions[0]))
        except* OSError as broken:
            if lasting.expired():
                self._tell_cut("it lasted longer than one connection may")
            else:
                _log.info("a connection out of the sandbox broke: %s", broken.exceptions[0])

    def _tell_cut(self, why: str) -> None:
        self._on_decision(Decision(self._target.host, self._target.port, "refused", f"cut: {why}"))

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        left_bytes: int,
        word: str,
        first: bytes = b"",
    ) -> None:
        while piece := first or await self._piece(source):
            first = b""
            left_bytes -= len(piece)
            if left_bytes < 0:
                raise _Cut(f"more was {word} than one connection may")
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    async def _piece(self, source: asyncio.StreamReader) -> bytes:
        while True:
            passed = self._passed
            try:
                async with asyncio.timeout(self._limits.silence_s):
                    piece = await source.read(_PIECE_BYTES)
            except TimeoutError:
                if self._passed == passed:
                    raise _Cut("both sides were silent for too long") from None
                continue
            self._passed += 1
            return piece
