"""Server-sent events as LM Studio writes them, with the accidents of a real network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import AsyncIterator

from aiohttp import web

from agentui.simulator.config import SimulatorConfig
from agentui.simulator.engine import Disconnected

_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))


def encode(value: object) -> bytes:
    """Return compact JSON in UTF-8, multi-byte characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def is_gone(request: web.Request) -> bool:
    """Tell whether the client of a request has closed its connection."""
    transport = request.transport
    return transport is None or transport.is_closing()


def reset_connection(request: web.Request) -> None:
    """Close the connection with a TCP reset instead of an orderly end."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        # A linger time of zero makes the kernel send RST on close.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class SseStream:
    """One `text/event-stream` answer. Every write raises Disconnected when the client is gone."""

    def __init__(self, request: web.Request, config: SimulatorConfig, seed: str) -> None:
        self._request = request
        self._config = config
        self._random = random.Random(seed)
        self._held = b""
        self._written_at_s = 0.0
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "Connection": "keep-alive",
            }
        )

    @property
    def has_started(self) -> bool:
        """Whether the headers are out."""
        return self.response.prepared

    async def start(self) -> None:
        """Send the headers; does nothing the second time."""
        if self.response.prepared:
            return
        if is_gone(self._request):
            raise Disconnected
        try:
            await self.response.prepare(self._request)
        except ConnectionError as error:
            raise Disconnected from error

    async def data(self, value: object, *, event: str = "") -> None:
        """Send one record with JSON data."""
        head = f"event: {event}\n".encode() if event else b""
        await self.raw(head + b"data: " + encode(value) + b"\n\n")

    async def token(self, record: bytes) -> None:
        """Send a record that carries a token; now and then it waits to go out with the next one."""
        if not self._held and self._random.random() < self._config.join_ratio:
            await self.start()
            self._held = record
            return
        await self.raw(record)

    async def raw(self, record: bytes) -> None:
        """Send bytes, after whatever was held back; some multi-byte characters are cut in two writes."""
        await self.start()
        record, self._held = self._held + record, b""
        cut = self._cut_inside_character(record)
        if cut:
            await self._write(record[:cut])
            await asyncio.sleep(0)
        await self._write(record[cut:])

    def _cut_inside_character(self, record: bytes) -> int:
        if record.isascii() or self._random.random() >= self._config.split_ratio:
            return 0
        return next((place for place, byte in enumerate(record) if byte in _CONTINUATION_BYTES), 0)

    async def _write(self, data: bytes) -> None:
        if is_gone(self._request):
            raise Disconnected
        self._written_at_s = asyncio.get_running_loop().time()
        try:
            await self.response.write(data)
        except ConnectionError as error:
            raise Disconnected from error

    async def finish(self) -> None:
        """End the body."""
        if self._held:
            await self.raw(b"")
        with contextlib.suppress(ConnectionError):
            await self.response.write_eof()

    @contextlib.asynccontextmanager
    async def pinging(self) -> AsyncIterator[None]:
        """Send `: ping` comments while nothing else goes out, if the configuration wants them."""
        if self._config.ping_s <= 0:
            yield
            return
        task = asyncio.create_task(self._ping())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ping(self) -> None:
        interval_s = self._config.ping_s / self._config.speed
        while True:
            await asyncio.sleep(interval_s)
            silent_s = asyncio.get_running_loop().time() - self._written_at_s
            if self.has_started and silent_s >= interval_s:
                await self._write(b": ping\n\n")
