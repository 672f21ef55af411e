"""Remember the devices on which a user has signed in, so that failed attempts from elsewhere do not lock these out.

The cookie is signed and names accounts by id, each with a random id of the device and a digest of the password: a new
password invalidates it. A client with the cookie still needs the password, and has its own limit.
"""

import secrets
from typing import TypeAlias

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare

from chat.accounts.links import password_mark
from chat.models import User

SALT = __name__
MAX_AGE = 365 * 24 * 3600  # seconds
MAX_ACCOUNTS = 5  # per browser: the last ones

Entry: TypeAlias = tuple[str, str, str]  # an account's id, the device's id, the digest of the password


def device_of(request: HttpRequest, user: User) -> str | None:
    """Return the id of the device if the user has signed in on it with the current password."""
    for user_id, device, mark in _entries(request):
        if user_id == str(user.pk) and constant_time_compare(mark, password_mark(user)):
            return device
    return None


def remember(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Set the cookie after a user has signed in or was otherwise authenticated."""
    others = [entry for entry in _entries(request) if entry[0] != str(user.pk)]
    entries = [(str(user.pk), secrets.token_urlsafe(12), password_mark(user)), *others[: MAX_ACCOUNTS - 1]]
    response.set_cookie(
        _cookie(),
        signing.dumps(entries, salt=SALT),
        max_age=MAX_AGE,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _entries(request: HttpRequest) -> list[Entry]:
    try:
        return [tuple(entry) for entry in signing.loads(request.COOKIES.get(_cookie(), ""), salt=SALT, max_age=MAX_AGE)]
    except signing.BadSignature:
        return []


def _cookie() -> str:
    return f"known_devices{settings.COOKIE_SUFFIX}"
