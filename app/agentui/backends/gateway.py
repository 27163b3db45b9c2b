"""A reverse proxy in front of one model server: passes everything, measures what generates, and can freeze it.

Requests and answers pass byte for byte. A freeze closes the server's connections at once. What a client has
seen nothing of yet is asked again by the gateway itself, with the same bytes, when it goes on; an answer that
had begun ends without a finish reason, which makes a client ask again, and that is held until then. A redirect
is told as an error: a client that followed it would take the conversation past us, to where nobody named.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from agentui.backends.failures import from_exception, malformed, unreachable
from agentui.backends.gateway_exchange import (
    Passing,
    aborted,
    begun_answer,
    close_upstream,
    is_gone,
    only_the_servers_headers,
    refused,
    sent,
)
from agentui.backends.gateway_prompts import Prompt, PromptAccount
from agentui.backends.gateway_rules import is_local_caller, is_passable, to_upstream
from agentui.backends.gateway_tee import AnswerTee, Ending, Translate, translation
from agentui.backends.meter import GUESS_EVERY_S, RequestMeter
from agentui.backends.prefix import PrefillPace
from agentui.errors import BackendError, BackendRefused, UsageError
from agentui.events import Event, RequestId, Usage

_log = logging.getLogger(__name__)

MOST_BODY_BYTES = 64 << 20
CONNECT_TIMEOUT_S = 5.0
OPENAI_PATHS = ("/v1/",)
_NO_AUTO_HEADERS = ("Accept", "User-Agent", "Content-Type", "Accept-Encoding")
_CLOSING_S = 0.2


def _new_id() -> str:
    return f"g{secrets.token_hex(4)}"


def _no_limit() -> int | None:
    return None


def _nobody(request_id: RequestId, prompt: Prompt) -> None:
    """Nobody wants to know of the requests."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a gateway behaves.

    Attributes:
        root: The one server that can be reached: a URL without a trailing slash, without ``/v1``.
        api_key: Sent to it instead of what a client sends; clients never see it.
        headers: Added to each request, instead of a client's own of the same name.
        paths: Beginnings of the paths that may be asked for.
        api_path: Where the server has what clients find below ``/v1``.
        most_body_bytes: A larger request is answered with 413.
    """

    root: str
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    paths: tuple[str, ...] = OPENAI_PATHS
    api_path: str = "/v1"
    most_body_bytes: int = MOST_BODY_BYTES


class Gateway:
    """Serves on a Unix socket or a loopback port until `aclose`. Everything happens on one event loop.

    Args:
        settings: The server behind it, and what may pass.
        emit: Gets the same events as for requests of our own.
        limit_tokens: The loaded context, asked for each request.
        on_request: Told of each request that generates, with its exact bytes.
        new_id: Makes ids of requests.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        emit: Callable[[Event], None],
        *,
        limit_tokens: Callable[[], int | None] = _no_limit,
        on_request: Callable[[RequestId, Prompt], None] = _nobody,
        new_id: Callable[[], str] = _new_id,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._limit_tokens = limit_tokens
        self._on_request = on_request
        self._new_id = new_id
        self._clock = clock
        self._prompts = PromptAccount()
        self._pace = PrefillPace()
        self._may_pass = asyncio.Event()
        self._may_pass.set()
        self._generating: dict[asyncio.Task[None], Passing] = {}
        self._held = 0
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._checks_caller = False
        self._socket: Path | None = None
        self.failure: BackendError | None = None
        """Why the last request that generates was not answered; ``None`` when it was, or was cut."""

    @property
    def is_frozen(self) -> bool:
        """Whether requests that generate are held."""
        return not self._may_pass.is_set()

    @property
    def held(self) -> int:
        """Requests that wait for `resume`."""
        return self._held

    @property
    def generating(self) -> int:
        """Requests that the server works on now."""
        return len(self._generating)

    # --- serving ---------------------------------------------------------------------------------

    async def listen_unix(self, path: Path, mode: int = 0o600) -> None:
        """Serve on a Unix socket; `mode` are its permissions. A socket that is left from before is replaced.

        Raises:
            UsageError: If there cannot be a socket.
        """
        runner = await self._started()
        try:
            path.unlink(missing_ok=True)
            await web.UnixSite(runner, str(path)).start()
            self._socket = path
            os.chmod(path, mode)
        except OSError as error:
            await self.aclose()
            raise UsageError(f"The gateway cannot listen on {path}: {error}.") from error

    async def listen_loopback(self, port: int = 0) -> int:
        """Serve on a port of this machine, 0 for a free one; returns it.

        Raises:
            UsageError: If the port is taken or may not be used.
        """
        self._checks_caller = True
        runner = await self._started()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            await self.aclose()
            reason = "it is taken" if error.errno == errno.EADDRINUSE else str(error)
            raise UsageError(
                f"The gateway cannot listen on port {port}: {reason}.", hint="Choose another port, or 0."
            ) from error
        return int(runner.addresses[0][1])

    async def _started(self) -> web.AppRunner:
        app = web.Application(client_max_size=self._settings.most_body_bytes)
        app.router.add_route("*", "/{path:.*}", self._answer)
        app.on_response_prepare.append(only_the_servers_headers)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            auto_decompress=False,
            shutdown_timeout=_CLOSING_S,
        )
        await runner.setup()
        # A connection for each request, so that closing one ends what the server does for it.
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_NO_AUTO_HEADERS,
        )
        self._runner = runner
        return runner

    async def aclose(self) -> None:
        """Cut what runs, on both sides, and serve no more."""
        tasks = list(self._generating)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # --- freezing --------------------------------------------------------------------------------

    async def freeze(self) -> int:
        """Cut all generations and hold what comes; returns how many ran. The server's ends are closed then."""
        self._may_pass.clear()
        running = dict(self._generating)
        for task, passing in running.items():
            passing.is_frozen = True
            task.cancel()
        if running:
            await asyncio.wait(running)
        return len(running)

    def resume(self) -> None:
        """Let held requests pass, with the bytes that they came with."""
        self._may_pass.set()

    # --- one request -----------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self._checks_caller and not is_local_caller(request.host, request.headers.get("Origin")):
            return refused(403, "only programs on this machine may use this address")
        if not is_passable(request.raw_path, self._settings.paths):
            return refused(404, f"no such path here: {request.method} {request.path}")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return refused(413, f"a request may have {self._settings.most_body_bytes:,} bytes")
        passing = Passing(request, body)
        translate = translation(request.method, request.raw_path)
        if translate is None:
            return await self._passed(passing)
        return await self._generated(passing, translate)

    async def _passed(self, passing: Passing) -> web.StreamResponse:
        """Pass a request that generates nothing."""
        try:
            await self._forward(passing)
        except (aiohttp.ClientError, OSError, BackendRefused) as error:
            return self._broken(passing, error)
        return sent(passing)

    async def _generated(self, passing: Passing, translate: Translate) -> web.StreamResponse:
        """Pass and meter a request, again after each freeze that came before the client saw anything."""
        while True:
            await self._wait_to_pass()
            prompt = self._prompts.asked(passing.body)
            request_id = RequestId(self._new_id())
            self._on_request(request_id, prompt)
            meter = RequestMeter(
                request_id, self._emit, self._clock, limit_tokens=self._limit_tokens(), pace=self._pace
            )
            passing.tee = AnswerTee(meter, translate, self._settings.root)
            meter.sent(
                len(passing.body),
                prompt.messages,
                prompt.estimated_tokens,
                prompt.turn,
                prompt.attempt,
                likely_cached_tokens=prompt.likely_cached_tokens,
                first_changed=prompt.first_changed,
            )
            passing.tell = functools.partial(self._told, meter, prompt)
            ending = Ending("cut", None, Usage())
            try:
                response, ending = await self._attempt(passing, meter)
            except asyncio.CancelledError:
                ending = _hung_up(passing)
                raise
            finally:
                passing.ended(ending)
            if response is not None:
                return response

    def _told(self, meter: RequestMeter, prompt: Prompt, ending: Ending) -> None:
        self.failure = ending.error
        meter.ended(ending.outcome, ending.error.message if ending.error is not None else None)
        if ending.outcome == "done":
            self._prompts.answered(prompt, ending.usage)

    async def _wait_to_pass(self) -> None:
        self._held += 1
        try:
            await self._may_pass.wait()
        finally:
            self._held -= 1

    async def _attempt(self, passing: Passing, meter: RequestMeter) -> tuple[web.StreamResponse | None, Ending]:
        """One way to the server and back; no response when it is to be asked again."""
        task = asyncio.create_task(self._forward(passing), name="gateway")
        self._generating[task] = passing
        try:
            while not meter.tokens and not task.done():
                await asyncio.wait({task}, timeout=GUESS_EVERY_S)
                meter.waiting()
            if not task.done():
                await asyncio.wait({task})
        finally:
            # Left by cancellation when the client has gone: then the server is to stop as well.
            self._generating.pop(task, None)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            return await self._cut(passing)
        error = task.exception()
        if error is None:
            assert passing.tee is not None
            return sent(passing), passing.tee.end()
        if not isinstance(error, aiohttp.ClientError | OSError | BackendRefused):
            raise error
        if is_gone(passing.request):
            return self._broken(passing, error), _hung_up(passing)
        return self._broken(passing, error), Ending("failed", self._failure(error), Usage())

    async def _forward(self, passing: Passing) -> None:
        """Send the request on and the answer back. Cancelling it closes the server's connection at once."""
        assert self._client is not None
        request = passing.request
        headers = to_upstream(request.headers.items(), self._settings.api_key, self._settings.headers)
        path = request.raw_path
        if path.startswith("/v1/"):
            path = self._settings.api_path + path.removeprefix("/v1")
        url = URL(self._settings.root + path, encoded=True)
        upstream = await self._client.request(
            request.method, url, headers=headers, data=passing.body or None, allow_redirects=False
        )
        try:
            if passing.tee is not None:
                passing.tee.begin(upstream.status, upstream.headers.get("Content-Type", ""))
            response = await begun_answer(upstream, request, passing.response)
            passing.response = response
            async for piece in upstream.content.iter_any():
                if passing.tee is not None:
                    passing.tee.feed(piece)
                    if passing.tee.is_done:
                        # Before the client has the last word: what it does next must not overtake the figures.
                        passing.ended(passing.tee.end())
                passing.passed_bytes += len(piece)
                await response.write(piece)
            passing.is_answered = True
            await response.write_eof()
        finally:
            close_upstream(upstream)

    async def _cut(self, passing: Passing) -> tuple[web.StreamResponse | None, Ending]:
        """End what was frozen so that the client asks again; what ends with the gateway just breaks."""
        if not passing.is_frozen:
            return aborted(passing), Ending("cut", None, Usage())
        passing.is_frozen = False
        frozen = Ending("frozen", None, Usage())
        if passing.can_be_asked_again:
            return None, frozen
        response = sent(passing)
        if not response.chunked:
            return aborted(passing), frozen
        # An orderly end without a finish reason: clients take that for an accident and ask again.
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await response.write_eof()
        return response, frozen

    def _broken(self, passing: Passing, error: Exception) -> web.StreamResponse:
        """The server's connection broke: so does the client's. It gets a 502 where there is no server."""
        _log.info("A request to %s broke: %r", self._settings.root, error)
        if isinstance(error, aiohttp.ClientConnectorError):
            return refused(502, self._failure(error).message)
        if isinstance(error, BackendRefused):
            return refused(400, f"{error.message} {error.hint}")
        return aborted(passing)

    def _failure(self, error: Exception) -> BackendError:
        root = self._settings.root
        if isinstance(error, aiohttp.ClientConnectorError):
            return unreachable(root, str(error.os_error))
        return from_exception(error, root) or malformed(root, str(error) or type(error).__name__)


def _hung_up(passing: Passing) -> Ending:
    """The client has gone: in the middle of the answer, or as soon as it had read the last record."""
    if passing.tee is not None and (passing.is_answered or passing.tee.is_done):
        return passing.tee.end()
    return Ending("cut", None, Usage())
