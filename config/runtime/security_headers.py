"""Add security headers to every HTTP response, whoever made it: pages, static files, errors, the API and MCP."""

from typing import Any

from django.conf import settings

CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# What Django's middleware has set for a response stays.
DEFAULTS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    # Only pages load anything, and they have a policy of their own.
    CONTENT_POLICY,
)


def add_security_headers(application: Any) -> Any:
    """Wrap an ASGI application for HTTP; its responses then have each of these headers."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                present = {name.lower() for name, _ in headers}
                headers += [header for header in _defaults(scope) if header[0] not in present]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, send_with_headers)

    return wrapped


def _defaults(scope: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    # The icons have a style sheet of their own, and nobody but the project writes static files.
    is_static = scope["path"].startswith(settings.STATIC_URL)
    defaults = [header for header in DEFAULTS if header is not CONTENT_POLICY or not is_static]
    if settings.SECURE_HSTS_SECONDS and scope["scheme"] == "https":
        defaults.append((b"strict-transport-security", b"max-age=%d" % settings.SECURE_HSTS_SECONDS))
    return defaults
