"""Operations on a user's own account."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth.models import update_last_login
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest

from chat.accounts import tokens
from chat.accounts.backend import PER_ACCOUNT
from chat.accounts.backend import AccountClosed as AccountClosed
from chat.accounts.limits import Limit
from chat.exceptions import BadInput, Conflict, Forbidden, NotSignedIn
from chat.infra import notifications
from chat.models import User
from chat.models.email import canonical_email
from chat.models.user import WeekStart, is_time_zone

EMAIL_CHANGES = Limit(
    "changes of an e-mail address", 10, timedelta(hours=1), "Too many changes of the e-mail address. Please wait."
)
WRONG_CREDENTIALS = "The e-mail address or the password is wrong. Check both and try again."


class EmailTaken(Conflict):
    """Another account has this e-mail address."""

    code = "taken"
    default_detail = "There is an account with this e-mail address."


class WeakPassword(BadInput):
    """A password that is too easily guessed."""

    code = "weak_password"


class SignUpClosed(Forbidden):
    """Sign-up is closed."""

    code = "signup_closed"
    default_detail = "Sign-up is closed. Whoever runs this site can make you an account."


def check_sign_up(*, email: str, password: str) -> None:
    """Raise SignUpClosed or WeakPassword if such an account could not be created, whether or not it exists."""
    if settings.SIGNUP == "closed":
        raise SignUpClosed
    try:
        password_validation.validate_password(password, User(email=email))
    except ValidationError as error:
        raise WeakPassword(" ".join(error.messages)) from None


def check_free(email: str) -> None:
    """Raise EmailTaken if an address has an account."""
    if User.objects.filter(email=email).exists():
        raise EmailTaken


def sign_in(request: HttpRequest, *, email: str, password: str) -> User:
    """Return the user with this e-mail address and password, for a program: no login session begins.

    Raise AccountClosed, NotSignedIn, RateLimited, ServerBusy.
    """
    user = authenticate(request, username=email, password=password)
    if not isinstance(user, User):
        raise NotSignedIn(WRONG_CREDENTIALS)
    update_last_login(User, user)
    return user


def sign_up(*, email: str, password: str, time_zone: str, week_start: int | None = None) -> User:
    """Create an account; an unknown time zone becomes UTC, and an unknown first weekday Monday.

    Raises EmailTaken, also for two concurrent sign-ups with one address.
    """
    address = canonical_email(email)
    user = User(email=address, time_zone=time_zone if is_time_zone(time_zone) else "UTC")
    user.week_start = week_start if week_start in WeekStart.values else WeekStart.MONDAY
    user.set_password(password)
    with _reserved(address, for_user=user):
        user.save(force_insert=True)
    return user


def change_email(user: User, *, email: str) -> None:
    """Change the e-mail address of an account. Raise EmailTaken."""
    address = canonical_email(email)
    with _reserved(address, for_user=user):
        User.objects.filter(pk=user.pk).update(email=address)
    user.email = address


@contextmanager
def _reserved(address: str, *, for_user: User) -> Iterator[None]:
    """Run a transaction in which no other can use an address. Raise EmailTaken.

    A unique violation is avoided, because PostgreSQL logs the statement with its values.
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


def change_time_zone(user: User, *, time_zone: str, week_start: int) -> None:
    """Change an account's time zone, for the times it shows and for relative dates."""
    User.objects.filter(pk=user.pk).update(time_zone=time_zone, week_start=week_start)
    user.time_zone, user.week_start = time_zone, week_start


def close_ended_connections(user: User) -> None:
    """Close the sockets of logins that ended with a change of the password."""
    notifications.on_commit(notifications.signed_out, user.pk)


def replace_password(user: User) -> None:
    """Save a password that was set with a reset link: all earlier logins and tokens end.

    Failed attempts with the old password are forgotten.
    """
    with transaction.atomic():
        user.save(update_fields=["password"])
        tokens.end_all(user.pk)
        close_ended_connections(user)
    PER_ACCOUNT.reset(canonical_email(user.email))
