"""Proxy headers are resolved at the ASGI entry point: the application sees the client's address and scheme."""

from typing import Any

import httpx
import pytest
from pytest_django import Settings

from config.runtime.proxy_headers import resolve
from config.tests.support import LiveDatabase, ServerProcess

Headers = list[tuple[bytes, bytes]]


def resolved(*headers: tuple[bytes, bytes], kind: str = "http") -> dict[str, Any]:
    return resolve(
        {
            "type": kind,
            "path": "/",
            "client": ["192.0.2.9", 4711],
            "headers": list(headers),
            "root_path": "//evil.example",
        }
    )


@pytest.mark.parametrize(
    ("count", "public_url", "proto", "scheme"),
    [
        (0, "", "https", "http"),
        (1, "", "https", "https"),
        (1, "", "HTTPS ", "https"),
        (1, "", "http, https", "https"),
        (1, "", "https, http", "http"),
        (2, "", "http, https, http", "https"),
        (2, "", "https", "https"),
        (1, "", "gopher", "http"),
        (1, "https://chat.example.com", "", "https"),
        (1, "https://chat.example.com", "http", "http"),
        (0, "https://chat.example.com", "http", "https"),
        (1, "http://chat.example.com", "", "http"),
    ],
)
def test_trusted_proxy_sets_the_scheme(
    settings: Settings, count: int, public_url: str, proto: str, scheme: str
) -> None:
    settings.TRUSTED_PROXIES, settings.PUBLIC_URL = count, public_url
    headers = [(b"x-forwarded-proto", proto.encode())] if proto else []
    assert resolved(*headers)["scheme"] == scheme
    assert resolved(*headers, kind="websocket")["scheme"] == {"http": "ws", "https": "wss"}[scheme]


def test_resolved_proxy_headers_are_removed(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    scope = resolved((b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https"), (b"host", b"localhost"))
    assert scope["client"] == ["203.0.113.7", 0]
    assert scope["headers"] == [(b"host", b"localhost")]
    assert resolved()["client"] == ["192.0.2.9", 4711]


@pytest.mark.service
def test_client_cannot_set_its_address_or_the_root_path(live_database: LiveDatabase, tmp_path: Any) -> None:
    with ServerProcess(live_database, tmp_path, TRUSTED_PROXIES="1", API_ANONYMOUS_PER_MINUTE="4") as server:
        # Entries to the left of the proxy's own entry, which is the same in all requests, have no effect.
        codes = [
            httpx.get(f"{server.url}/api/auth/me", headers=[("X-Forwarded-For", f"{forged}, 203.0.113.7")]).status_code
            for forged in ("198.51.100.1", "198.51.100.2:80", "unknown", "[::1]:1", "198.51.100.5", '"', "")
        ]
        assert codes == [401] * 4 + [429] * 3
        for other in ("203.0.113.8", "unknown"):
            assert httpx.get(f"{server.url}/api/auth/me", headers={"X-Forwarded-For": other}).status_code == 401
        redirect = httpx.get(server.url, headers={"Daphne-Root-Path": "//evil.example"})
        assert redirect.headers["Location"].startswith("/accounts/login/")
