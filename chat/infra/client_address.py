"""Find the address of a client behind any number of trusted proxies.

Each proxy appends the address of its peer to `X-Forwarded-For`. Only the last `TRUSTED_PROXIES` entries are from the
site's own proxies, so the header is read from the right. The client can write everything further left.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

Scope = Mapping[str, Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FORWARDED_FOR = b"x-forwarded-for"
IPV6_PREFIX = 64
MAX_ENTRY_LENGTH = 64  # an IPv6 address in brackets, with a zone and a port, is shorter
WITH_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<ipv4>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)


def client_address(request: HttpRequest | Scope) -> str:
    """Return the client's IP address in canonical form, or an empty string if the transport has none.

    Accepts a Django request or an ASGI scope. Falls back to the peer of the connection if the header has fewer entries
    than there are trusted proxies, or if the entry is not an address.
    """
    if isinstance(request, HttpRequest):
        peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", "")
    else:
        peer, forwarded = (request.get("client") or ("",))[0], joined_header(request, FORWARDED_FOR)
    address = parse(trusted_entry(forwarded)) or parse(peer)
    return str(address) if address else ""


def limit_key(address: str) -> str:
    """Return the key for limits per address: an IPv4 address, or the /64 network of an IPv6 address.

    A single customer has at least a /64, so a limit per IPv6 address would limit nothing.
    """
    parsed = parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(parsed), IPV6_PREFIX), strict=False))
    return str(parsed) if parsed else ""


def joined_header(scope: Scope, name: bytes) -> str:
    """Return all lines of a header, joined by commas as HTTP allows."""
    return ",".join(value.decode("latin1") for key, value in scope["headers"] if key == name)


def trusted_entry(value: str) -> str:
    """Return the entry of a comma-separated header that the outermost trusted proxy wrote, or an empty string."""
    count: int = settings.TRUSTED_PROXIES
    entries = value.rsplit(",", count)[-count:] if count else []
    return entries[0].strip() if len(entries) == count > 0 else ""


def parse(entry: str) -> Address | None:
    """Return the address in an entry of the header, without its port and zone, or None; unmap IPv4-mapped IPv6."""
    entry = entry.strip().strip('"')
    if not 2 <= len(entry) <= MAX_ENTRY_LENGTH:
        return None
    if match := WITH_PORT.fullmatch(entry):
        entry = match["ipv6"] or match["ipv4"]
    try:
        address = ipaddress.ip_address(entry.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
