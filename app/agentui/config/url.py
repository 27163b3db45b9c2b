"""Addresses of model servers: one form for all, and which of them are private."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

# Names that never leave a home or office network, or the machine itself.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
# Shared address space (RFC 6598); private VPNs such as Tailscale number their machines from it.
_SHARED = ipaddress.ip_network("100.64.0.0/10")


def normal_url(text: str) -> str:
    """An address as all of agentui writes it: with a scheme, without ``/v1`` and without a closing slash.

    A bare number is a port of this machine.

    Raises:
        ValueError: If it is not an address of a web server, or carries a password, a query or a fragment.
    """
    value = text.strip()
    if value.lstrip(":").isdecimal():
        value = f"127.0.0.1:{value.lstrip(':')}"
    if "://" not in value:
        value = f"http://{value}"
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the scheme must be http or https, not {parts.scheme!r}")
    if not parts.hostname or any(c.isspace() for c in value):
        raise ValueError(f"{text!r} names no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address may not hold a user or password; use api_key")
    if parts.query or parts.fragment:
        raise ValueError("an address may not have a query or fragment")
    _ = parts.port  # raises ValueError where it is no number
    path = parts.path.rstrip("/")
    path = path.removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def host_of(url: str) -> str:
    """The host of a normal address, without port and brackets."""
    return urlsplit(url).hostname or ""


def is_private_host(host: str) -> bool:
    """Whether a host is this machine or one on a private network, judged by its name alone: no look-up."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return name == "localhost" or "." not in name or name.endswith(_PRIVATE_SUFFIXES)
    if isinstance(address, ipaddress.IPv4Address) and address in _SHARED:
        return True
    return address.is_loopback or address.is_private or address.is_link_local
