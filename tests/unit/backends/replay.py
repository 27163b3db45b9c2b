"""A server that answers with recorded bytes, in pieces of any size, and with any accident at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

DATA = Path(__file__).resolve().parents[2] / "data" / "backends"
Ending = Literal["clean", "reset", "hang"]


@dataclass(frozen=True, slots=True)
class Canned:
    """One answer; `piece_bytes` cuts the body, `ending` is what happens after it."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    piece_bytes: int = 1 << 20
    ending: Ending = "clean"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


def as_json(value: object, status: int = 200) -> Canned:
    return Canned(json.dumps(value).encode(), status)


def recorded(name: str, *, piece_bytes: int = 1 << 20) -> Canned:
    kind = "text/event-stream" if name.endswith(".sse") else "application/json"
    status = int(name.partition(".http")[2][:3] or 200)
    return Canned((DATA / name).read_bytes(), status, kind, piece_bytes=piece_bytes)


def events(*data: object, done: bool = True, ending: Ending = "clean", piece_bytes: int = 1 << 20) -> Canned:
    lines = [f"data: {item if isinstance(item, str) else json.dumps(item)}\n\n" for item in data]
    text = "".join(lines) + ("data: [DONE]\n\n" if done else "")
    return Canned(text.encode(), content_type="text/event-stream", ending=ending, piece_bytes=piece_bytes)


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **extra: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": dict(delta), "finish_reason": finish}]
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    return {**base, "choices": choices, **extra}


@dataclass
class ReplayServer:
    """Serves `routes`, keyed ``"METHOD /path"``; anything else is answered by `otherwise`.

    With `is_serial` a connection waits until the one before it was closed.
    """

    routes: dict[str, Canned]
    otherwise: Canned = field(default_factory=lambda: as_json({"error": "not found"}, 404))
    server_header: str = ""
    is_serial: bool = False
    seen: list[Seen] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.seen]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            async with self._turn if self.is_serial else nullcontext():
                await self._serve_connection(reader, writer)
        except ConnectionError:
            self.gone.set()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _read_request(reader)) is not None:
            self.seen.append(request)
            answer = self.routes.get(f"{request.method} {request.path}", self.otherwise)
            if not await self._answer(answer, reader, writer):
                return

    async def _answer(self, answer: Canned, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = [f"HTTP/1.1 {answer.status} X", f"Content-Type: {answer.content_type}"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        if self.server_header:
            head.append(f"Server: {self.server_header}")
        writer.write("\r\n".join([*head, "Transfer-Encoding: chunked", "\r\n"]).encode())
        for start in range(0, len(answer.body), answer.piece_bytes):
            piece = answer.body[start : start + answer.piece_bytes]
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if answer.ending == "reset":
            writer.transport.abort()
            return False
        if answer.ending == "hang":
            await reader.read()
            self.gone.set()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ", 2)
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


LLAMA_ROUTES: dict[str, Canned] = {
    "GET /v1/models": recorded("v1-models.json"),
    "GET /props": recorded("props.json"),
    "GET /health": recorded("health.json"),
    "GET /slots": recorded("slots-idle.json"),
    "POST /v1/chat/completions": recorded("chat-stream-include-usage.sse"),
}


def llama_server(**routes: Canned) -> ReplayServer:
    """A llama-server; `chat` replaces its stream, `slots` its slots."""
    names = {"chat": "POST /v1/chat/completions", "slots": "GET /slots", "health": "GET /health"}
    changed = {names[name]: canned for name, canned in routes.items()}
    return ReplayServer({**LLAMA_ROUTES, **changed}, server_header="llama.cpp")
