"""The server name in the first bytes of a TLS connection (RFC 8446, 4.1.2 and RFC 6066, 3)."""

from __future__ import annotations

from collections.abc import Iterator

MOST_HELLO_BYTES = 32 * 1024
"""Far above what clients send, post-quantum key shares included."""
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ENCRYPTED_HELLO = 0xFE0D


class NotAHello(Exception):
    """The bytes are no ClientHello that says where it wants to go; the text says why."""


def server_name(data: bytes) -> str | None:
    """The name that a client asks for, ``None`` while more bytes are needed.

    Raises:
        NotAHello: If it is not TLS, names no server, or hides the name.
    """
    message = _handshake(data)
    if message is None:
        return None
    try:
        return _name_of(_Reader(message))
    except (IndexError, UnicodeDecodeError) as error:
        raise NotAHello("the TLS greeting cannot be read") from error


def _handshake(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from its records."""
    message, rest = b"", data
    while True:
        if rest and rest[0] != _HANDSHAKE:
            raise NotAHello("this is not TLS")
        if len(rest) >= 2 and rest[1] != 3:
            raise NotAHello("this is not TLS")
        if len(rest) < 5:
            break
        size = int.from_bytes(rest[3:5], "big")
        if not 0 < size <= 1 << 14:
            raise NotAHello("the TLS greeting cannot be read")
        message += rest[5 : 5 + size]
        if len(rest) < 5 + size:
            break
        rest = rest[5 + size :]
        if _is_whole(message):
            break
    if message and message[0] != _CLIENT_HELLO:
        raise NotAHello("TLS does not begin with a greeting")
    if _is_whole(message):
        return message[4 : 4 + int.from_bytes(message[1:4], "big")]
    if len(data) > MOST_HELLO_BYTES:
        raise NotAHello("the TLS greeting is too long")
    return None


def _is_whole(message: bytes) -> bool:
    return len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big")


class _Reader:
    """Takes fields off the front.

    Raises:
        IndexError: If there is less left than is asked for.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def is_empty(self) -> bool:
        return not self._data

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise IndexError(count)
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def sized(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width), "big"))


def _name_of(hello: _Reader) -> str:
    hello.take(2 + 32)
    for width in (1, 2, 1):
        hello.sized(width)
    name: str | None = None
    for kind, content in _extensions(_Reader(hello.sized(2))):
        if kind == _ENCRYPTED_HELLO:
            raise NotAHello("the TLS greeting hides the name of the server")
        if kind == _SERVER_NAME:
            names = _Reader(_Reader(content).sized(2))
            while not names.is_empty:
                is_host = names.take(1) == b"\0"
                found = names.sized(2).decode("ascii")
                if is_host and name is None:
                    name = found
                elif is_host:
                    raise NotAHello("the TLS greeting names two servers")
    if not name:
        raise NotAHello("the TLS greeting names no server")
    return name


def _extensions(block: _Reader) -> Iterator[tuple[int, bytes]]:
    while not block.is_empty:
        yield int.from_bytes(block.take(2), "big"), block.sized(2)
