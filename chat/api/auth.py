"""Who calls: by a login's cookie with Django's CSRF check, or by a token; and what they may do."""

from dataclasses import dataclass
from typing import ClassVar

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from ninja.utils import check_csrf

from chat.accounts import tokens
from chat.api.json_body import check_no_body
from chat.exceptions import Forbidden, NotSignedIn, UnknownParameters
from chat.infra.client_address import client_address, limit_key
from chat.infra.throttle import by_address, by_person
from chat.models import ApiToken, User
from chat.models.token import Scope
from chat.realtime.connections import Credential

ALL_SCOPES = frozenset(Scope.values)


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, the scopes of the request, and its token (None for a login)."""

    user: User
    scopes: frozenset[str]
    token: ApiToken | None


class CsrfFailed(Forbidden):
    """A request with a login's cookie that a foreign page could have made."""

    code = "csrf_failed"

    def __init__(self) -> None:
        cookie = settings.CSRF_COOKIE_NAME
        super().__init__(f"With a login's cookie this needs the value of the cookie “{cookie}” as X-CSRFToken.")


def check_parameters(request: HttpRequest) -> None:
    """Refuse parameters, and a body, that an operation does not describe.

    Raise UnknownParameters, UnknownFields, BadJson.
    """
    known: frozenset[str] | None = getattr(request, "known_parameters", None)
    if known is not None and (unknown := [name for name in request.GET if name not in known]):
        raise UnknownParameters(unknown)
    if not getattr(request, "takes_body", True):
        check_no_body(request)


class SignedIn:
    """Requires authentication, and a scope of tokens if one is given. For `auth=` of a router.

    With `themselves`, only who has signed in with the password: a token that was made by name could else make others.
    """

    csrf: ClassVar = True  # the documentation's page sends the header along

    def __init__(self, scope: Scope | None = None, *, themselves: bool = False) -> None:
        self.scope = scope
        self.themselves = themselves

    def __call__(self, request: HttpRequest) -> Caller:
        """Return who calls. Raise NotSignedIn, CsrfFailed, RateLimited, Forbidden."""
        try:
            caller = caller_of_request(request)
        except NotSignedIn:
            by_address.count(address_of(request))
            raise
        by_person.count(str(caller.user.pk))
        if self.scope is not None and self.scope not in caller.scopes:
            raise Forbidden(f"This token lacks the scope “{self.scope}”.")
        if self.themselves and caller.token is not None and not caller.token.signed_in_by:
            raise Forbidden("For this one needs to sign in with the password; a token that was made by name cannot.")
        check_parameters(request)
        return caller


class AnyClient:
    """Allows every client, within the limit of its address. For `auth=` of an operation."""

    def __call__(self, request: HttpRequest) -> bool:
        """Return true. Raise RateLimited."""
        by_address.count(address_of(request))
        check_parameters(request)
        return True


def caller(request: HttpRequest) -> Caller:
    """Return the caller of a request that `SignedIn` has accepted."""
    found: object = getattr(request, "auth", None)
    assert isinstance(found, Caller), "the operation is open to anybody"
    return found


def credential_of(request: HttpRequest) -> Credential:
    """Return the credential of a request, for connections that outlast it."""
    found = caller(request)
    return Credential(found.user, request.session.session_key or "", found.token.pk if found.token else None)


def caller_of_request(request: HttpRequest) -> Caller:
    """Authenticate a request; a token takes precedence over a cookie. Raise NotSignedIn, CsrfFailed."""
    key = tokens.bearer_of(request.headers.get("Authorization", ""))
    if key is not None:
        token = tokens.find(key)
        return Caller(token.user, frozenset(token.scopes), token)
    user = auth.get_user(request)
    if not isinstance(user, User) or not user.is_active:
        raise NotSignedIn("Sign in, or send “Authorization: Bearer” with a token.")
    if check_csrf(request) is not None:
        raise CsrfFailed
    return Caller(user, ALL_SCOPES, None)


def address_of(request: HttpRequest) -> str:
    """Return the key under which requests without a sign-in are counted."""
    return limit_key(client_address(request))
