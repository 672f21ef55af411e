"""Rewrite each ASGI scope once, on entry: every library sees the address, scheme and path of the client's request."""

from typing import Any

from django.conf import settings

from chat.infra.client_address import FORWARDED_FOR, client_address, joined_header
from chat.infra.root_path import with_root

FORWARDED_PROTO = b"x-forwarded-proto"
SECURE = {"http": "https", "websocket": "wss"}
PLAIN = {"http": "http", "websocket": "ws"}


def resolve_proxy_headers(application: Any) -> Any:
    """Wrap an ASGI application: its scopes have the client's address, scheme and path, and no proxy headers."""

    async def resolved(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in PLAIN:
            scope = resolve(scope)
        await application(scope, receive, send)

    return resolved


def resolve(scope: dict[str, Any]) -> dict[str, Any]:
    """Return a scope with the client's address, scheme and path, without the headers that are for the server only."""
    peer = scope.get("client")
    address = client_address(scope)
    # The proxy's port is not the client's.
    client = [address, peer[1] if peer and peer[0] == address else 0] if address else None
    schemes = SECURE if is_secure(scope) else PLAIN
    headers = [(name, value) for name, value in scope["headers"] if name not in (FORWARDED_FOR, FORWARDED_PROTO)]
    # daphne reads the root path from a header that any client can send.
    paths = {"path": with_root(scope["path"]), "root_path": settings.ROOT_PATH}
    return {**scope, **paths, "client": client, "scheme": schemes[scope["type"]], "headers": headers}


def is_secure(scope: dict[str, Any]) -> bool:
    """Return whether the client uses TLS: as a trusted proxy reports, else by PUBLIC_URL and the transport."""
    stated = joined_header(scope, FORWARDED_PROTO).split(",") if settings.TRUSTED_PROXIES else []
    # Most proxies replace this header instead of appending to it.
    scheme = stated[-min(settings.TRUSTED_PROXIES, len(stated))].strip().lower() if stated else ""
    if scheme in ("http", "ws", "https", "wss"):
        return scheme in ("https", "wss")
    return settings.PUBLIC_URL.startswith("https://") or scope.get("scheme") in ("https", "wss")
