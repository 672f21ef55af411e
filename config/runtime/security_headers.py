"""Set the security headers of every HTTP response: pages, static files, errors, the API and MCP."""

from typing import Any

from django.conf import settings

CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# A header that Django's middleware has set is kept.
DEFAULTS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    # Only pages load resources, and they have their own policy.
    CONTENT_POLICY,
)
# A static file is not a document that these could protect, and the icons have their own style sheet. A page loads some
# 50 files: these headers would be a tenth of its bytes.
DOCUMENT_HEADERS = {name for name, _ in DEFAULTS} - {b"x-content-type-options"}


def add_security_headers(application: Any) -> Any:
    """Wrap an ASGI application for HTTP: its responses have each of these headers."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                present = {name.lower() for name, _ in headers}
                headers += [header for header in _defaults(scope) if header[0] not in present]
                if message["status"] in (200, 206, 304) and scope["path"].startswith(settings.STATIC_URL):
                    headers = [header for header in headers if header[0].lower() not in DOCUMENT_HEADERS]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, send_with_headers)

    return wrapped


def _defaults(scope: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    defaults = list(DEFAULTS)
    if settings.SECURE_HSTS_SECONDS and scope["scheme"] == "https":
        defaults.append((b"strict-transport-security", b"max-age=%d" % settings.SECURE_HSTS_SECONDS))
    return defaults
