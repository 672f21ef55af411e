"""Check passwords, for every way to sign in, with limits on failed attempts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from chat.accounts import known_devices
from chat.accounts.limits import Limit
from chat.exceptions import Forbidden, RateLimited
from chat.infra.client_address import client_address, limit_key
from chat.models import User
from chat.models.email import MAX_LENGTH, canonical_email

TOO_MANY = "Too many attempts to sign in. Please wait."

LOCKOUT = timedelta(minutes=15)
PER_DEVICE = Limit("failed sign-ins of a known device", settings.AXES_FAILURE_LIMIT, LOCKOUT, TOO_MANY, from_last=True)
PER_PAIR = Limit(
    "failed sign-ins to an account from an address", settings.AXES_FAILURE_LIMIT, LOCKOUT, TOO_MANY, from_last=True
)
PER_ACCOUNT = Limit("failed sign-ins to an account from unknown devices", 50, timedelta(hours=1), TOO_MANY)
PER_ADDRESS = Limit("failed sign-ins from an address", 100, LOCKOUT, TOO_MANY)

Counter: TypeAlias = tuple[Limit, tuple[object, ...]]


class AccountClosed(Forbidden):
    """The account is deactivated; only a client with its password gets this error."""

    code = "account_closed"
    default_detail = "This account is closed. Whoever runs this site can open it again."


class PasswordBackend(ModelBackend):
    """Checks an e-mail address and a password. Each attempt is counted before the password is hashed."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user. Raise PermissionDenied, AccountClosed, RateLimited, ServerBusy."""
        if username is None or password is None:
            return None
        typed = username[: MAX_LENGTH + 1]
        email = canonical_email(typed)
        user = None if "\0" in email else User.objects.by_email(typed)
        counters = _counters(request, email, user)
        reached = _count(counters)
        try:
            is_right = _check_password(user, password)
        except BaseException:
            _uncount(counters)
            raise
        if user is None or not is_right:
            if reached is None:
                raise PermissionDenied  # calls no other backend, and sends `user_login_failed`
            user_login_failed.send(__name__, credentials={"username": email}, request=request)
            raise reached.exceeded()
        for limit, who in counters:  # another client may be guessing too
            if limit in (PER_DEVICE, PER_PAIR):
                limit.reset(*who)
            else:
                limit.uncount(*who)
        if not user.is_active:
            raise AccountClosed
        return user


def _counters(request: HttpRequest | None, email: str, user: User | None) -> list[Counter]:
    """Return the counters of an attempt; after a limit that is reached, the following ones are not counted."""
    if request is None:  # a command, or a shell
        return [(PER_ACCOUNT, (email,))]
    if device := _known_device(request, user):
        return [(PER_DEVICE, (device,))]
    address = limit_key(client_address(request))
    return [(PER_PAIR, (email, address)), (PER_ADDRESS, (address,)), (PER_ACCOUNT, (email,))]


def _known_device(request: HttpRequest, user: User | None) -> str | None:
    if user is None:
        return None
    if getattr(request, "user", None) == user:  # signed in, and asked for the password again
        return request.session.session_key
    return known_devices.device_of(request, user)


def _count(counters: Sequence[Counter]) -> Limit | None:
    """Count an attempt and return the limit that it reaches, if any. Raise RateLimited without counting."""
    reached = None
    for done, (limit, who) in enumerate(counters):
        try:
            left = limit.count(*who)
        except RateLimited:
            _uncount(counters[:done])
            raise
        reached = reached or (None if left else limit)
    return reached


def _uncount(counters: Sequence[Counter]) -> None:
    for limit, who in counters:
        limit.uncount(*who)


def _check_password(user: User | None, password: str) -> bool:
    """Check a password, with the time of one hash whether or not there is such a user."""
    if user is None:
        make_password(password)
        return False
    return user.check_password(password)
