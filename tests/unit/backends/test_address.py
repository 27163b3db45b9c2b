from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.address import is_this_machine, parse_address
from agentui.errors import UsageError


@pytest.mark.parametrize(
    "typed",
    [
        "http://127.0.0.1:1234",
        "http://127.0.0.1:1234/",
        "http://127.0.0.1:1234/v1",
        "http://127.0.0.1:1234/v1/",
        "http://127.0.0.1:1234/v1/chat/completions",
        "http://127.0.0.1:1234/api/v1/models",
        "http://127.0.0.1:1234/api/v0",
        "127.0.0.1:1234",
        "127.0.0.1:1234/v1",
        " 1234 ",
        ":1234",
    ],
)
def test_all_ways_to_write_an_address_mean_the_same(typed: str) -> None:
    address = parse_address(typed)
    assert address.root == "http://127.0.0.1:1234"
    assert address.api_bases[0] == "http://127.0.0.1:1234/v1"
    assert address.websocket_root == "ws://127.0.0.1:1234"
    assert (address.host, address.port) == ("127.0.0.1", 1234)


def test_a_path_before_v1_is_kept() -> None:
    assert parse_address("https://example.org/llm/v1").root == "https://example.org/llm"
    assert parse_address("https://example.org").port == 443
    assert parse_address("http://[::1]:8080/v1").root == "http://[::1]:8080"


@pytest.mark.parametrize("typed", ["https://z.example/api/paas/v4/", "https://g.example/v1beta/openai"])
def test_an_address_with_a_version_of_its_own_is_tried_as_it_is_first(typed: str) -> None:
    assert parse_address(typed).api_bases[0] == typed.rstrip("/")


@pytest.mark.parametrize("typed", ["", "http://", "ftp://host", "http://host:port", "http://me:secret@host:1"])
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_address(typed)


def test_a_password_is_not_repeated_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("http://me:secret@host:1")
    assert "secret" not in str(caught.value) + caught.value.hint


@given(st.text(alphabet="abc:/.[]@1?#% v", max_size=30))
def test_any_text_is_an_address_or_a_usage_error(typed: str) -> None:
    try:
        address = parse_address(typed)
    except UsageError:
        return
    assert parse_address(address.root).root == address.root


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "anything.localhost", "127.8.8.8"])
async def test_loopback_is_this_machine(host: str) -> None:
    assert await is_this_machine(host)


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "no-such-host.invalid"])
async def test_other_addresses_are_other_machines(host: str) -> None:
    assert not await is_this_machine(host)
