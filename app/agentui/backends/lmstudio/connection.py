"""One WebSocket connection to LM Studio: the frames of its RPC protocol, calls and channels."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from agentui.backends.fields import as_object, as_text, parse_json

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 3.0
CALL_TIMEOUT_S = 5.0
_MOST_BYTES = 32 * 1024 * 1024
_TOKEN = re.compile(r"sk-lm-(?P<identifier>[^:]+):(?P<passkey>.+)")
_UNKNOWN_ENDPOINT = re.compile(r"unknown endpoint,? endpoint\s*=\s*(?P<endpoint>\S+)")


class SocketUnavailable(Exception):
    """There is no connection, or it broke."""


class SocketRefused(SocketUnavailable):
    """The server did not accept our credentials; trying again cannot help."""


class CallFailed(Exception):
    """The server answered a call with an error."""


class EndpointUnknown(CallFailed):
    """This version of the server has no such call."""


def auth_frame(api_key: str | None) -> dict[str, Any]:
    """The first frame. An API token is sent in its two parts; without one any credentials do."""
    token = _TOKEN.fullmatch(api_key or "")
    if token is not None:
        return {"authVersion": 1, "clientIdentifier": token["identifier"], "clientPasskey": token["passkey"]}
    return {
        "authVersion": 1,
        "clientIdentifier": f"agentui-{secrets.token_hex(6)}",
        "clientPasskey": secrets.token_urlsafe(24),
    }


class Connection:
    """An open, accepted connection to one namespace. Make one with `Connection.open`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._calls: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._channels: dict[int, tuple[str, asyncio.Queue[Mapping[str, Any] | Exception | None]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, api_key: str | None) -> Connection:
        """Connect and authenticate.

        Raises:
            SocketUnavailable: If nothing accepts the connection.
            SocketRefused: If the credentials are not accepted.
        """
        # Imported late: a program that only lists models over REST need not pay for it.
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        try:
            socket = await connect(
                url,
                proxy=None,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=1.0,
                # LM Studio may be too busy to answer pings while it loads a model; that must not end the load.
                ping_interval=None,
                max_size=_MOST_BYTES,
                user_agent_header=None,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            raise SocketUnavailable(f"{url}: {error}") from error
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await socket.send(json.dumps(auth_frame(api_key)))
                answer = as_object(parse_json(await socket.recv()))
        except (OSError, TimeoutError, WebSocketException) as error:
            await socket.close()
            raise SocketUnavailable(f"{url}: {error}") from error
        except asyncio.CancelledError:
            await socket.close()
            raise
        if answer.get("success") is not True:
            await socket.close()
            raise SocketRefused(f"{url}: {answer.get('error') or 'not accepted'}")
        return cls(socket)

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""
        return not self._reader.done()

    @property
    def is_busy(self) -> bool:
        """Whether a channel is open, such as a load that goes on."""
        return bool(self._channels)

    async def call(self, endpoint: str, parameter: object = None, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Make one call and return its result.

        Raises:
            SocketUnavailable: If the connection broke, or no answer came in time.
            CallFailed: If the server answered with an error.
        """
        call_id = next(self._ids)
        message: dict[str, Any] = {"type": "rpcCall", "endpoint": endpoint, "callId": call_id}
        if parameter is not None:
            message["parameter"] = parameter
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = (endpoint, future)
        try:
            await self._send(message)
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            raise SocketUnavailable(f"no answer to {endpoint} within {timeout_s:.0f} s") from error
        finally:
            self._calls.pop(call_id, None)

    async def channel(self, endpoint: str, parameter: object) -> AsyncGenerator[Mapping[str, Any], None]:
        """Open a channel and yield its messages until it closes; leaving early cancels it at the server.

        Raises:
            SocketUnavailable: If the connection broke.
            CallFailed: If the server ended the channel with an error.
        """
        channel_id = next(self._ids)
        queue: asyncio.Queue[Mapping[str, Any] | Exception | None] = asyncio.Queue()
        self._channels[channel_id] = (endpoint, queue)
        is_over = False
        try:
            await self._send(
                {
                    "type": "channelCreate",
                    "endpoint": endpoint,
                    "channelId": channel_id,
                    "creationParameter": parameter,
                }
            )
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    is_over = True
                    raise item
                yield item
            is_over = True
        finally:
            self._channels.pop(channel_id, None)
            if not is_over:
                cancel = {"type": "channelSend", "channelId": channel_id, "message": {"type": "cancel"}}
                with contextlib.suppress(SocketUnavailable):
                    await self._send(cancel)

    async def aclose(self) -> None:
        """Close the connection; open calls fail."""
        await self._socket.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _send(self, message: Mapping[str, Any]) -> None:
        from websockets.exceptions import WebSocketException

        try:
            await self._socket.send(json.dumps(message))
        except (OSError, WebSocketException) as error:
            raise SocketUnavailable(f"the connection broke: {error}") from error

    async def _read(self) -> None:
        from websockets.exceptions import WebSocketException

        reason = "the connection was closed"
        try:
            async for frame in self._socket:
                message = as_object(parse_json(frame))
                if message.get("type") == "keepAlive":
                    await self._send({"type": "keepAliveAck"})
                else:
                    self._dispatch(message)
        except (OSError, WebSocketException, SocketUnavailable) as error:
            reason = f"the connection broke: {error}"
        finally:
            self._fail_all(reason)

    def _dispatch(self, message: Mapping[str, Any]) -> None:
        match message.get("type"):
            case "rpcResult":
                self._settle(message.get("callId"), message.get("result"))
            case "rpcError":
                self._settle(message.get("callId"), CallFailed(_title(message)))
            case "channelSend":
                self._deliver(message.get("channelId"), as_object(message.get("message")))
            case "channelClose":
                self._deliver(message.get("channelId"), None)
            case "channelError":
                self._deliver(message.get("channelId"), CallFailed(_title(message)))
            case "communicationWarning":
                self._warned(str(message.get("warning", "")))
            case _:
                pass

    def _settle(self, call_id: object, result: object) -> None:
        _, future = self._calls.get(call_id, ("", None)) if isinstance(call_id, int) else ("", None)
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _deliver(self, channel_id: object, item: Mapping[str, Any] | Exception | None) -> None:
        if isinstance(channel_id, int) and channel_id in self._channels:
            self._channels[channel_id][1].put_nowait(item)

    def _warned(self, warning: str) -> None:
        """An unknown endpoint is answered by a warning only, which names it."""
        _log.info("LM Studio: %s", warning)
        named = _UNKNOWN_ENDPOINT.search(warning)
        if named is None:
            return
        endpoint = named["endpoint"].strip("\"'.")
        for call_id, (asked, _) in list(self._calls.items()):
            if asked == endpoint:
                self._settle(call_id, EndpointUnknown(endpoint))
        for channel_id, (asked, _) in list(self._channels.items()):
            if asked == endpoint:
                self._deliver(channel_id, EndpointUnknown(endpoint))

    def _fail_all(self, reason: str) -> None:
        for call_id in list(self._calls):
            self._settle(call_id, SocketUnavailable(reason))
        for channel_id in list(self._channels):
            self._deliver(channel_id, SocketUnavailable(reason))


def _title(message: Mapping[str, Any]) -> str:
    error = message.get("error")
    if isinstance(error, str):
        return error
    fields = as_object(error)
    texts = [as_text(fields.get(key)) for key in ("title", "cause", "message")]
    return ": ".join(text for text in texts if text) or "an error without words"
