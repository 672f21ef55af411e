"""The signed parts of links in mails: those who open one can read the mailbox. Nothing is stored of them."""

from django.conf import settings
from django.core import signing

from chat.models import User

SIGN_UP, CHANGE = f"{__name__}.sign_up", f"{__name__}.change"


def sign_up_token(email: str) -> str:
    """Return the token with which an account can be made for an address."""
    return signing.dumps(email, salt=SIGN_UP)


def email_of_sign_up(token: str) -> str | None:
    """Return the address of a token, or None if it was not made here or is too old."""
    try:
        email: str = signing.loads(token, salt=SIGN_UP, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    return email


def change_token(user: User, email: str) -> str:
    """Return the token with which an account gets another address. It ends with the address and the password of now."""
    return signing.dumps([*_state(user), email], salt=CHANGE)


def email_of_change(user: User, token: str) -> str | None:
    """Return the new address of a token for a user, or None if it was not made for them as they are, or is too old."""
    try:
        *state, email = signing.loads(token, salt=CHANGE, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    return str(email) if state == _state(user) else None


def password_mark(user: User) -> str:
    """Return a mark of the password that a user has, from which nothing can be learned about it."""
    return user.get_session_auth_hash()[:16]


def _state(user: User) -> list[str]:
    return [str(user.pk), user.email, password_mark(user)]
