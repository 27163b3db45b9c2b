"""What may leave, decided without any network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.sandbox.egress.rules import (
    AllowedTarget,
    Refusal,
    is_public,
    judged,
    parse_target,
    usable_addresses,
)

ALLOWED = [parse_target("api.good.test:443")]


@pytest.mark.parametrize(
    "target", ["api.good.test:443", "API.Good.TEST:443", "api.good.test.:443"], ids=["plain", "case", "dot"]
)
def test_listed_target_is_found_however_it_is_written(target: str) -> None:
    assert judged(f"CONNECT {target} HTTP/1.1".encode(), ALLOWED) == ALLOWED[0]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://api.good.test/ HTTP/1.1", 405),
        ("CONNECT evil.test:443 HTTP/1.1", 403),
        ("CONNECT xapi.good.test:443 HTTP/1.1", 403),
        ("CONNECT api.good.test.evil.test:443 HTTP/1.1", 403),
        ("CONNECT api.good.test:8443 HTTP/1.1", 403),
        ("CONNECT 93.184.216.34:443 HTTP/1.1", 403),
        ("CONNECT 1572395042:443 HTTP/1.1", 403),
        ("CONNECT 0x5db8d822:443 HTTP/1.1", 403),
        ("CONNECT 127.1:443 HTTP/1.1", 403),
        ("CONNECT [::1]:443 HTTP/1.1", 400),
        ("CONNECT [::ffff:127.0.0.1]:443 HTTP/1.1", 400),
        ("CONNECT api.good.test@evil.test:443 HTTP/1.1", 400),
        ("CONNECT api.good.test%00.evil.test:443 HTTP/1.1", 400),
        ("CONNECT api.good.test/:443 HTTP/1.1", 400),
        ("CONNECT api.good.test HTTP/1.1", 400),
        ("CONNECT api.good.test:99999 HTTP/1.1", 400),
        ("CONNECT  api.good.test:443 HTTP/1.1", 400),
        ("CONNECT api.good.test:443", 400),
        ("", 400),
    ],
)
def test_everything_else_is_refused(line: str, status: int) -> None:
    found = judged(line.encode(), ALLOWED)
    assert isinstance(found, Refusal)
    assert found.status == status


@given(st.binary(max_size=300))
def test_no_line_gets_past_that_does_not_name_a_listed_target(line: bytes) -> None:
    found = judged(line, ALLOWED)
    assert isinstance(found, Refusal) or b"api.good.test" in line.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":443",
        "host:0",
        "host:65536",
        "1.2.3.4:443",
        "[::1]:443",
        "a b:1",
        "-x.test:1",
        "h:1=x",
    ],
)
def test_what_is_no_target_is_said_when_it_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"is |has |names "):
        parse_target(text)


def test_target_may_name_an_address_that_is_private() -> None:
    found = parse_target(" Wiki.Local:8443=10.0.0.5 ")
    assert (found.host, found.port, str(found.address)) == ("wiki.local", 8443, "10.0.0.5")
    assert str(found) == "wiki.local:8443"
    assert AllowedTarget("a.test", 1) == parse_target("a.test:1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "fe80::1%eth0",
        "fec0::1",
        "::127.0.0.1",
        "::10.0.0.1",
        "64:ff9b::224.0.0.1",
        "64:ff9b:1::7f00:1",
        "2001:0:7f00:1::1",
        "2600::5efe:10.0.0.1",
        "2600::200:5efe:7f00:1",
        "3fff::1",
        "4000::1",
        "192.0.0.8",
        "192.88.99.1",
        "2130706433",
        "nonsense",
    ],
)
def test_private_addresses_are_never_used_in_whatever_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800::1", "64:ff9b::8.8.8.8", "2600::5efe:8.8.8.8"])
def test_public_addresses_are_used_also_where_ipv4_is_reached_through_ipv6(address: str) -> None:
    assert is_public(address)


def test_of_a_names_addresses_the_public_ones_are_used_once_and_in_order() -> None:
    found = usable_addresses(["93.184.216.34", "10.0.0.1", "2606:2800:220:1::1", "93.184.216.34"])
    assert found == ("93.184.216.34", "2606:2800:220:1::1")
