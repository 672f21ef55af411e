"""Verbs of a person's own account."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from axes.utils import reset
from django.conf import settings
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth.models import update_last_login
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest

from chat.exceptions import BadInput, Conflict, Forbidden, NotSignedIn, RateLimited
from chat.infra.client_address import client_address
from chat.models import User
from chat.models.user import is_time_zone

RESET_MAIL_PAUSE = timedelta(minutes=5)
DO_NOT_MATCH = "This e-mail address and password do not go together. Check both and try again."
CLOSED = "This account is closed. Whoever runs this site can open it again."


class EmailTaken(Conflict):
    """Another account has this e-mail address."""

    code = "taken"

    def __init__(self) -> None:
        super().__init__("There is an account with this e-mail address.")


class WeakPassword(BadInput):
    """A password that is too easily guessed."""

    code = "weak_password"


class SignUpClosed(Forbidden):
    """Nobody makes an account for themselves here."""

    code = "signup_closed"

    def __init__(self) -> None:
        super().__init__("Sign-up is closed. Whoever runs this site can make you an account.")


class AccountClosed(Forbidden):
    """The account is closed; only who knows its password is told."""

    code = "account_closed"

    def __init__(self) -> None:
        super().__init__(CLOSED)


def check_sign_up(*, email: str, password: str) -> None:
    """Raise SignUpClosed, EmailTaken, WeakPassword where this account could not be made."""
    if settings.SIGNUP == "closed":
        raise SignUpClosed
    address = email.strip().lower()
    if User.objects.filter(email=address).exists():
        raise EmailTaken
    try:
        password_validation.validate_password(password, User(email=address))
    except ValidationError as error:
        raise WeakPassword(" ".join(error.messages)) from None


def sign_in(request: HttpRequest, *, email: str, password: str) -> User:
    """Return whose e-mail address and password these are, for a program: no login begins.

    Attempts are counted together with those at the page. Raise RateLimited, AccountClosed, NotSignedIn.
    """
    address = email.strip().lower()
    user = authenticate(request, username=address, password=password)
    if isinstance(user, User):
        reset(ip=client_address(request), username=address)
        update_last_login(User, user)
        return user
    if getattr(request, "axes_locked_out", False):
        request.axes_locked_out = False  # type: ignore[attr-defined]  # else the page for people is sent
        wait = timedelta(hours=settings.AXES_COOLOFF_TIME)
        raise RateLimited("Too many attempts to sign in. Please wait.", retry_after=round(wait.total_seconds()))
    if is_closed(email=address, password=password):
        raise AccountClosed
    raise NotSignedIn(DO_NOT_MATCH)


def is_closed(*, email: str, password: str) -> bool:
    """Tell somebody who knows the password of an account whether it is closed."""
    person = User.objects.filter(email=email, is_active=False).first()
    return person is not None and person.check_password(password)


def sign_up(*, email: str, password: str, time_zone: str) -> User:
    """Make an account; a time zone that nobody knows becomes UTC.

    Raises EmailTaken, also when two people ask for one address at the same moment.
    """
    address = email.strip().lower()
    user = User(email=address, time_zone=time_zone if is_time_zone(time_zone) else "UTC")
    user.set_password(password)
    with _reserved(address, for_user=user):
        user.save(force_insert=True)
    return user


def change_email(user: User, *, email: str) -> None:
    """Give an account another e-mail address, or raise EmailTaken."""
    address = email.strip().lower()
    with _reserved(address, for_user=user):
        User.objects.filter(pk=user.pk).update(email=address)
    user.email = address


@contextmanager
def _reserved(address: str, *, for_user: User) -> Iterator[None]:
    """Run a transaction in which nobody else takes an address. Raise EmailTaken.

    A unique violation is not provoked, because PostgreSQL logs the statement with its values.
    """
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('email ' || %s, 0))", [address])
            if User.objects.filter(email=address).exclude(pk=for_user.pk).exists():
                raise EmailTaken
            yield
    except IntegrityError:  # the admin takes no lock
        raise EmailTaken from None


def change_time_zone(user: User, *, time_zone: str) -> None:
    """Let an account's times be shown, and its words for days be understood, in another time zone."""
    User.objects.filter(pk=user.pk).update(time_zone=time_zone)
    user.time_zone = time_zone


def may_send_reset_mail(email: str) -> bool:
    """Tell whether an address may get another reset mail now, and count this one: nobody's mailbox can be flooded."""
    return cache.add(reset_mail_key(email), True, RESET_MAIL_PAUSE.total_seconds())


def reset_mail_key(email: str) -> str:
    """Name what the cache keeps of an address that was sent a reset mail."""
    return f"reset-mail:{email.strip().lower()}"
