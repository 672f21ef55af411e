"""Check whether login sessions are still valid, for connections that outlive a request, and end all of a user's."""

import uuid
from collections.abc import Iterator, Mapping

from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from chat.models import User
from chat.models.sql import select

PAGE = 2_000

_HOLDS = """
SELECT FROM django_session s, chat_user u
WHERE s.session_key = %(cookie)s AND s.expire_date > %(now)s
    AND u.id = %(user)s AND u.is_active AND u.password = %(password)s
"""


def signed_in(cookie: str) -> User | None:
    """Return the user of a login session's cookie, or None if it is invalid."""
    if not cookie.isalnum():  # never a valid key; PostgreSQL accepts no NUL
        return None
    request = HttpRequest()
    request.session = SessionStore(cookie)
    user = auth.get_user(request)
    return user if isinstance(user, User) and user.is_active else None


def holds(cookie: str, user: User) -> bool:
    """Return whether a login is still valid, with the user as read from the database."""
    return bool(select(_HOLDS, {"cookie": cookie, "user": user.pk, "password": user.password, "now": timezone.now()}))


def ended(logins: Mapping[str, User]) -> set[str]:
    """Return which logins (by cookie, with the user at the time of the last check) are no longer valid.

    A login ends when its user signs out or changes the password, is deactivated or deleted, or when it expires.
    """
    kept = Session.objects.filter(session_key__in=logins, expire_date__gt=timezone.now())
    keys = set(kept.values_list("session_key", flat=True))
    people = User.objects.filter(pk__in={user.pk for user in logins.values()}, is_active=True)
    passwords = dict(people.values_list("pk", "password"))
    return {key for key, user in logins.items() if key not in keys or passwords.get(user.pk) != user.password}


def of_user(user_id: uuid.UUID) -> Iterator[str]:
    """Yield the keys of a user's login sessions.

    The user's id is inside the signed data of a session, so each session has to be decoded.
    """
    store, last = SessionStore(), ""
    logins = Session.objects.order_by("session_key").values_list("session_key", "session_data")
    while page := list(logins.filter(session_key__gt=last)[:PAGE]):
        yield from (key for key, data in page if store.decode(data).get(auth.SESSION_KEY) == str(user_id))
        last = page[-1][0]


def end_all(user_id: uuid.UUID) -> int:
    """End a user's login sessions; return their number."""
    ended, _ = Session.objects.filter(session_key__in=list(of_user(user_id))).delete()
    return ended
