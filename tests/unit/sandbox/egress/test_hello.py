"""The server's name in a TLS greeting, from real greetings and from nonsense."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.sandbox.egress.hello import MOST_HELLO_BYTES, HelloReader, NotAHello


def server_name(data: bytes) -> str | None:
    return HelloReader().feed(data)


def greeting(name: str | None) -> bytes:
    """The bytes that this machine's own TLS sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = greeting("api.good.test")


def in_records(hello: bytes, size: int) -> bytes:
    body = hello[5:]
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_name_is_found_in_a_real_greeting() -> None:
    assert server_name(HELLO) == "api.good.test"


@given(st.integers(1, 600))
def test_name_is_found_however_the_greeting_is_cut_into_records(size: int) -> None:
    assert server_name(in_records(HELLO, size)) == "api.good.test"


@given(st.integers(1, 600), st.integers(1, 600))
def test_name_is_found_however_the_bytes_arrive(record: int, piece: int) -> None:
    data, reader = in_records(HELLO, record), HelloReader()
    names = [reader.feed(data[start : start + piece]) for start in range(0, len(data), piece)]
    assert names[-1] == "api.good.test"
    assert set(names[:-1]) <= {None}
    assert reader.data == data


@given(st.integers(0, len(HELLO) - 1))
def test_beginning_of_a_greeting_asks_for_more(length: int) -> None:
    assert server_name(HELLO[:length]) is None


def test_greeting_without_a_name_is_none() -> None:
    with pytest.raises(NotAHello, match="names no server"):
        server_name(greeting(None))


def test_greeting_that_hides_its_name_is_refused() -> None:
    # One extension more, of the kind that holds an encrypted greeting; all lengths around it grow with it.
    extension = b"\xfe\x0d\x00\x01\x00"
    body = HELLO[9:]
    offset = 34
    for width in (1, 2, 1):
        offset += width + int.from_bytes(body[offset : offset + width], "big")
    block = body[offset + 2 :] + extension
    body = body[:offset] + len(block).to_bytes(2, "big") + block
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    with pytest.raises(NotAHello, match="hides"):
        server_name(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x02\x00", b"\x17\x03\x03\x00\x01x", b"SSH-2.0-x"]
)
def test_what_is_not_tls_is_refused(data: bytes) -> None:
    with pytest.raises(NotAHello):
        server_name(data)


def test_greeting_without_an_end_is_refused() -> None:
    message = b"\x01\xff\xff\xff" + bytes(MOST_HELLO_BYTES)
    with pytest.raises(NotAHello, match="too long"):
        server_name(in_records(b"\0" * 5 + message, 1 << 14))


@given(st.binary(max_size=400), st.integers(0, len(HELLO)))
def test_nonsense_never_names_a_host_and_never_breaks(noise: bytes, keep: int) -> None:
    try:
        found = server_name(HELLO[:keep] + noise)
    except NotAHello:
        return
    assert found is None or found.isascii()
