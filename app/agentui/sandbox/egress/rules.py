"""Which connections may leave: the allow-list, the request that asks for one, the addresses behind a name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_TARGET = re.compile(r"([A-Za-z0-9._-]{1,254}):([1-9][0-9]{0,4})")
# What inet_aton takes for a number: 2130706433, 0x7f000001, 127.1, 0177.0.0.1.
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Special by IANA's registries, but not in the tables of every Python that we run on.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class AllowedTarget:
    """One line of the allow-list. With `address` the name is not looked up, and that address may be private."""

    host: str
    port: int
    address: Address | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is not made; `status` is the HTTP status that says so."""

    status: Literal[400, 403, 405, 408, 431, 502]
    why: str
    host: str
    port: int = 0


def parse_target(text: str) -> AllowedTarget:
    """One target: ``host:port``, or ``host:port=address``.

    Raises:
        ValueError: If it is none; the message is the end of a sentence that begins with the text.
    """
    pair, separator, address = text.strip().partition("=")
    match = _TARGET.fullmatch(pair.strip())
    if match is None:
        raise ValueError("is no host:port, such as api.example.com:443")
    host, port = normal_host(match[1]), int(match[2])
    if port > 65535:
        raise ValueError("has no such port: 65535 is the last")
    if is_numeric(host):
        raise ValueError("is an address: name the host (and its address behind it: host:port=address)")
    if not _NAME.fullmatch(host):
        raise ValueError("has no host name that can be looked up")
    if not separator:
        return AllowedTarget(host, port)
    try:
        return AllowedTarget(host, port, ipaddress.ip_address(address.strip()))
    except ValueError:
        raise ValueError(f"names {address.strip()!r}, which is no address") from None


def normal_host(host: str) -> str:
    """The form in which hosts are compared: lower case, without the root's dot."""
    return host.lower().removesuffix(".")


def is_numeric(host: str) -> bool:
    """Whether some resolver would read it as an IPv4 address."""
    return _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None


def judged(request_line: bytes, allowed: Iterable[AllowedTarget]) -> AllowedTarget | Refusal:
    """What the first line of a client's request comes to."""
    words = request_line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Refusal(400, "this is no HTTP request", "?")
    method, target, _ = words
    shown = target[:200]
    if method != "CONNECT":
        return Refusal(405, f"only https leaves the sandbox, and {method[:20]} asks for something else", shown)
    match = _TARGET.fullmatch(target)
    if match is None or int(match[2]) > 65535:
        return Refusal(400, "the target is no plain host:port", shown)
    host, port = normal_host(match[1]), int(match[2])
    if is_numeric(host):
        return Refusal(403, "addresses are never allowed, only listed names", host, port)
    for line in allowed:
        if (line.host, line.port) == (host, port):
            return line
    return Refusal(403, "not on the allow-list", host, port)


def usable_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of a name's addresses that lie in the public internet, each once, in their order."""
    return tuple(dict.fromkeys(text for text in addresses if is_public(text)))


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, with those inside of IPv6 forms looked at too.

    Of IPv6 only global unicast is (so neither old site-local nor IPv4-compatible addresses, nor a network's own
    NAT64 prefix), and the well-known prefix of NAT64, which is how some networks reach IPv4 at all.
    """
    try:
        return _is_public(ipaddress.ip_address(text))
    except ValueError:
        return False


def _is_public(address: Address) -> bool:
    if address.is_multicast or any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global
    inner = _inner(address)
    if address.ipv4_mapped is None and address not in _NAT64:
        return address.is_global and address in _GLOBAL_UNICAST and all(map(_is_public, inner))
    return all(map(_is_public, inner))


def _inner(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a gateway would take out of an IPv6 one."""
    found = [address.ipv4_mapped, address.sixtofour]
    # ISATAP (RFC 5214) marks them in the second half, below any prefix.
    if address in _NAT64 or int(address) >> 32 & 0xFDFFFFFF == 0x5EFE:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]
