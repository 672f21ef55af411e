"""Where a request comes from and whom it is meant for, told from its ASGI scope as Django tells it from its own."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

Scope = Mapping[str, Any]


def header(scope: Scope, name: bytes) -> str:
    """Return the first header of a name, or an empty string."""
    return next((value.decode("latin1") for key, value in scope["headers"] if key == name), "")


def is_for_us(scope: Scope) -> bool:
    """Tell whether a request names a host of ours: a page elsewhere can point a name of its own at this address."""
    domain, _ = split_domain_port(header(scope, b"host"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def is_same_origin(scope: Scope) -> bool:
    """Tell whether a page of ours made a request: a browser sends its cookies along for any page."""
    origin = header(scope, b"origin")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return netloc == header(scope, b"host") and is_for_us(scope)
