from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.gateway_rules import is_local_caller, is_passable, to_client, to_upstream

NAMES = st.sampled_from(
    [
        "Connection",
        "TE",
        "X-A",
        "X-B",
        "Authorization",
        "Host",
        "Upgrade",
        "Content-Length",
        "Cookie",
        "x-api-key",
    ]
)
VALUES = st.sampled_from(["X-A", "x-b, close", "chunked", "Bearer theirs", "12", "upgrade"])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(HEADERS, st.sampled_from([None, "ours"]))
def test_what_goes_on_holds_nothing_of_one_hop_and_no_key_but_ours(
    headers: list[tuple[str, str]], key: str | None
) -> None:
    sent = to_upstream(headers, key)
    names = [name.lower() for name, _ in sent]
    listed = {word.strip().lower() for n, v in headers if n == "Connection" for word in v.split(",")}
    assert not {"connection", "te", "upgrade", "host", "content-length"} & set(names)
    assert not listed & set(names)
    if key is not None:
        assert [value for name, value in sent if name.lower() in ("authorization", "x-api-key")] == [
            "Bearer ours"
        ]


def test_repeated_headers_keep_their_order_and_number() -> None:
    headers = [("Set-Cookie", "a=1"), ("X", "1"), ("Set-Cookie", "b=2"), ("Transfer-Encoding", "chunked")]
    assert to_client(headers) == headers[:3]


@given(st.lists(st.sampled_from(["..", ".", "a", "\\", "v1", ""]), max_size=5), st.booleans())
def test_no_spelling_of_a_path_climbs(parts: list[str], is_quoted: bool) -> None:
    path = "/v1/" + "/".join(parts)
    target = "".join(f"%{ord(c):02x}" if c in ".\\" else c for c in path) if is_quoted else path
    assert is_passable(target, ("/v1/",)) == (not {"..", ".", "\\"} & set(parts))


@pytest.mark.parametrize(
    "target", ["http://evil/v1/models", "//evil/v1/", "*", "", "v1/models", "/v1/mo dels", "/v1/\x00", "/v10/x"]
)
def test_what_is_no_plain_path_is_refused(target: str) -> None:
    assert not is_passable(target, ("/v1/",))


def test_a_query_may_hold_anything() -> None:
    assert is_passable("/v1/models?x=../" + quote("ä"), ("/v1/",))


@pytest.mark.parametrize(
    ("host", "origin", "is_local"),
    [
        ("127.0.0.1:1234", None, True),
        ("localhost", "http://localhost:3000", True),
        ("[::1]:80", None, True),
        ("app.localhost", None, True),
        ("evil.example", None, False),
        ("127.0.0.1", "https://evil.example", False),
        ("127.0.0.1", "null", False),
        (None, None, False),
        ("127.0.0.1.evil.example", None, False),
        ("[::1", None, False),
        ("localhost", "http://[", False),
    ],
)
def test_only_this_machine_is_local(host: str | None, origin: str | None, is_local: bool) -> None:
    assert is_local_caller(host, origin) == is_local


def test_headers_of_the_provider_stand_instead_of_the_clients() -> None:
    sent = to_upstream([("X-Team", "theirs"), ("Accept", "a")], "key", (("x-team", "ours"), ("X-B", "b")))
    assert [value for name, value in sent if name.lower() == "x-team"] == ["ours"]
    assert {("Accept", "a"), ("X-B", "b"), ("Authorization", "Bearer key")} <= set(sent)
