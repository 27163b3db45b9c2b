"""What may pass through the gateway: paths, headers and callers. Pure, and refusing where in doubt."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

Headers = list[tuple[str, str]]

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Written anew for the other side. Answers must come unpacked, or they could not be read on their way.
_WRITTEN_ANEW = frozenset({"host", "content-length", "expect", "accept-encoding"})
_KEYS = frozenset({"authorization", "x-api-key", "api-key"})
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain"})


def is_passable(target: str, prefixes: Sequence[str]) -> bool:
    """Whether a request's target is a plain path below one of `prefixes`, also after decoding.

    A whole URL, dots that climb, and backslashes that some servers take for slashes are refused: only what was
    named can be reached.
    """
    if not target.startswith("/") or any(not "!" <= character <= "~" for character in target):
        return False
    path = unquote(target.partition("?")[0])
    if "\\" in path or "\x00" in path or {".", ".."} & set(path.split("/")):
        return False
    return any(path.startswith(prefix) for prefix in prefixes)


def to_upstream(
    headers: Iterable[tuple[str, str]], api_key: str | None, added: Sequence[tuple[str, str]] = ()
) -> Headers:
    """The headers that go on to the model server; with `api_key` instead of whatever key the client had.

    What is `added` stands instead of the client's headers of the same name.
    """
    dropped = _WRITTEN_ANEW | (_KEYS if api_key else frozenset()) | {name.lower() for name, _ in added}
    kept = _end_to_end(headers, dropped)
    kept.append(("Accept-Encoding", "identity"))
    if api_key:
        kept.append(("Authorization", f"Bearer {api_key}"))
    kept.extend(added)
    return kept


def to_client(headers: Iterable[tuple[str, str]]) -> Headers:
    """The headers that go back to the client; the length of the body is set by who writes it."""
    return _end_to_end(headers, frozenset({"content-length"}))


def _end_to_end(headers: Iterable[tuple[str, str]], dropped: frozenset[str]) -> Headers:
    found = list(headers)
    named = {
        word.strip().lower()
        for name, value in found
        if name.lower() == "connection"
        for word in value.split(",")
    }
    gone = _HOP_BY_HOP | dropped | named
    return [(name, value) for name, value in found if name.lower() not in gone]


def is_local_caller(host: str | None, origin: str | None) -> bool:
    """Whether a request to a loopback port names this machine and does not come from a page of another one.

    A web page can reach loopback ports, by itself or under a name that it lets point here; the key that the
    gateway adds is not for it.
    """
    if host is None or not _is_loopback(f"//{host}"):
        return False
    return origin is None or _is_loopback(origin)


def _is_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return False
    if name is None:
        return False
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
