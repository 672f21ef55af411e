"""The client's address comes from the trusted proxies' entries in X-Forwarded-For, or from the peer."""

import ipaddress

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from chat.infra.client_address import client_address, limit_key, parse

PEER = "192.0.2.9"


def address_of(*lines: str, peer: str = PEER) -> str:
    """Return the client address of an ASGI scope with these header lines; a Django request must give the same."""
    headers = [(b"x-forwarded-for", line.encode("latin1")) for line in lines]
    address = client_address({"type": "http", "client": [peer, 1], "headers": headers})
    request = RequestFactory().get("/", REMOTE_ADDR=peer)
    request.META |= {"HTTP_X_FORWARDED_FOR": ",".join(lines)} if lines else {}
    assert client_address(request) == address
    return address


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7:5678", "203.0.113.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ('"[2001:db8::7]:443"', "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:cb00:7107]:80", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
    ],
)
def test_every_notation_of_an_address_is_normalized(settings: Settings, entry: str, address: str) -> None:
    settings.TRUSTED_PROXIES = 1
    assert address_of(entry) == address
    assert address_of(f"198.51.100.1, {entry}") == address


@pytest.mark.parametrize(
    "entry",
    [
        "", "unknown", "_hidden", "203.0.113", "203.0.113.7:", "203.0.113.7:x", "203.0.113.256", "0203.0.113.7",
        "[2001:db8::7", "2001:db8::7]", "[203.0.113.7]x", "2001:db8::7::", "203.0.113.7;", "²03.0.113.7", "\x00",
        "a" * 16_000, "[" * 16_000, "1" * 16_000, ":" * 16_000,
    ],
)  # fmt: skip
def test_invalid_entry_falls_back_to_the_peer(settings: Settings, entry: str) -> None:
    settings.TRUSTED_PROXIES = 1
    assert address_of(entry) == PEER
    assert address_of(f"198.51.100.1,{entry}") == PEER


@pytest.mark.parametrize(
    ("count", "lines", "address"),
    [
        (0, ["203.0.113.7"], PEER),
        (1, [], PEER),
        (1, ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (1, ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (2, ["203.0.113.7"], PEER),
        (2, ["198.51.100.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (2, ["198.51.100.1", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        (2, ["203.0.113.7, unknown"], "203.0.113.7"),
        (1, [",".join(["198.51.100.1"] * 5_000), "203.0.113.7"], "203.0.113.7"),
    ],
)
def test_only_entries_of_trusted_proxies_count(settings: Settings, count: int, lines: list[str], address: str) -> None:
    settings.TRUSTED_PROXIES = count
    assert address_of(*lines) == address


def test_peer_address_is_normalized() -> None:
    assert address_of(peer="::ffff:192.0.2.9") == "192.0.2.9"
    assert address_of(peer="FE80::1%eth0") == "fe80::1"
    assert client_address({"type": "http", "client": None, "headers": []}) == ""


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80) | st.ip_addresses().map(str))
def test_parse_returns_an_address_or_none_for_any_text(entry: str) -> None:
    address = parse(entry)
    assert address is None or ipaddress.ip_address(str(address)) == address


def test_rate_limits_count_an_ipv6_network_as_one_client() -> None:
    assert limit_key("203.0.113.7") == "203.0.113.7"
    assert limit_key("2001:db8:0:1::7") == limit_key("2001:db8:0:1:ffff::1") == "2001:db8:0:1::/64"
    assert limit_key("2001:db8:0:2::7") != limit_key("2001:db8:0:1::7")
    assert limit_key("") == ""
