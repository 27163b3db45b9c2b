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


class HelloReader:
    """A greeting as it comes in. Each byte is looked at once, however small the pieces and records are."""

    def __init__(self) -> None:
        self.data = bytearray()
        """All that has come, for the server."""
        self._at = 0
        self._message = bytearray()

    def feed(self, piece: bytes) -> str | None:
        """The name that the client asks for, ``None`` while more bytes are needed.

        Raises:
            NotAHello: If it is not TLS, names no server, or hides the name.
        """
        self.data += piece
        while not self._is_whole() and self._take_record():
            pass
        if self._message and self._message[0] != _CLIENT_HELLO:
            raise NotAHello("TLS does not begin with a greeting")
        if not self._is_whole():
            if len(self.data) > MOST_HELLO_BYTES:
                raise NotAHello("the TLS greeting is too long")
            return None
        try:
            return _name_of(_Reader(bytes(self._message[4 : 4 + self._size()])))
        except (IndexError, UnicodeDecodeError) as error:
            raise NotAHello("the TLS greeting cannot be read") from error

    def _take_record(self) -> bool:
        """Add the next record's content to the message; false while it is not all there."""
        head = self.data[self._at : self._at + 5]
        if (head and head[0] != _HANDSHAKE) or (len(head) >= 2 and head[1] != 3):
            raise NotAHello("this is not TLS")
        if len(head) < 5:
            return False
        size = int.from_bytes(head[3:5], "big")
        if not 0 < size <= 1 << 14:
            raise NotAHello("the TLS greeting cannot be read")
        end = self._at + 5 + size
        if len(self.data) < end:
            return False
        self._message += self.data[self._at + 5 : end]
        self._at = end
        return True

    def _size(self) -> int:
        return int.from_bytes(self._message[1:4], "big")

    def _is_whole(self) -> bool:
        return len(self._message) >= 4 and len(self._message) >= 4 + self._size()


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
