"""An Origin is the site's own if scheme, host and port match, or if it is trusted."""

import pytest
from pytest_django import Settings

from chat.infra.request_origin import is_same_origin


@pytest.mark.parametrize(
    ("scheme", "host", "origin", "same"),
    [
        ("ws", "chat.example.com", "http://chat.example.com", True),
        ("http", "chat.example.com:80", "http://chat.example.com", True),
        ("wss", "Chat.Example.com:443", "https://chat.example.com", True),
        ("wss", "chat.example.com:8443", "https://chat.example.com:8443", True),
        ("ws", "[::1]:8000", "http://[::1]:8000", True),
        (None, "chat.example.com", "http://chat.example.com", True),
        # The scheme.
        ("ws", "chat.example.com", "https://chat.example.com", False),
        ("wss", "chat.example.com", "http://chat.example.com", False),
        ("ws", "chat.example.com:443", "https://chat.example.com", False),
        # The port.
        ("ws", "chat.example.com", "http://chat.example.com:8000", False),
        ("ws", "chat.example.com:8000", "http://chat.example.com", False),
        # The host.
        ("ws", "chat.example.com", "http://example.com", False),
        ("ws", "evil.example", "http://evil.example", False),
        ("ws", "chat.example.com", "http://chat.example.com.evil.example", False),
        ("ws", "chat.example.com", "http://chat.example.com@evil.example", False),
        ("ws", "chat.example.com", "http://evil.example@chat.example.com", False),
        ("ws", "chat.example.com", "http://chat.example.com/path", False),
        ("ws", "chat.example.com", "http://chat.example.com\t", False),
        ("ws", "chat.example.com", "null", False),
        ("ws", "chat.example.com", "", False),
        ("ws", "", "http://", False),
        ("ws", "chat.example.com", "file://chat.example.com", False),
        ("ws", "chat.example.com", "http://[", False),
        # Trusted ones.
        ("ws", "chat.example.com", "https://front.example:8443", True),
        ("ws", "chat.example.com", "https://front.example", False),
        ("ws", "chat.example.com", "http://front.example:8443", False),
        ("ws", "chat.example.com", "https://a.wild.example", True),
        ("ws", "chat.example.com", "https://a.b.wild.example", True),
        ("ws", "chat.example.com", "http://a.wild.example", False),
        ("ws", "chat.example.com", "https://awild.example", False),
    ],
)
def test_origin_is_compared_by_scheme_host_and_port(
    settings: Settings, scheme: str | None, host: str, origin: str, same: bool
) -> None:
    settings.ALLOWED_HOSTS = ["chat.example.com", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://front.example:8443", "https://*.wild.example"]
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert is_same_origin({"type": "websocket", "headers": headers, "scheme": scheme}) is same
