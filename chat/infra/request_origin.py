"""Check the Host and Origin of an ASGI scope by Django's rules, for entry points outside Django."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

Scope = Mapping[str, Any]
Origin = tuple[str, str, int | None]

DEFAULT_PORTS = {"http": 80, "https": 443}
HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def header(scope: Scope, name: bytes) -> str:
    """Return the first header of a name, or an empty string."""
    return next((value.decode("latin1") for key, value in scope["headers"] if key == name), "")


def is_allowed_host(scope: Scope) -> bool:
    """Return whether the Host header is in ALLOWED_HOSTS, which defeats DNS rebinding."""
    domain, _ = split_domain_port(header(scope, b"host"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def is_same_origin(scope: Scope) -> bool:
    """Return whether the Origin header is the site's own by scheme, host and port, or in CSRF_TRUSTED_ORIGINS.

    Browsers send cookies with requests of any page, but never let a page choose its Origin.
    """
    origin = parse_origin(header(scope, b"origin"))
    if origin is None:
        return False
    scheme = HTTP_SCHEMES[scope.get("scheme") or "http"]
    if origin == parse_origin(f"{scheme}://{header(scope, b'host')}") and is_allowed_host(scope):
        return True
    return any(_matches(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def parse_origin(text: str) -> Origin | None:
    """Return scheme, host and port of an origin, or None if it is not one."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme, parts.hostname
    if scheme not in DEFAULT_PORTS or not host or text != f"{text[: len(scheme)]}://{parts.netloc}" or "@" in text:
        return None
    return scheme, host, DEFAULT_PORTS[scheme] if port is None else port


def _matches(origin: Origin, trusted: str) -> bool:
    pattern = parse_origin(trusted)
    if pattern is None:
        return False
    scheme, host, port = pattern
    return (scheme, port) == (origin[0], origin[2]) and is_same_domain(origin[1], host.removeprefix("*"))
