"""Authenticate a websocket by a token or by the cookie of a login."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import parse_cookie

from chat.accounts import login_sessions, tokens
from chat.exceptions import Forbidden, NotSignedIn
from chat.infra.client_address import client_address, limit_key
from chat.infra.request_origin import header
from chat.infra.throttle import by_address
from chat.models.token import Scope
from chat.realtime.connections import Credential


def authenticate(scope: Mapping[str, Any]) -> Credential:
    """Return the credential of a websocket; a token takes precedence over a cookie.

    Raise NotSignedIn, Forbidden for a token without the scope, RateLimited after too many invalid tokens.
    """
    key = tokens.bearer_of(header(dict(scope), b"authorization"))
    if key is None:
        cookie = parse_cookie(header(dict(scope), b"cookie")).get(settings.SESSION_COOKIE_NAME, "")
        user = login_sessions.signed_in(cookie)
        if user is None:
            raise NotSignedIn("The login has ended.")
        return Credential(user, cookie, None)
    try:
        token = tokens.find(key)
    except NotSignedIn:
        by_address.count(limit_key(client_address(dict(scope))))
        raise
    if Scope.CHAT not in token.scopes:
        raise Forbidden("This token lacks the scope “chat”.")
    return Credential(token.user, "", token.pk)
