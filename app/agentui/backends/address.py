"""Addresses of model servers: from what a user typed to something that can be called."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentui.errors import UsageError

_ROUTES = (
    "/chat/completions",
    "/completions",
    "/models",
    "/api/v1",
    "/api/v0",
    "/v1",
)
_IS_A_BASE = re.compile(r"[^/]/(?:v[0-9]+[a-z0-9]*|openai)$")
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a model server is: `root` is the URL without a trailing slash, without ``/v1``."""

    root: str
    host: str
    port: int

    @property
    def api_bases(self) -> tuple[str, str]:
        """Bases of the OpenAI-style routes to try, the likely one first.

        An address that ends with a version of its own (``/api/paas/v4``) or with the name of the protocol
        (``/v1beta/openai``) is the base itself.
        """
        below = f"{self.root}/v1"
        return (self.root, below) if _IS_A_BASE.search(self.root) else (below, self.root)

    @property
    def websocket_root(self) -> str:
        """The same address for WebSockets."""
        return "ws" + self.root.removeprefix("http")


def parse_address(url: str) -> ServerAddress:
    """Read an address as a user types it: with or without scheme, ``/v1``, route or trailing slash.

    A bare number is a port of this machine.

    Raises:
        UsageError: If it cannot be an address, or holds a user name or password.
    """
    text = url.strip()
    if text.lstrip(":").isdecimal():
        text = f"127.0.0.1:{text.lstrip(':')}"
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _unusable(url) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", text):
        raise _unusable(url)
    if "@" in parts.netloc:
        raise UsageError(
            "The server's address holds a user name or password.",
            hint="Give the key as AGENTUI_API_KEY or in the settings file, and the address without it.",
        )
    host = parts.hostname
    shown_host = f"[{host}]" if ":" in host else host
    netloc = shown_host if port is None else f"{shown_host}:{port}"
    root = f"{parts.scheme}://{netloc}{_without_routes(parts.path)}"
    return ServerAddress(root=root, host=host, port=port or (443 if parts.scheme == "https" else 80))


def _unusable(url: str) -> UsageError:
    return UsageError(
        f"“{url}” is not the address of a server.",
        hint="An address looks like http://127.0.0.1:1234, with or without /v1.",
    )


def _without_routes(path: str) -> str:
    path = path.rstrip("/")
    shortened = True
    while shortened:
        shortened = False
        for route in _ROUTES:
            if path.endswith(route):
                path = path[: -len(route)].rstrip("/")
                shortened = True
    return path


async def is_this_machine(host: str) -> bool:
    """Whether a host is the machine we run on; looks the name up. False where that fails."""
    name = host.strip("[]").rstrip(".").lower()
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(_is_own_address(family, sockaddr) for family, _, _, _, sockaddr in found)


def _is_own_address(family: int, sockaddr: tuple[object, ...]) -> bool:
    address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
    if address.is_loopback or address.is_unspecified:
        return True
    # An address can be bound only by the machine that has it; this needs no list of interfaces.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(sockaddr[0]), 0, *sockaddr[2:]))
    except OSError:
        return False
    return True
