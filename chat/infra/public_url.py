"""The origin of links outside the site, such as those in mails. The client's Host header never decides it."""

from django.conf import settings
from django.http import HttpRequest


def public_origin(request: HttpRequest) -> str:
    """Return the site's origin: that of PUBLIC_URL, or http, the first name in ALLOWED_HOSTS, and the server's port."""
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL).removesuffix(settings.ROOT_PATH)
    host = next((name for name in settings.ALLOWED_HOSTS if not name.startswith(("*", "."))), "localhost")
    return f"http://{host}:{request.META['SERVER_PORT']}"
