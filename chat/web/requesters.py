"""Find the user of a request before a view runs, to apply the limit per user."""

import uuid
from collections import OrderedDict

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest

from chat.accounts import login_sessions, tokens
from chat.api.middleware import ROOT

MAX_CACHED = 10_000  # logins and tokens


class Requesters:
    """Users by their login's cookie or token, cached: a credential never changes its user."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, uuid.UUID] = OrderedDict()

    async def find(self, request: HttpRequest) -> uuid.UUID | None:
        """Return the user, or None for others, and while the database is unavailable."""
        authorization = request.headers.get("Authorization", "")
        bearer = tokens.bearer_of(authorization) if request.path_info.startswith(ROOT) else None  # pages: cookies only
        cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "") if bearer is None else ""
        credential = cookie if bearer is None else f"Bearer {bearer}"
        if (known := self._known.get(credential)) is not None:
            self._known.move_to_end(credential)
            return known
        if not credential:
            return None
        try:
            person = await sync_to_async(_look_up)(bearer, cookie)
        except (DatabaseError, InterfaceError):
            return None
        if person is not None:
            self._known[credential] = person
            if len(self._known) > MAX_CACHED:
                self._known.popitem(last=False)
        return person


def _look_up(bearer: str | None, cookie: str) -> uuid.UUID | None:
    if bearer is not None:
        return tokens.owner_of_key(bearer)
    user = login_sessions.signed_in(cookie)
    return None if user is None else user.pk
