"""One request on its way through the gateway, and what is done to its two ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from agentui.backends.failures import refusal
from agentui.backends.gateway_rules import to_client
from agentui.backends.gateway_tee import AnswerTee, Ending


@dataclass(slots=True)
class Passing:
    """An answer on its way; `response` is set once the client has seen its head, then bytes of its body.

    `is_answered` is set when all of the server's answer has been handed on. `tell` is called once with
    how it ended.
    """

    request: web.Request
    body: bytes
    tee: AnswerTee | None = None
    tell: Callable[[Ending], None] | None = None
    response: web.StreamResponse | None = None
    passed_bytes: int = 0
    is_frozen: bool = False
    is_answered: bool = False

    def ended(self, ending: Ending) -> None:
        """Tell how it ended; after the first time nothing."""
        tell, self.tell = self.tell, None
        if tell is not None:
            tell(ending)

    @property
    def can_be_asked_again(self) -> bool:
        """Whether another answer can take the place of this one without the client seeing a difference."""
        return not self.passed_bytes and (self.response is None or self.response.chunked)


async def begun_answer(
    upstream: aiohttp.ClientResponse, request: web.Request, begun: web.StreamResponse | None
) -> web.StreamResponse:
    """The head of the answer, sent to the client as the server wrote it.

    `begun` is the head that the client has seen before a freeze; another answer must be of the same kind.

    Raises:
        BackendRefused: If the server redirects elsewhere.
    """
    elsewhere = upstream.headers.get("Location")
    if elsewhere is not None and 300 <= upstream.status < 400:
        raise refusal(upstream.status, elsewhere, str(upstream.url.origin()))
    if begun is not None:
        if (begun.status, begun.content_type) != (upstream.status, upstream.content_type):
            raise aiohttp.ClientPayloadError(f"asked again, the server answers with {upstream.status}")
        return begun
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
    for name, value in to_client(upstream.headers.items()):
        response.headers.add(name, value)
    if upstream.headers.get("Content-Length", "").isdecimal():
        response.content_length = int(upstream.headers["Content-Length"])
    elif request.version < aiohttp.HttpVersion11:
        response.force_close()
    elif request.method != "HEAD" and upstream.status not in (204, 304):
        response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def only_the_servers_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Take back what aiohttp adds: the client sees the server's own headers."""
    if response.headers.get("Server", "").startswith("Python/"):
        del response.headers["Server"]


def is_gone(request: web.Request) -> bool:
    """Whether the client has closed its connection."""
    transport = request.transport
    return transport is None or transport.is_closing()


def close_upstream(upstream: aiohttp.ClientResponse) -> None:
    """Close the server's connection at once, whatever is still on it."""
    connection = upstream.connection
    if connection is not None and connection.transport is not None:
        # Not an orderly end: what is still to be written would keep the connection open.
        connection.transport.abort()
    upstream.close()


def sent(passing: Passing) -> web.StreamResponse:
    """The answer whose head the client has seen."""
    assert passing.response is not None
    return passing.response


def aborted(passing: Passing) -> web.StreamResponse:
    """Break the client's connection, as the server's broke."""
    transport = passing.request.transport
    if transport is not None:
        transport.abort()
    return passing.response or web.Response(status=502)


def refused(status: int, text: str) -> web.Response:
    """An error of our own, in the form that OpenAI-style clients read."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return web.json_response({"error": {"message": text, "type": kind, "code": status}}, status=status)
