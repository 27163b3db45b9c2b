"""The simulated LM Studio as a server on loopback."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from agentui.errors import UsageError
from agentui.simulator import (
    answers,
    control_routes,
    native_chat,
    openai_routes,
    rest_v0,
    rest_v1,
    websocket,
)
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.faults import Fault, FaultPlan
from agentui.simulator.registry import Registry
from agentui.simulator.state import STATE, VERSION, ServerState
from agentui.simulator.truth import Truth

logger = logging.getLogger(__name__)

_KEEP_ALIVE_S = 5
_MAX_BODY_BYTES = 512 * 1024 * 1024
_OPEN_PATHS = ("/lmstudio-greeting", "/lms-status", "/simulator/")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _greeting(_: web.Request) -> web.Response:
    return web.json_response({"lmstudio": True})


async def _status(_: web.Request) -> web.Response:
    return web.json_response({"package": "agentui-simulator", "version": VERSION})


async def _unexpected(request: web.Request) -> web.Response:
    return web.json_response(answers.unexpected_endpoint(request.method, request.path))


@web.middleware
async def _gatekeeper(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every call and ask for the token where one is wanted."""
    state = request.app[STATE]
    state.truth.count_call(request.method, request.path)
    is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
    if not is_websocket and not request.path.startswith(_OPEN_PATHS) and not _is_welcome(request, state):
        refusal = answers.unauthorized()
        return web.json_response(refusal.body, status=refusal.status)
    return await handler(request)


def _is_welcome(request: web.Request, state: ServerState) -> bool:
    if state.plan.is_on(Fault.UNAUTHORIZED):
        return False
    token = state.config.api_token
    return not token or request.headers.get("Authorization") == f"Bearer {token}"


async def _express_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Powered-By"] = "Express"
    response.headers.popall("Server", None)
    if "Connection" not in response.headers:
        response.headers["Connection"] = "keep-alive"
    response.headers["Keep-Alive"] = f"timeout={_KEEP_ALIVE_S}"


def make_app(state: ServerState) -> web.Application:
    """Return the web application of one server."""
    app = web.Application(middlewares=[_gatekeeper], client_max_size=_MAX_BODY_BYTES)
    app[STATE] = state
    app.on_response_prepare.append(_express_headers)
    namespaces = "|".join(websocket.NAMESPACES)
    app.add_routes(
        [
            web.get("/lmstudio-greeting", _greeting),
            web.get("/lms-status", _status),
            web.get("/v1/models", openai_routes.list_models),
            web.post("/v1/chat/completions", openai_routes.chat_completions),
            web.post("/v1/completions", openai_routes.completions),
            web.get("/api/v0/models", rest_v0.list_models),
            web.get("/api/v0/models/{id:.+}", rest_v0.one_model),
            web.post("/api/v0/chat/completions", rest_v0.chat_completions),
            web.get("/api/v1/models", rest_v1.list_models),
            web.post("/api/v1/models/load", rest_v1.load),
            web.post("/api/v1/models/unload", rest_v1.unload),
            web.post("/api/v1/chat", native_chat.chat),
            web.get(f"/{{namespace:{namespaces}}}", websocket.connect),
            web.get("/simulator/faults", control_routes.faults),
            web.post("/simulator/faults", control_routes.faults),
            web.get("/simulator/truth", control_routes.truth),
            web.route("*", "/{path:.*}", _unexpected),
        ]
    )
    return app


class RunningSimulator:
    """A server that is up. Use `start_simulator` to get one, and `stop` to end it."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.state = ServerState(config)
        self._port = config.port
        self._runner: web.AppRunner | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Base address without a path, such as `http://127.0.0.1:1234`."""
        return f"http://{self.config.host}:{self._port}"

    @property
    def registry(self) -> Registry:
        """What is loaded and what state it is in."""
        return self.state.registry

    @property
    def truth(self) -> Truth:
        """What really happened."""
        return self.state.truth

    @property
    def faults(self) -> FaultPlan:
        """What goes wrong from now on."""
        return self.state.plan

    async def start(self) -> None:
        """Listen.

        Raises:
            UsageError: If the port is taken or may not be used.
        """
        await self._listen()
        self._watcher = asyncio.create_task(self._restart_when_wanted())

    async def _listen(self) -> None:
        runner = web.AppRunner(
            make_app(self.state),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_KEEP_ALIVE_S,
            shutdown_timeout=0.2,
        )
        await runner.setup()
        site = web.TCPSite(runner, self.config.host, self._port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            reason = "it is taken" if error.errno == errno.EADDRINUSE else str(error)
            raise UsageError(
                f"The simulator cannot listen on {self.config.host} port {self._port}: {reason}.",
                hint="Choose another one with --port, or --port 0 for a free one.",
            ) from error
        address = runner.addresses[0]
        self._port = int(address[1])
        self._runner = runner

    async def restart(self) -> None:
        """Close everything, lose caches and loads, and listen on the same port again after a moment."""
        await self._close()
        self.state.forget()
        await self.state.engine.pace.wait(self.config.restart_s)
        await self._listen()

    async def _restart_when_wanted(self) -> None:
        while True:
            await self.state.restart_wanted.wait()
            self.state.restart_wanted.clear()
            while self.truth.open_count:
                await asyncio.sleep(0.01)
            await self.restart()

    async def _close(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def stop(self) -> None:
        """Close all connections and end; running generations are dropped."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
        await self._close()


async def start_simulator(config: SimulatorConfig | None = None) -> RunningSimulator:
    """Start a simulated LM Studio in this event loop.

    Raises:
        UsageError: If the port is taken or may not be used.
    """
    simulator = RunningSimulator(config or SimulatorConfig())
    await simulator.start()
    return simulator
