"""Plain HTTP to a model server's own routes, outside of chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from agentui import __version__
from agentui.backends.failures import from_exception
from agentui.backends.fields import as_object, parse_json
from agentui.errors import BackendError

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 15.0
_KEEP_ALIVE_S = 4.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status; `body` is its JSON, ``None`` if it is none."""

    status: int
    body: Any
    text: str
    headers: Mapping[str, str]

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body as an object; empty where it is none."""
        return as_object(self.body)

    @property
    def is_good(self) -> bool:
        """Whether it is JSON, with a good status, and no error inside (a 200 alone proves nothing)."""
        return 200 <= self.status < 300 and self.body is not None and not self.fields.get("error")


class NativeHttp:
    """A small HTTP client for one server. Takes nothing from the environment: no proxy, no key.

    Args:
        root: URL without a trailing slash, without ``/v1``.
        api_key: Sent as a bearer token where given.
        headers: Sent with each request.
        keeps_open: Whether a connection may stay open for the next request. A server that serves one connection
            at a time would wait on it for ever, and answer no chat.
    """

    def __init__(
        self,
        root: str,
        api_key: str | None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        keeps_open: bool = True,
    ) -> None:
        self.root = root
        own = {"User-Agent": f"agentui/{__version__}"}
        if api_key:
            own["Authorization"] = f"Bearer {api_key}"
        # A connection is dropped before the server drops it (after 5 s), so that none is used half-closed.
        self._client = httpx.AsyncClient(
            headers={**own, **dict(headers)},
            trust_env=False,
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(
                max_connections=8,
                max_keepalive_connections=2 if keeps_open else 0,
                keepalive_expiry=_KEEP_ALIVE_S,
            ),
        )

    async def get(self, path: str, *, timeout_s: float = READ_TIMEOUT_S) -> Reply:
        """GET a path below the root.

        Raises:
            BackendError: If no answer came; any answer at all is returned.
        """
        return await self._send("GET", path, None, timeout_s)

    async def post(self, path: str, body: Mapping[str, Any], *, timeout_s: float | None) -> Reply:
        """POST a JSON object to a path below the root; `timeout_s` ``None`` waits as long as it takes.

        Raises:
            BackendError: If no answer came; any answer at all is returned.
        """
        return await self._send("POST", path, body, timeout_s)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float | None
    ) -> Reply:
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            response = await self._client.request(method, self.root + path, json=body, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._classified(error) from error
        return Reply(response.status_code, parse_json(response.content), response.text, response.headers)

    def _classified(self, error: Exception) -> BackendError:
        found = from_exception(error, self.root)
        return found or BackendError(f"The model server at {self.root} cannot be used: {error}")
