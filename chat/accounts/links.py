"""Signed tokens in the links of mails: only the owner of the mailbox has one. Nothing is stored."""

from django.conf import settings
from django.core import signing

from chat.models import User

SIGN_UP, CHANGE = f"{__name__}.sign_up", f"{__name__}.change"


def sign_up_token(email: str) -> str:
    """Return the token with which an account can be created for an address."""
    return signing.dumps(email, salt=SIGN_UP)


def email_of_sign_up(token: str) -> str | None:
    """Return the address of a token, or None if the token is invalid or expired."""
    try:
        email: str = signing.loads(token, salt=SIGN_UP, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    return email


def change_token(user: User, email: str) -> str:
    """Return the token with which an account changes its address. A new address or password invalidates it."""
    return signing.dumps([*_state(user), email], salt=CHANGE)


def email_of_change(user: User, token: str) -> str | None:
    """Return the new address of a user's token, or None if the token is invalid or expired."""
    try:
        *state, email = signing.loads(token, salt=CHANGE, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    return str(email) if state == _state(user) else None


def password_mark(user: User) -> str:
    """Return a digest of a user's password hash, which reveals nothing about it."""
    return user.get_session_auth_hash()[:16]


def _state(user: User) -> list[str]:
    return [str(user.pk), user.email, password_mark(user)]
