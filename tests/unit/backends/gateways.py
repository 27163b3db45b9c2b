"""A gateway in front of a server, and plain clients of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from agentui.backends.gateway import Gateway, GatewaySettings
from agentui.backends.gateway_prompts import Prompt
from agentui.events import Event, RequestEnded, RequestId, RequestStarted
from agentui.simulator.config import GEMMA_26B

CHAT = "/v1/chat/completions"
ASKED = {"model": GEMMA_26B, "messages": [{"role": "user", "content": "split report.py into modules"}]}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}

# What differs between two answers to the same question: the clock.
_CREATED = re.compile(rb'"created": ?\d+')


@dataclass
class Opened:
    """A gateway that listens, and what it told."""

    gateway: Gateway
    url: str
    events: list[Event] = field(default_factory=list)
    prompts: list[tuple[RequestId, Prompt]] = field(default_factory=list)

    def started(self) -> list[RequestStarted]:
        return [event for event in self.events if isinstance(event, RequestStarted)]

    def ended(self) -> list[RequestEnded]:
        return [event for event in self.events if isinstance(event, RequestEnded)]


@asynccontextmanager
async def gateway_to(root: str, settings: GatewaySettings | None = None) -> AsyncIterator[Opened]:
    """A gateway on a free port."""
    events: list[Event] = []
    prompts: list[tuple[RequestId, Prompt]] = []
    gateway = Gateway(
        replace(settings, root=root) if settings else GatewaySettings(root),
        events.append,
        limit_tokens=lambda: 65536,
        on_request=lambda request_id, prompt: prompts.append((request_id, prompt)),
    )
    port = await gateway.listen_loopback()
    try:
        yield Opened(gateway, f"http://127.0.0.1:{port}", events, prompts)
    finally:
        await gateway.aclose()


@asynccontextmanager
async def plain_client(url: str, api_key: str = "anything") -> AsyncIterator[AsyncOpenAI]:
    """The openai package as anybody uses it."""
    client = AsyncOpenAI(
        base_url=f"{url}/v1",
        api_key=api_key,
        max_retries=0,
        timeout=20,
        http_client=DefaultAsyncHttpxClient(trust_env=False),
    )
    async with client:
        yield client


@dataclass(frozen=True)
class Heard:
    """All that a client hears of an answer."""

    status: int
    content_type: str
    body: bytes
    broke: bool


async def listen(url: str, body: object, *, silent_s: float = 5.0) -> Heard:
    """Ask, and read to the end, to an accident, or to `silent_s` of silence."""
    pieces: list[bytes] = []
    status, content_type = 0, ""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=silent_s)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        try:
            async with session.post(url + CHAT, json=body) as answer:
                status, content_type = answer.status, answer.headers.get("Content-Type", "")
                async for piece in answer.content.iter_any():
                    pieces.append(piece)
        except (aiohttp.ClientError, OSError, TimeoutError):
            broke = True
        else:
            broke = False
    return Heard(status, content_type, _CREATED.sub(b'"created":0', b"".join(pieces)), broke)
